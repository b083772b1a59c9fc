"""Thresholds keep a budget of false onsets; a finished model can be given others, and its card tells what each buys."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("soundfile")
pytest.importorskip("scipy")
pytest.importorskip("tensorboard")

import itertools

from engine.config import FrontEnd
from engine.weights import load, save
from models.calibrate import BUDGET, CANDIDATES, HYSTERESIS, Counts, calibrated
from models.calibrate_cli import calibrate
from models.card import card
from models.data.corpus import Clip
from models.data.ontology import LABELS
from models.hearing import Heard
from models.make import make
from models.train import Recipe
from tests.models_corpus import write_corpus

TINY = Recipe(front_end=FrontEnd(bands=16), hidden=(12,), scenes=24, epochs=1, batch=8, seed=5)


def heard(label: str, evidence: np.ndarray) -> Heard:
    clip = Clip("x", label, "library", "group", "calibrate", "", np.zeros(len(evidence) * 160, np.int16))
    return Heard(clip, evidence.astype(np.float32), [], 0, len(evidence) * 160)


@pytest.fixture(scope="module")
def clips() -> tuple[list[Heard], list[Heard]]:
    """Each label's clips rise for it and a little for its neighbour; noise wanders about every label."""
    random = np.random.default_rng(2)
    instruments = []
    for index, label in enumerate(LABELS):
        for _ in range(6):
            v = random.normal(-1.0, 0.8, (200, len(LABELS)))
            v[:, index] += random.uniform(2.0, 5.0)
            v[:, (index + 1) % len(LABELS)] += random.uniform(0.0, 3.0)
            instruments.append(heard(label, v))
    negatives = [heard("noise", random.normal(0.2, 0.9, (3_000, len(LABELS)))) for _ in range(3)]
    return instruments, negatives


def test_false_onsets_are_those_of_a_latch_written_out(clips: tuple[list[Heard], list[Heard]]) -> None:
    instruments, negatives = clips
    counts = Counts(instruments, negatives)
    for label, index in ((0, 5), (7, 12), (23, 20)):
        onsets = 0
        for one in negatives:
            on, below = False, 0
            for v in one.evidence[:, label].astype(np.float64):
                if not on and v > CANDIDATES[index]:
                    on, below, onsets = True, 0, onsets + 1
                elif on:
                    below = below + 1 if v < CANDIDATES[index] - HYSTERESIS else 0
                    on = below < 12  # 120 ms, LatchSettings' default
        assert onsets > 0
        assert counts.false_per_hour[label, index] == pytest.approx(onsets / counts.hours)


def test_a_lower_budget_gives_fewer_false_onsets_and_less_recall(clips: tuple[list[Heard], list[Heard]]) -> None:
    _, _, told = calibrated(*clips)
    curve = told["curve"]
    assert [row["budget_per_hour"] for row in curve][:2] == [None, 24.0]
    for above, below in itertools.pairwise(curve):
        assert below["false_onsets_per_hour"] <= above["false_onsets_per_hour"]
        assert below["recall"] <= above["recall"]
        assert below["false_onsets_per_hour"] <= below["budget_per_hour"] + 1e-9
    assert curve[0]["false_onsets_per_hour"] > 100
    assert told["chosen"]["budget_per_hour"] == BUDGET


def test_a_label_that_is_never_fooled_leaves_its_share_to_others() -> None:
    frames = np.full((500, len(LABELS)), -4.0)
    own = {name: frames.copy() for name in ("flute", "cello")}
    names = list(LABELS)
    for name, v in own.items():
        v[:, names.index(name)] = 3.0
    noise = frames.copy()
    noise[:100, names.index("cello")] = 3.5  # one onset in 5 s: 720 an hour for cello, 30 for each of 24 labels
    instruments = [heard(name, v) for name, v in own.items()]
    keeps = Counts(instruments, [heard("noise", noise)]).point(31.0)
    assert (keeps.recall, keeps.false_onsets_per_hour) == (100.0, 30.0)
    strict = Counts(instruments, [heard("noise", noise)]).point(10.0)
    assert strict.false_onsets_per_hour == 0.0
    assert "cello" in strict.silent


def test_a_label_without_clips_of_its_own_gets_a_threshold_that_suits_the_others(
    clips: tuple[list[Heard], list[Heard]],
) -> None:
    instruments, negatives = clips
    without = Counts([one for one in instruments if one.clip.label != "flute"], negatives).choose(None)
    at = list(LABELS).index("flute")
    assert abs(int(without[at]) - int(np.median(np.delete(without, at)))) <= 3
    assert np.median(without) > 10  # a membrane above 1


def test_the_command_gives_a_finished_model_other_thresholds_and_the_same_weights(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus")
    model = make(folder, TINY, soundfonts=())
    save(model, tmp_path / "m.safetensors")
    app = typer.Typer()
    app.command()(calibrate)
    out = tmp_path / "strict.safetensors"
    arguments = [tmp_path / "m.safetensors", "--data", folder, "--out", out, "--false-onsets-per-hour", "3"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    strict = load(out)
    for a, b in zip(strict.layers, model.layers, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
    assert strict.trained["recipe"]["seed"] == 5
    assert strict.trained["calibration"]["chosen"]["budget_per_hour"] == 3.0
    text = card(out)
    assert "| **3** |" in text
    assert re.search(r"\| activation sparsity \| \d+\.\d % \|", text)
    assert "| footprint: parameters and membranes |" in text
    assert text == out.with_suffix(".md").read_text(encoding="utf-8")


def test_the_command_refuses_data_without_a_report_half(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,instrument,source,group,licence\n")
    app = typer.Typer()
    app.command()(calibrate)
    result = CliRunner().invoke(app, ["--data", str(tmp_path), "--out", str(tmp_path / "x.safetensors")])
    assert result.exit_code == 2
    assert "half" in result.output
