"""The zoo: systems train a few steps by the real command, come back from their file as they were, and are judged."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engine.weights import load
from models.data.recording import Recording, midi_of
from models.zoo import file, table
from models.zoo.answer_time import measured
from models.zoo.data import Data
from models.zoo.judge import answer, balanced_accuracy, judge, macro_f1, since_onset
from models.zoo.measures import NAMES, measures
from models.zoo.philharmonia import Philharmonia, by_pitch
from models.zoo.registry import names, system
from models.zoo.spectra import mel_picture, power_frames
from models.zoo.system import Labeller, Run, ZooError
from spiccato.cli import app
from tests.models_corpus import write_corpus, write_note
from tests.synth import tone

QUICK = {
    "lstm": ("cells=8", "layers=1", "views=spectrum,envelope,samples"),
    "mel-cnn": (
        "trials=2",
        "trial_examples=16",
        "trial_epochs=1",
        "filters=8",
        "groups=3",
        "greatest_operations=5000000",
    ),
    "tall-kernel-cnn": ("filters=4", "then=8"),
    "two-branch": ("hidden=8", "joined=8"),
}


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
    settings = [f"--set={pair}" for pair in QUICK[name]]
    run = CliRunner().invoke(
        app,
        ["train", "--system", name, "--data", str(corpus), "--out", str(out), "--no-soundfonts", "--epochs=1",
         "--set=examples=32", "--set=batch=16", *settings, f"--run={tmp_path / 'run'}"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    results = json.loads(out.with_suffix(".json").read_text())
    assert results["figures"]["clips"] == 4
    assert list(results["figures"]["balanced_accuracy"]) == ["100", "200", "500", "1000"]
    assert (tmp_path / "run" / "log.jsonl").exists()
    if name == "mel-cnn":  # each trial is told: sizes, how it ended, its own log
        trials = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
        assert sum(row["ended"] != "too large" for row in trials) == 2
        assert trials[0]["ended"] == "whole"
        assert (tmp_path / "run" / "trial-00" / "log.jsonl").exists()
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


def test_the_time_to_the_first_answer_is_measured_from_onsets_at_any_place() -> None:
    fake = Fake()  # a row each 100 ms
    time = measured(fake.scores, fake.hop_samples)
    assert (time["sound_ms"], time["worst_sound_ms"]) == (50.0, 93.8)
    assert time["compute_ms"] >= 0.0

    def late(samples):  # the same, three rows later
        rows = fake.scores(samples)
        return np.concatenate([np.zeros((3, 2), np.float32), rows])[: len(rows)]

    assert measured(late, fake.hop_samples)["sound_ms"] == 350.0
    with pytest.raises(ValueError, match="no row differs"):
        measured(lambda samples: np.zeros((len(samples) // 1_600, 2), np.float32), 1_600)


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


def test_a_zoo_file_judges_a_folder_and_tells_what_it_hears_in_a_sound(corpus: Path, tmp_path: Path) -> None:
    out, figures = tmp_path / "tall.safetensors", tmp_path / "figures.json"
    tall = system("tall-kernel-cnn")
    settings = tall.set({"examples": 32, "epochs": 1, "filters": 2, "then": 4})
    trained = tall.train(settings, Data([corpus]), Run())
    file.save(out, tall, settings, trained, {"kind": "labels"})
    command = ["evaluate", str(corpus), "--model", str(out), "--json", str(figures)]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    told = json.loads(figures.read_text())
    assert told["clips"] == 16
    assert set(told["targets"]) == {"flute", "cello"}
    assert told["balanced_accuracy_at_ms"]["1000"] == np.mean([row["accuracy"] for row in told["targets"].values()])
    note = write_note(tmp_path / "note.wav", seconds=1.5)
    run = CliRunner().invoke(app, ["evaluate", str(note), "--model", str(out), "--json", str(figures)])
    assert run.exit_code == 0, run.output
    assert [row["at_s"] for row in json.loads(figures.read_text())["predicted"]] == [0.0, 1.0]
    refused = CliRunner().invoke(app, [*command, "--sweeps"])
    assert refused.exit_code == 1
    assert "--sweeps" in refused.output


def test_the_measures_are_what_their_definitions_say() -> None:
    time_s = np.arange(16_000, dtype=np.float32) / 16_000
    sine = np.sin(2 * np.pi * 500 * time_s) * (1 + 0.5 * np.sin(2 * np.pi * 6 * time_s))
    rising = np.sin(2 * np.pi * 500 * time_s) * np.minimum(time_s / 0.1, 1)
    odd = sum(np.sin(2 * np.pi * 250 * k * time_s) / k for k in (1, 3, 5, 7)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(16_000, dtype=np.float32)
    told = {
        name: dict(zip(NAMES, measures(sound.astype(np.float32), power_frames(sound.astype(np.float32))), strict=True))
        for name, sound in (("sine", sine), ("rising", rising), ("odd", odd), ("noise", noise))
    }
    assert len(NAMES) == 20
    assert 10 ** told["rising"]["log_attack_time"] == pytest.approx(0.08, abs=0.03)
    assert told["sine"]["tremolo"] > 0.6 > told["noise"]["tremolo"]
    assert told["sine"]["centroid"] == pytest.approx(-1.0, abs=0.05)
    assert told["sine"]["pitch"] == pytest.approx(-1.0, abs=0.05)
    assert told["sine"]["zero_crossings"] == pytest.approx(1000 / 16_000, rel=0.05)
    assert told["odd"]["pitch"] == pytest.approx(-2.0, abs=0.05)
    assert told["odd"]["odd_to_even"] > 1.0
    assert told["noise"]["flatness"] > -0.1 > told["odd"]["flatness"]
    assert told["odd"]["harmonicity"] > 0.7 > told["noise"]["harmonicity"]
    silence = np.zeros(16_000, np.float32)
    assert not measures(silence, power_frames(silence)).any()


def test_a_picture_is_the_same_at_every_level_and_silence_is_black() -> None:
    sound = tone(440.0, 1.0)[:16_000]
    assert np.allclose(mel_picture(sound), mel_picture(sound * np.float32(0.01)), atol=1e-4)
    assert mel_picture(sound).max() == 1.0
    assert not mel_picture(np.zeros(16_000, np.float32)).any()


def test_no_pitch_is_on_two_sides_of_the_split_by_note() -> None:
    recordings = [
        Recording(
            path=Path("x"), name=f"{name}-{pitch}", instrument=name, library="philharmonia", group=name, pitch=pitch
        )
        for name in ("flute", "cor_anglais")
        for pitch in range(40, 82)
    ]
    parts = by_pitch(recordings)
    assert set(parts) == set(range(40, 82))
    assert {part: list(parts.values()).count(part) for part in parts.values()} == {
        "train": 30,
        "calibrate": 6,
        "report": 6,
    }


def test_the_tables_in_the_document_are_those_of_the_results() -> None:
    document = table.DOCUMENT.read_text(encoding="utf-8")
    assert table.placed(document, table.tables(table.read(), load(table.JUDGED), table.read_times())) == document


def test_every_result_is_of_a_system_that_exists_and_tells_how_it_was_made() -> None:
    for one in table.read():
        assert one["system"] in names()
        assert {"date", "machine", "settings", "training_cpu_s", "data", "figures"} <= set(one)


def test_the_philharmonia_alone_is_learned_by_fine_name_and_pitch(tmp_path: Path) -> None:
    for name, overtone in (("flute", 1.0), ("cor-anglais", 3.0)):
        for note in ("C4", "Cs4", "D4", "Ds4", "E4", "F4", "Fs4"):
            pitch = midi_of(note.replace("s", "#"))
            assert pitch is not None
            hz = overtone * 440.0 * 2 ** ((pitch - 69) / 12)
            write_note(tmp_path / "notes" / f"{name}_{note}_05_forte_normal.wav", hz, 0.3)
    data = Philharmonia([tmp_path / "notes"])
    assert data.labels == ("cor_anglais", "flute")  # a cor anglais is no label of the shipped model, and one here
    sides = {part: {clip.pitch for clip in data.part(part)} for part in ("train", "calibrate", "report")}
    assert [len(pitches) for pitches in sides.values()] == [5, 1, 1]
    assert len(set.union(*sides.values())) == 7
    tall = system("tall-kernel-cnn")
    trained = tall.train(tall.set({"examples": 16, "epochs": 1, "filters": 2, "then": 4, "batch": 8}), data, Run())
    assert isinstance(trained, Labeller)
    assert set(judge(trained, data.part("report"))["confusion"]) == {"cor_anglais", "flute"}
