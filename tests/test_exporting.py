"""`spiccato export`: what is written says what the engine does, where the format can, and the rest is counted.

Truths: closed form, the engine itself, and two toolkits that read the files by their own code (snntorch's importer and
Norse). One small shape of network for all, so that its kernel is compiled once.
"""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

EXTRA = "the chips extra is not installed: pip install 'spiccato[chips]'"
nir = pytest.importorskip("nir", reason=EXTRA)
pytest.importorskip("onnxruntime", reason=EXTRA)
pytest.importorskip("onnx", reason=EXTRA)

from engine.config import FrontEnd  # noqa: E402
from engine.latch import log_odds  # noqa: E402
from engine.weights import Layer, Model, load, save  # noqa: E402
from models.exporting import cli  # noqa: E402
from models.exporting.chip import chip_model, decay_shifts, whole_numbers  # noqa: E402
from models.exporting.compare import Played, built_in_sound, compared, graph_differences, played  # noqa: E402
from models.exporting.graph import ExportError, graph_of, told  # noqa: E402
from models.exporting.onnx_step import onnx_step, run_step  # noqa: E402
from models.exporting.simulate import Simulator  # noqa: E402
from tests.conftest import ORCHESTRA, ROOT  # noqa: E402
from tests.snn import model_of, random_layer  # noqa: E402
from tests.synth import tone, write_wav  # noqa: E402

FRONT_END = FrontEnd(bands=16, fibre_gains=(0.5, 1.0), change_gain=4.0)  # 64 fibres
SOUND = built_in_sound(FRONT_END.sample_rate_hz)[8000:24000]


def small(*resets: str, delay: bool = True) -> Model:
    """64-24-16-8 with these resets, a beta and a threshold for each neuron."""
    rng = np.random.default_rng(3)
    shape = (FRONT_END.fibres, 24, 16, 8)
    return model_of(
        tuple(random_layer(rng, shape[i], shape[i + 1], reset, delay, rate=0.02) for i, reset in enumerate(resets)),
        FRONT_END,
    )


def written(model: Model, folder: Path, form: str, profile: str = "r") -> Path:
    path = folder / f"{form}.{profile}.nir"
    nir.write(path, graph_of(model, form, profile))
    return path


def differing(report: dict[str, Any]) -> list[int]:
    return [row["cells_differing"] for row in report["layers"]]


@pytest.mark.parametrize("resets", [("subtract", "subtract", "none"), ("zero", "none", "subtract")])
def test_the_exact_graph_is_the_engine_to_the_bit(resets: tuple[str, ...], tmp_path: Path) -> None:
    model = small(*resets)
    reference = played(model, SOUND)
    report = graph_differences(written(model, tmp_path, "exact"), reference)
    assert report["frames"] == 100
    assert differing(report) == [0, 0, 0]
    assert report["evidence_largest_difference"] == 0.0
    assert min(row["spikes_engine"] for row in report["layers"][:2]) > 20


def test_the_shipped_models_exact_graph_is_the_engine_to_the_bit(orchestra: Model, tmp_path: Path) -> None:
    reference = played(orchestra, SOUND)
    report = graph_differences(written(orchestra, tmp_path, "exact"), reference)
    assert differing(report) == [0, 0, 0]
    assert report["evidence_largest_difference"] == 0.0
    folded = graph_differences(written(orchestra, tmp_path, "exact", "folded"), reference)
    assert folded["evidence_largest_difference"] < 0.5  # rounded weights: a spike near its threshold may differ
    assert sum(differing(folded)) <= 20


def test_a_reset_to_zero_is_the_same_in_the_plain_graph_and_a_subtraction_is_counted(tmp_path: Path) -> None:
    for delay in (True, False):
        zero = small("zero", "zero", "none", delay=delay)
        report = graph_differences(written(zero, tmp_path, "plain"), played(zero, SOUND))
        assert differing(report)[:2] == [0, 0]
    subtract = small("subtract", "subtract", "none")
    report = graph_differences(written(subtract, tmp_path, "plain"), played(subtract, SOUND))
    assert differing(report)[0] > 0
    assert "evidence_largest_difference" not in report


def test_the_plain_graph_says_the_same_in_every_profile(orchestra: Model, orchestra_played: Played) -> None:
    said = []
    for profile in ("r", "folded", "snntorch"):
        graph = graph_of(orchestra, "plain", profile)
        said.append(Simulator(graph, told(graph)["dt_s"]).run(orchestra_played.cochlea))
    for other in said[1:]:
        assert sum(int((other[name] != said[0][name]).sum()) for name in ("spikes0", "spikes1", "spikes2")) <= 3


def test_a_membrane_at_its_threshold_does_not_spike() -> None:
    layer = Layer(
        weight=np.zeros((FRONT_END.fibres, 1), np.int8), bias=np.array([8], np.int32), shift=0,
        beta=np.zeros(1, np.float32), threshold=np.array([8], np.float32), reset="subtract",
    )  # fmt: skip
    model, silence = model_of((layer,), FRONT_END), np.zeros((5, FRONT_END.fibres), np.uint8)
    assert Simulator(graph_of(model), FRONT_END.hop_s).run(silence)["spikes0"].tolist() == [[0.0]] * 5
    assert run_step(onnx_step(model).SerializeToString(), silence)[0][0].tolist() == [[0]] * 5
    hidden = replace(
        model, layers=(replace(layer, reset="zero"), random_layer(np.random.default_rng(0), 1, 1, "none", True))
    )
    assert Simulator(graph_of(hidden), FRONT_END.hop_s).run(silence)["spikes0"].tolist() == [[0.0]] * 5


def test_a_subtraction_without_delay_has_the_same_spikes(tmp_path: Path) -> None:
    """Its membranes are shown after the reset: only the spikes can be compared, and rounding may move a few."""
    model = small("subtract", "zero", "none", delay=False)
    assert differing(graph_differences(written(model, tmp_path, "exact"), played(model, SOUND)))[0] <= 5


def test_a_graph_with_one_wrong_number_is_found_out(tmp_path: Path) -> None:
    model = small("subtract", "subtract", "none")
    graph = graph_of(model)
    graph.nodes["reset0"].weight *= 0.5
    nir.write(tmp_path / "wrong.nir", graph)
    assert differing(graph_differences(tmp_path / "wrong.nir", played(model, SOUND)))[0] > 0


def test_a_label_of_the_plain_graph_fires_when_its_evidence_comes_from_off_to_on() -> None:
    """A constant drive I: v_t = (I / (1 - beta) - off) (1 - beta^t), from a reset on, against on - off."""
    beta, on, off = np.float32(0.9), 0.8, 0.3
    layer = Layer(
        weight=np.zeros((FRONT_END.fibres, 1), np.int8), bias=np.array([20], np.int32), shift=6,
        beta=np.array([beta]), threshold=np.ones(1, np.float32), reset="none",
    )  # fmt: skip
    model = replace(model_of((layer,), FRONT_END), on=(on,), off=(off,))
    said = Simulator(graph_of(model, "plain"), 0.01).run(np.zeros((60, FRONT_END.fibres)))["labels"][:, 0]
    steady = 20 / 64 / (1 - float(beta)) - log_odds(off)
    period = int(np.ceil(np.log(1 - (log_odds(on) - log_odds(off)) / steady) / np.log(float(beta))))
    assert np.flatnonzero(said).tolist() == list(range(period - 1, 60, period))


def test_the_graph_keeps_the_hop_and_tells_what_it_cannot_say() -> None:
    model = small("subtract", "zero", "none")
    graph = graph_of(model)
    about = told(graph)
    assert about["dt_s"] == about["hop_s"] == FRONT_END.hop_s
    np.testing.assert_allclose(1 - FRONT_END.hop_s / graph.nodes["leak0"].tau, model.layers[0].beta, rtol=1e-12)
    assert graph.nodes["input"].input_type["input"].tolist() == [FRONT_END.fibres]
    assert about["reset"][0] == {"model": "subtract", "delay": True, "graph": "subtract"}
    assert told(graph_of(model, "plain"))["reset"][0]["graph"] == "zero"
    assert about["labels"] == list(model.labels)
    assert about["families"] == list(model.families)
    assert (about["on"], about["off"]) == (list(model.on), list(model.off))
    assert FrontEnd.from_dict(about["front_end"]) == FRONT_END
    np.testing.assert_allclose(graph.nodes["on"].threshold, [log_odds(score) for score in model.on])


def test_what_nir_cannot_say_is_refused() -> None:
    model = small("subtract", "subtract", "none")
    forever = replace(model.layers[1], beta=np.ones(16, np.float32))
    with pytest.raises(ExportError, match="layer 1 has a neuron with beta 1"):
        graph_of(replace(model, layers=(model.layers[0], forever, model.layers[2])))
    with pytest.raises(ExportError, match="layer 2, the last, resets to zero"):
        graph_of(small("subtract", "subtract", "zero"))
    silent = replace(model.layers[0], threshold=np.full(24, -1, np.float32))
    with pytest.raises(ExportError, match="layer 0 has a threshold of -1"):
        graph_of(replace(model, layers=(silent, *model.layers[1:])), "plain", "snntorch")
    with pytest.raises(ValueError, match="plain form only"):
        graph_of(model, "exact", "snntorch")
    with pytest.raises(ValueError, match="conv is a Flatten"):
        Simulator(nir.NIRGraph({"conv": nir.Flatten({"input": np.array([4])})}, [], type_check=False), 0.01)


@pytest.fixture(scope="module")
def orchestra_played(orchestra: Model) -> Played:
    return played(orchestra, SOUND)


def layers_of(network: Any, cochlea: NDArray[np.uint8], state: bool) -> dict[str, NDArray[np.float32]]:
    """What the modules `spikes0`, `spikes1` ... of a torch network said, frame by frame."""
    torch = pytest.importorskip("torch")
    said: dict[str, list[Any]] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            one = output[0] if isinstance(output, tuple) else output
            said.setdefault(name, []).append(one.detach().reshape(-1).numpy().copy())

        return hook

    for name, module in network.named_children():
        if name.startswith("spikes"):
            module.register_forward_hook(keep(name))
    carried = None
    with torch.no_grad():
        for frame in torch.from_numpy(cochlea.astype(np.float32)):
            _, after = network(frame[None], carried) if state else network(frame[None])
            carried = after if state else None
    return {name: np.array(rows) for name, rows in said.items()}


def as_simulated(path: Path, toolkit: dict[str, NDArray[np.float32]], cochlea: NDArray[np.uint8]) -> None:
    """At most one cell in 2 000 may differ: a toolkit adds float32 numbers in an order of its own."""
    graph = nir.read(path)
    ours = Simulator(graph, told(graph)["dt_s"]).run(cochlea)
    assert len(toolkit) == 3
    for name, theirs in toolkit.items():
        assert theirs.shape == ours[name].shape
        assert (theirs != ours[name]).mean() <= 1 / 2000, name
    assert toolkit["spikes0"].sum() > 500
    assert toolkit["spikes1"].sum() > 500


def test_snntorchs_importer_reads_its_profile(orchestra: Model, orchestra_played: Played, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("nirtorch", reason="snntorch's importer needs it: pip install nirtorch")
    from snntorch.import_nir import import_from_nir

    path = written(orchestra, tmp_path, "plain", "snntorch")
    network = import_from_nir(nir.read(path))
    as_simulated(path, layers_of(network, orchestra_played.cochlea, state=False), orchestra_played.cochlea)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Norse compiles with torch.jit when it is imported
def test_norse_reads_the_folded_profile(orchestra: Model, orchestra_played: Played, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    norse = pytest.importorskip("norse.torch", reason="Norse is not installed: pip install --no-deps norse nirtorch")
    path = written(orchestra, tmp_path, "plain", "folded")
    graph = nir.read(path)
    network = norse.from_nir(graph, dt=told(graph)["dt_s"])
    as_simulated(path, layers_of(network, orchestra_played.cochlea, state=True), orchestra_played.cochlea)


def test_a_chips_model_has_whole_numbers_and_keeps_each_neurons_gain() -> None:
    model = small("subtract", "zero", "none")
    chip = chip_model(model)
    assert chip.name == "random-chip"
    for before, after in zip(model.layers, chip.layers, strict=True):
        k = decay_shifts(before.beta)
        assert k.min() >= 1
        np.testing.assert_array_equal(after.beta, (1 - 2.0**-k).astype(np.float32))
        np.testing.assert_array_equal(after.threshold / after.step, np.round(after.threshold / after.step))
        assert np.abs(after.weight.astype(int)).max() <= 127
    for before, after in zip(model.layers[:2], chip.layers[:2], strict=True):  # the drive that just reaches a spike
        np.testing.assert_array_equal(after.weight, before.weight)
        needed = (1 - before.beta) * before.threshold, (1 - after.beta) * after.threshold
        np.testing.assert_allclose(*needed, atol=after.step * float((1 - after.beta).max()))
    before, after = model.layers[2], chip.layers[2]
    level = before.real_weight() / (1 - before.beta), after.real_weight() / (1 - after.beta)
    np.testing.assert_allclose(*level, atol=float((0.5 * after.step / (1 - after.beta)).max()) * 1.01)


def test_decays_move_as_in_training() -> None:
    torch = pytest.importorskip("torch")
    from models.networks import nearest_shift_decay

    beta = np.linspace(0.3, 0.995, 200).astype(np.float32)
    trained = nearest_shift_decay(torch.from_numpy(beta)).numpy()
    np.testing.assert_array_equal((1 - 2.0 ** -decay_shifts(beta)).astype(np.float32), trained)


def test_whole_numbers_by_hand() -> None:
    """k = 1, drive 5 a frame, threshold 8, subtract: 5, 8, 9 spikes, 2, 6, 8, 9 spikes ..."""
    layer = Layer(
        weight=np.zeros((FRONT_END.fibres, 1), np.int8), bias=np.array([5], np.int32), shift=0,
        beta=np.array([0.5], np.float32), threshold=np.array([8], np.float32), reset="subtract",
    )  # fmt: skip
    spikes, v = whole_numbers(model_of((layer,), FRONT_END), np.zeros((8, FRONT_END.fibres), np.uint8))
    assert v[:, 0].tolist() == [5, 8, 9, 2, 6, 8, 9, 2]
    assert np.flatnonzero(spikes[0]).tolist() == [2, 6]


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("resets", [("subtract", "zero", "none"), ("zero", "none", "subtract")])
def test_the_onnx_step_is_the_engine_to_the_bit(resets: tuple[str, ...], delay: bool) -> None:
    model = small(*resets, delay=delay)
    reference = played(model, SOUND)
    made = onnx_step(model)
    report = compared(reference, *run_step(made.SerializeToString(), reference.cochlea))
    assert differing(report) == [0, 0, 0]
    assert report["evidence_largest_difference"] == 0.0
    about = json.loads({entry.key: entry.value for entry in made.metadata_props}["spiccato"])
    assert about["labels"] == list(model.labels)


def test_the_program_in_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = re.search(r"```python\n(.+?)```", (ROOT / "docs" / "chips.md").read_text(), re.S)
    assert program
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(program[1].replace("models/weights/orchestra.safetensors", str(ORCHESTRA)), space)
    assert space["said"]["evidence"].shape == (100, len(space["model"].labels))


def test_exporting_needs_no_pytorch() -> None:
    code = "import sys, models.exporting.files, models.exporting.onnx_step; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def run(*arguments: Any) -> Any:
    app = typer.Typer()
    app.command()(cli.export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_every_form_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save(small("subtract", "subtract", "none"), path)
    sound = write_wav(tmp_path / "a.wav", tone(440, 0.5), FRONT_END.sample_rate_hz)
    options = [
        "--nir",
        tmp_path / "s.nir",
        "--onnx",
        tmp_path / "s.onnx",
        "--json",
        tmp_path / "r.json",
        "--sound",
        sound,
    ]
    result = run(path, *options)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert [one["form"] for one in report["files"]] == ["exact", "plain", "onnx"]
    assert [one["cells_differing"] for one in report["files"]][::2] == [0, 0]
    assert (report["seconds"], report["sound"]) == (0.5, str(sound))
    assert told(nir.read(tmp_path / "s.plain.nir"))["form"] == "plain"
    assert "s.plain.nir (plain)" in result.output
    result = run(path, "--nir", tmp_path / "t.nir", "--profile", "snntorch")
    assert result.exit_code == 0, result.output
    assert told(nir.read(tmp_path / "t.nir"))["form"] == "plain"


def test_the_chip_profiles_cost_is_measured(tmp_path: Path) -> None:
    path, chip = tmp_path / "small.safetensors", tmp_path / "chip.safetensors"
    model = small("subtract", "subtract", "none")
    save(model, path)
    for label in model.labels[:2]:
        (tmp_path / "notes" / label).mkdir(parents=True)
        write_wav(tmp_path / "notes" / label / "a.wav", tone(440, 0.4), FRONT_END.sample_rate_hz)
    options = ["--profile", "chip", "--engine", chip, "--nir", tmp_path / "c.nir", "--data", tmp_path / "notes"]
    result = run(path, *options, "--json", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["files"][0]["cells_differing"] == 0  # beside the chip's model, not the original
    assert report["chip"]["beside_the_original"]["cells_differing"] > 0
    assert report["chip"]["accuracy"]["original"]["clips"] == report["chip"]["accuracy"]["chip"]["clips"] == 2
    assert load(chip).trained["chip_profile_of"]["model"] == model.id


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to write"),
        (["--nir", "x.nir", "--profile", "loihi"], "loihi"),
        (["--nir", "x"], "needs an ending"),
        (["--nir", "/nowhere/x.nir"], "no such folder"),
        (["--onnx", "x.onnx", "--data", "."], "only with --profile chip"),
        (["/nowhere.safetensors", "--nir", "x.nir"], "No such file"),
        (["--nir", "x.nir", "--sound", "/nowhere.wav"], "nowhere.wav"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
