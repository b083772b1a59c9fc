"""The zoo: systems train a few steps by the real command, come back from their file as they were, and are judged."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.zoo import file
from models.zoo.judge import answer, balanced_accuracy, macro_f1, since_onset
from models.zoo.registry import names, system
from models.zoo.system import Labeller, ZooError
from spiccato.cli import app
from tests.models_corpus import write_corpus
from tests.synth import tone

QUICK = {"lstm": "cells=8,layers=1"}


class Fake(Labeller):
    """Hears nothing but its last tenth of a second's loudness: the row's first score is its peak."""

    labels = ("a", "b")
    hop_samples = 1_600
    parameters = 0
    operations_per_s = 0

    def tensors(self):
        return {}

    def scores(self, samples):
        peaks = np.abs(samples.reshape(-1, 1_600)).max(axis=1)
        return np.stack([peaks, np.full_like(peaks, 0.2)], axis=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_label_system_trains_is_judged_and_comes_back_as_it_was(name: str, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "it.safetensors"
    settings = [f"--set={pair}" for pair in QUICK[name].split(",")]
    run = CliRunner().invoke(
        app,
        ["train", "--system", name, "--data", str(corpus), "--out", str(out), "--no-soundfonts", "--epochs=2",
         "--set=examples=64", "--set=batch=16", *settings, f"--run={tmp_path / 'run'}"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    results = json.loads(out.with_suffix(".json").read_text())
    assert results["figures"]["clips"] == 4
    assert list(results["figures"]["balanced_accuracy"]) == ["100", "200", "500", "1000"]
    assert (tmp_path / "run" / "log.jsonl").exists()
    first, second = file.load(out).trained, file.load(out).trained
    sound = tone(300.0, 1.0)
    assert isinstance(first, Labeller)
    assert isinstance(second, Labeller)
    scores = first.scores(sound)
    assert scores.shape == (10, len(first.labels))
    assert np.allclose(scores.sum(axis=1), 1.0, atol=1e-3)
    assert np.array_equal(scores, second.scores(sound))
    assert np.allclose(scores[:4], first.scores(sound[: 4 * 1_600]), atol=1e-5)  # a row hears nothing that comes later


def test_the_judge_hears_whole_tenths_of_a_second_since_the_onset() -> None:
    sound = np.zeros(16_000, np.float32)
    sound[2_400:] = 0.3 * np.sin(np.arange(13_600, dtype=np.float32) / 5)
    sound[2_400 + 4_000 :] *= 0.01  # loud for 250 ms only
    rows = since_onset(Fake(), sound)
    assert len(rows) == 8  # the clip ends 850 ms after the onset
    assert [round(float(value), 1) for value in rows[:, 0]] == [0.3, 0.3, 0.3, 0, 0, 0, 0, 0]
    assert answer(Fake(), rows, 300, "mean") == "a"
    assert answer(Fake(), rows, 1000, "mean") == answer(Fake(), rows, 400, "last") == "b"
    assert len(since_onset(Fake(), sound[:3_000])) == 1  # too short for a row, and judged all the same


def test_figures_count_every_instrument_as_equally_frequent() -> None:
    table = {"a": {"a": 9, "b": 1}, "b": {"b": 1, "a": 1}}
    assert balanced_accuracy(table) == 70.0
    assert macro_f1(table) == pytest.approx(100 * (2 * 0.9 / (1 + 1.4) + 2 * 0.5 / (1 + 0.6)) / 2, abs=0.05)


def test_settings_are_read_by_their_type_and_a_wrong_one_is_named() -> None:
    lstm = system("lstm")
    assert lstm.set({"cells": "12", "views": "envelope,samples"}).views == ("envelope", "samples")  # type: ignore[attr-defined]
    for given, sentence in (({"cells": "many"}, "cells='many' is no int"), ({"cell": "1"}, "no setting 'cell'")):
        with pytest.raises(ZooError, match=sentence):
            lstm.set(given)


def test_a_name_that_is_no_system_is_told_with_those_that_are(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["train", "--system", "yamnet", "--data", "x", "--out", str(tmp_path / "o")])
    assert run.exit_code == 2
    assert all(name in run.output for name in names())
    listed = CliRunner().invoke(app, ["train", "--system", "list"])
    assert listed.exit_code == 0
    assert [line.partition(":")[0] for line in listed.output.splitlines()] == list(names())


def test_a_file_that_is_none_of_the_zoo_is_refused_by_name(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[1] / "models/weights/orchestra.safetensors"
    assert not file.is_zoo(shipped)
    for path in (shipped, tmp_path / "missing"):
        with pytest.raises(ZooError, match=path.name):
            file.load(path)
