"""A training run that is killed goes on and ends with the same weights; its folder says what it was and how it went."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("soundfile")
pytest.importorskip("scipy")
pytest.importorskip("tensorboard")
pytest.importorskip("matplotlib")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from engine.config import FrontEnd  # noqa: E402
from engine.weights import to_bytes  # noqa: E402
from models import checkpoint, cli, train  # noqa: E402
from models import run as run_module  # noqa: E402
from models.data.bank import Bank  # noqa: E402
from models.data.ontology import LABELS  # noqa: E402
from models.data.scenes import ANY  # noqa: E402
from models.make import make  # noqa: E402
from models.networks import SpikingNetwork, by_snntorch, fused, step_on  # noqa: E402
from models.run import Run, RunError, device_of  # noqa: E402
from models.runlog import rows  # noqa: E402
from models.train import Recipe, Training, Watch, fit  # noqa: E402
from models.validation import measure  # noqa: E402
from tests.models_corpus import write_corpus  # noqa: E402

TINY = Recipe(front_end=FrontEnd(bands=16), hidden=(12,), scenes=24, epochs=3, batch=8, seed=5)


class Killed(Exception):
    pass


class Doomed(Run):
    """Is killed after so many steps; what it kept until then stays."""

    def __init__(self, folder: Path, steps: int, patience: int | None = None) -> None:
        super().__init__(folder, patience, every_s=0.0)
        self._left = steps

    def stepped(self, training: Training, told: dict[str, float]) -> None:
        super().stepped(training, told)
        self._left -= 1
        if self._left < 0:
            raise Killed


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Random spikes in which a label's own fibre is busier while it plays."""
    random = np.random.default_rng(1)
    truth = (random.random((24, 1, len(LABELS))) < 0.1).astype(np.uint8).repeat(40, axis=1)
    truth[:, :4] = ANY
    rates = 0.05 + 0.5 * (truth == 1)
    bits = (random.random(truth.shape) < rates).astype(np.uint8)
    return Bank(np.packbits(bits, axis=2, bitorder="little"), truth, len(LABELS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def opened(run: Run, bank: Bank | None, recipe: Recipe = TINY) -> Run:
    run.open(recipe, {"sha256": "made of random numbers"}, "cpu")
    run.validate_on(bank)
    return run


def weights(network: SpikingNetwork) -> bytes:
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


@pytest.mark.parametrize(
    ("patience", "kills"),  # the first step, a last step of an epoch, the one before and after the grid begins
    [(None, (0, 3, 6, 8)), (1, (5, 6, 7))],
)
def test_a_killed_run_ends_with_the_weights_and_the_log_of_an_undisturbed_run(
    bank: Bank, tmp_path: Path, patience: int | None, kills: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = {
        3: 0.5,
        6: 0.4,
        9: 0.45,
    }  # validation accuracies by steps done: with patience 1 the float part ends at step 6
    monkeypatch.setattr(
        run_module,
        "measure",
        lambda network, *_: {"validation_loss": 0.5, "validation_accuracy": epochs[current["step"]]},
    )
    current = {"step": 0}
    remember = Run.epoch_ended

    def epoch_ended(self: Run, training: Training, epoch: int, means: dict[str, float]) -> bool:
        current["step"] = training.step
        return remember(self, training, epoch, means)

    monkeypatch.setattr(Run, "epoch_ended", epoch_ended)
    undisturbed = opened(Run(tmp_path / "whole", patience), bank)
    expected = weights(fit(bank, TINY, watch=undisturbed))
    log = rows(tmp_path / "whole")
    for steps in kills:
        place = tmp_path / str(steps)
        with pytest.raises(Killed):
            fit(bank, TINY, watch=opened(Doomed(place, steps, patience), bank))
        assert (steps == 0) != (place / "checkpoint.pt").exists()
        assert weights(fit(bank, TINY, watch=opened(Run(place, patience), bank))) == expected
        assert rows(place) == log


def test_looking_on_changes_nothing(bank: Bank, tmp_path: Path) -> None:
    watched = fit(bank, TINY, watch=opened(Run(tmp_path, every_s=0.0), bank))
    assert weights(watched) == weights(fit(bank, TINY))


def test_the_whole_command_goes_on_and_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    expected = to_bytes(make(folder, TINY, soundfonts=(), run=Run(tmp_path / "whole")))
    with pytest.raises(Killed):
        make(folder, TINY, soundfonts=(), run=Doomed(tmp_path / "killed", 5))
    told: list[str] = []
    resumed = make(folder, TINY, soundfonts=(), report=told.append, run=Run(tmp_path / "killed"))
    assert to_bytes(resumed) == expected
    assert f"going on after step 5 of {tmp_path / 'killed'}" in told
    assert (tmp_path / "killed" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_another_recipe_or_other_data_are_refused_by_name(folder: Path, bank: Bank, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(cli.train)
    place = tmp_path / "run"
    with pytest.raises(Killed):
        fit(bank, TINY, watch=opened(Doomed(place, 2), bank))
    with pytest.raises(RunError, match=r"recipe\.epochs is 3 there and 4 here"):
        opened(Run(place), bank, replace(TINY, epochs=4))
    with pytest.raises(RunError, match=r"data\.sha256 is made of random numbers there and .*--run"):
        Run(place).open(TINY, {"sha256": "others"}, "cpu")
    arguments = ["--data", str(folder), "--out", str(tmp_path / "x.safetensors"), "--run", str(place)]
    result = CliRunner().invoke(app, [*arguments, "--scenes", "24", "--no-soundfonts", "--device", "cpu"])
    assert result.exit_code == 2
    assert "another run" in re.sub(r"[│\s]+", " ", result.output)


def test_a_kill_while_the_checkpoint_is_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.write(path, {"step": 1, "weight": torch.ones(3)})

    def half(state: object, file: object) -> None:
        file.write(b"half of it")  # type: ignore[attr-defined]
        raise Killed

    monkeypatch.setattr(checkpoint.torch, "save", half)
    with pytest.raises(Killed):
        checkpoint.write(path, {"step": 2})
    state = checkpoint.read(path)
    assert state is not None
    assert state["step"] == 1


def test_a_checkpoint_that_would_run_code_or_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"network": Training}, path)
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoint\.pt"):
        checkpoint.read(path)
    checkpoint.write(path, {"weight": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoint\.pt"):
        checkpoint.read(path)


def test_the_log_tells_loss_rates_and_validation_and_tensorboard_reads_the_same(bank: Bank, tmp_path: Path) -> None:
    run = opened(Run(tmp_path), bank)
    fit(bank, TINY, watch=run)
    log = rows(tmp_path)
    first = next(row for row in log if row["kind"] == "step")
    assert first["loss"] == pytest.approx(
        first["loss_binary"]
        + TINY.choice_weight * first["loss_choice"]
        + TINY.rate_weight * first["loss_rate_penalty"],
        rel=1e-5,
    )
    assert 0.0 <= first["spike_rate_0"] <= 1.0
    epochs = [row for row in log if row["kind"] == "epoch"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for name in ("loss", "validation_loss", "validation_accuracy", "learning_rate", "gradient_norm"):
        assert [event.value for event in events.Scalars(f"epoch/{name}")] == pytest.approx(
            [row[name] for row in epochs]
        )
    assert run.best["epoch"] == max(epochs, key=lambda row: row["validation_accuracy"])["epoch"]
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["recipe"]["hidden"] == [12]
    assert settings["versions"]["torch"] == torch.__version__


class Impatient(Watch):
    def __init__(self) -> None:
        self.steps: list[tuple[int, bool]] = []

    def stepped(self, training: Training, told: dict[str, float]) -> None:
        self.steps.append((training.step, training.network.folded))

    def epoch_ended(self, training: Training, epoch: int, means: dict[str, float]) -> bool:
        return True


def test_a_part_that_has_given_what_it_can_is_cut_short_but_the_grid_is_still_trained(bank: Bank) -> None:
    watch = Impatient()
    network = fit(bank, replace(TINY, grid_share=0.34), watch=watch)
    assert watch.steps == [(1, False), (2, False), (3, False), (7, True), (8, True), (9, True)]
    assert network.folded


def test_validation_counts_frames_by_hand(bank: Bank) -> None:
    class Oracle(torch.nn.Module):
        """Says what it hears: a membrane of 1 where a label's fibre fires."""

        def forward(self, spikes: torch.Tensor, step: object) -> tuple[torch.Tensor, list[torch.Tensor]]:
            return 2.0 * spikes - 1.0, []

    spikes, truth = bank.batch(np.arange(len(bank)))
    alone = ((truth == 1).sum(axis=2) == 1) & (truth != ANY).all(axis=2)
    right: dict[int, list[bool]] = {}
    for heard, true in zip(spikes[alone], truth[alone], strict=True):
        label = int(np.flatnonzero(true == 1)[0])
        right.setdefault(label, []).append(int(np.argmax(heard)) == label)
    figures = measure(Oracle(), bank, TINY, "cpu")  # type: ignore[arg-type]
    assert figures["validation_accuracy"] == pytest.approx(np.mean([np.mean(row) for row in right.values()]))


def test_only_the_cpu_runs_the_numba_loop_and_the_other_way_trains_the_same_network(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (step_on("cpu"), step_on("cuda")) == (fused, by_snntorch)
    assert device_of("auto") in ("cpu", "cuda")
    with pytest.raises(RunError, match="tpu"):
        device_of("tpu")
    recipe = replace(TINY, epochs=1, dropout=0.0, rate=1e-3)
    expected = fit(bank, recipe)
    monkeypatch.setattr(train, "step_on", lambda device: step_on("cuda"))
    network = fit(bank, recipe)
    for a, b in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)
