"""The training command: the same seed gives the same bytes, and the card says what the file says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("soundfile")
pytest.importorskip("scipy")

import typer  # noqa: E402

from engine.config import FrontEnd  # noqa: E402
from engine.latch import LatchSettings  # noqa: E402
from engine.weights import Model, load, save, to_bytes  # noqa: E402
from models import cli  # noqa: E402
from models.card import card  # noqa: E402
from models.data.corpus import read_folder  # noqa: E402
from models.data.ontology import LABELS  # noqa: E402
from models.data.scenes import ANY, OFF, ON  # noqa: E402
from models.evaluate import balanced_accuracy, false_onsets  # noqa: E402
from models.hearing import hear  # noqa: E402
from models.make import judged, make  # noqa: E402
from models.networks import SpikingLayer, SpikingNetwork  # noqa: E402
from models.run import RunError  # noqa: E402
from models.train import Recipe, loss_of, schedule  # noqa: E402
from tests.conftest import ORCHESTRA  # noqa: E402
from tests.models_corpus import write_corpus  # noqa: E402

TWIN = ORCHESTRA.with_name("orchestra-twin.safetensors")
TINY = Recipe(front_end=FrontEnd(bands=16), hidden=(12,), scenes=24, epochs=3, batch=8, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Model:
    return make(folder, TINY, soundfonts=())


def test_the_same_seed_and_data_give_the_same_bytes(folder: Path, tiny: Model) -> None:
    assert to_bytes(make(folder, TINY, soundfonts=())) == to_bytes(tiny)


def test_another_seed_gives_another_network(folder: Path, tiny: Model) -> None:
    other = make(folder, replace(TINY, seed=6), soundfonts=())
    assert not np.array_equal(other.layers[0].weight, tiny.layers[0].weight)


def test_a_trained_model_tells_its_recipe_its_data_and_its_figures(tiny: Model) -> None:
    assert tiny.trained["recipe"]["seed"] == 5
    assert tiny.trained["data"]["train"]["libraries"] == {"philharmonia": 8, "speech_commands_bg": 4}
    assert tiny.trained["data"]["report"]["libraries"] == {"esc50": 2, "vsco2_tonejs": 4}
    assert set(tiny.trained["figures"]["balanced_accuracy"]) == {"100", "200", "500", "1000"}


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory, tiny: Model) -> Model:
    path = tmp_path_factory.mktemp("twin") / "twin.safetensors"
    save(tiny, path)
    return load(path)


@pytest.fixture(scope="module")
def for_use(folder: Path, twin: Model) -> Model:
    return make(folder, TINY, soundfonts=(), twin=twin)


def test_a_model_for_use_learns_from_the_clips_that_judged_its_twin_and_has_the_twins_figures(
    twin: Model, for_use: Model
) -> None:
    assert for_use.trained["data"]["train"]["libraries"] == {
        "esc50": 2, "philharmonia": 8, "speech_commands_bg": 4, "vsco2_tonejs": 4,
    }  # fmt: skip
    assert for_use.trained["data"]["report"]["clips"] == 0
    assert for_use.trained["data"]["calibrate"] == twin.trained["data"]["calibrate"]
    assert not np.array_equal(for_use.layers[0].weight, twin.layers[0].weight)
    assert for_use.trained["figures"] == twin.trained["figures"]
    assert for_use.trained["twin"] == {"name": twin.name, "version": twin.version, "sha256": twin.sha256}
    assert for_use.trained["calibration"]["clips"] == twin.trained["calibration"]["clips"]


def test_the_card_of_a_model_for_use_says_whose_figures_it_shows(tmp_path: Path, twin: Model, for_use: Model) -> None:
    texts = []
    for model in (twin, for_use):
        path = tmp_path / "model.safetensors"
        save(model, path)
        texts.append(card(path))
    assert "twin" not in texts[0]
    assert f"those of its twin**, orchestra {twin.version} (SHA-256 `{twin.sha256}`)" in texts[1]
    assert "--twin TWIN.safetensors" in texts[1]


def test_new_thresholds_leave_a_model_for_use_its_twins_figures(folder: Path, for_use: Model) -> None:
    strict = judged(for_use, read_folder(folder, parts=("calibrate", "report")), budget=0.5)
    assert strict.trained["figures"] == for_use.trained["figures"]
    assert strict.trained["calibration"]["chosen"]["budget_per_hour"] == 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recipe": {**TINY.to_dict(), "epochs": 9}}, "recipe.epochs is 9 there and 3 here"),
        ({"twin": {}}, "has learned from the report half itself"),
        ({"data": {"train": {"clips": 11}}}, "data.train.clips is 11 there and 12 here"),
    ],
)
def test_a_twin_of_another_recipe_or_other_data_is_refused_before_anything_is_learned(
    folder: Path, tiny: Model, change: dict[str, Any], reason: str
) -> None:
    other = replace(tiny, trained={**tiny.trained, **change})
    with pytest.raises(RunError, match=re.escape(reason)):
        make(folder, TINY, soundfonts=(), twin=other)


def test_the_command_writes_a_model_and_its_card(folder: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(cli.train)
    out = tmp_path / "mine.safetensors"
    arguments = ["--data", str(folder), "--out", str(out), "--scenes", "64", "--epochs", "1", "--no-soundfonts"]
    arguments += ["--run", str(tmp_path / "run"), "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert load(out).labels == tuple(LABELS)
    assert out.with_suffix(".md").read_text(encoding="utf-8") == card(out)


def test_the_command_names_a_folder_without_a_manifest(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(cli.train)
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(tmp_path / "x.safetensors")])
    assert result.exit_code == 2
    assert "manifest.csv" in result.output


def test_the_loss_falls_when_the_right_label_rises_and_ignores_frames_that_do_not_count() -> None:
    truth = torch.full((10, 1, len(LABELS)), OFF, dtype=torch.uint8)
    truth[:, 0, 3] = ON
    wrong, right = torch.zeros(10, 1, len(LABELS)), torch.zeros(10, 1, len(LABELS))
    wrong[:, 0, 4], right[:, 0, 3] = 3.0, 3.0
    assert loss_of(right, truth, TINY) < loss_of(wrong, truth, TINY)
    truth[5:, 0, 3] = ANY
    disturbed = right.clone()
    disturbed[5:, 0, 3] = -9.0
    assert torch.equal(loss_of(right, truth, TINY), loss_of(disturbed, truth, TINY))


def test_the_rate_rises_then_falls_to_zero() -> None:
    rates = [schedule(progress) for progress in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(1.0)
    assert int(np.argmax(rates)) == 10
    assert rates[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("path", [ORCHESTRA, TWIN])
def test_the_shipped_card_is_written_from_the_shipped_model(path: Path) -> None:
    assert path.with_suffix(".md").read_text(encoding="utf-8") == card(path)


def test_the_shipped_models_figures_are_those_of_the_twin_beside_it(orchestra: Model) -> None:
    twin = load(TWIN)
    assert orchestra.trained["twin"] == {"name": twin.name, "version": twin.version, "sha256": twin.sha256}
    assert orchestra.trained["figures"] == twin.trained["figures"]
    assert orchestra.trained["recipe"] == twin.trained["recipe"]
    assert orchestra.trained["data"]["train"]["clips"] == sum(
        twin.trained["data"][p]["clips"] for p in ("train", "report")
    )


def test_every_figure_of_the_shipped_cards_table_is_in_the_file(orchestra: Model) -> None:
    text = ORCHESTRA.with_suffix(".md").read_text(encoding="utf-8")
    for ms, value in orchestra.trained["figures"]["balanced_accuracy"].items():
        assert re.search(rf"^\| {ms} ms \| {value} % \|$", text, re.MULTILINE)
    assert orchestra.sha256 in text


def test_the_shipped_twins_figures_hold_on_a_sample_of_the_left_out_clips(shared_data: Path) -> None:
    clips = read_folder(shared_data, parts=("report",))
    twin = load(TWIN)
    settings = LatchSettings(on=twin.on, off=twin.off, enabled=(True,) * len(twin.labels))
    heard = hear(twin, [clip for clip in clips if clip.label in twin.labels], settings)
    figures = twin.trained["figures"]
    assert len(heard) == figures["clips"]
    assert balanced_accuracy(twin, heard, 1000) == pytest.approx(figures["balanced_accuracy"]["1000"], abs=0.2)
    quiet = hear(twin, [clip for clip in clips if clip.label not in twin.labels], settings)
    assert false_onsets(twin, quiet)["per_hour_and_label"] == figures["false_onsets"]["per_hour_and_label"]


def test_coarse_products_stay_near_exact_ones_and_end_where_the_grid_begins() -> None:
    torch.manual_seed(1)
    layer = SpikingLayer(96, 32)
    spikes = (torch.rand(20, 4, 96) < 0.2).float()
    exact = layer.current(spikes)
    layer.coarse = True
    near = layer.current(spikes)
    assert not torch.equal(near, exact)
    assert (near - exact).abs().max() < 0.02 * exact.abs().max()
    layer.eval()
    assert torch.equal(layer.current(spikes), in_float32(layer, spikes))
    layer.train()
    layer.fold()
    assert torch.equal(layer.current(spikes), in_float32(layer, spikes))


def in_float32(layer: SpikingLayer, spikes: torch.Tensor) -> torch.Tensor:
    """The layer's current, computed in float32."""
    layer.coarse = False
    current = layer.current(spikes)
    layer.coarse = True
    return current


def test_while_learning_a_neuron_is_missing_for_a_whole_scene() -> None:
    torch.manual_seed(2)
    network = SpikingNetwork(32, (64,), 24, 0.95, dropout=0.5)
    seen: list[torch.Tensor] = []
    original = network.layers[1].current
    network.layers[1].current = lambda spikes: (seen.append(spikes), original(spikes))[1]
    _, hidden = network((torch.rand(50, 6, 32) < 0.5).float())
    heard, fired = seen[0].detach(), hidden[0].detach()
    active = fired.sum(dim=0) > 0  # (scenes, neurons)
    missing = (heard.sum(dim=0) == 0) & active
    assert 0.3 < float(missing.sum() / active.sum()) < 0.7
    assert torch.equal(heard, fired * 2.0 * ~missing)
