"""`spiccato evaluate` on recordings with several instruments: figures worked out by hand, bad tables, a real run."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from engine.weights import Model, save
from models.data.recording import CorpusError
from models.evaluation.mixtures import Mixture, figures, hear, judge, read, segments, table_of
from tests.conftest import ROOT
from tests.synth import silence, tone

LOW, HIGH = 200.0, 4000.0


def truth(folder: Path, rows: list[tuple[Any, ...]], header: str = "path,onset_s,offset_s,label") -> Path:
    table = folder / "truth.csv"
    with table.open("w", newline="") as file:
        file.write(header + "\n")
        csv.writer(file).writerows(rows)
    return table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a.wav: low from 0.5 to 2 s, high from 3 to 4.5 s. b.wav: high alone, called low by the truth."""
    pieces = [silence(0.5), tone(LOW, 1.5), silence(1.0), tone(HIGH, 1.5), silence(1.0)]
    soundfile.write(tmp_path / "a.wav", np.concatenate(pieces), 16_000)
    soundfile.write(tmp_path / "b.wav", np.concatenate([silence(0.5), tone(HIGH, 1.5), silence(0.5)]), 16_000)
    truth(tmp_path, [("a.wav", 0.5, 2.0, "low"), ("a.wav", 3.0, 4.5, "high"), ("b.wav", 0.5, 2.0, "low")])
    return tmp_path


def test_a_folder_of_mixtures_is_judged_through_the_engine(folder: Path, toy: Model) -> None:
    told = judge(toy, folder / "truth.csv")
    assert told["files"] == 2
    assert told["seconds"] == pytest.approx(8.0)
    low, high = (told["file_labels"]["labels"][label] for label in ("low", "high"))
    assert low == {"precision": 1.0, "recall": 0.5, "f1": 0.6667}
    assert high == {"precision": 0.5, "recall": 1.0, "f1": 0.6667}
    assert told["file_labels"]["macro_f1"] == 0.6667
    assert told["segments"]["0.1"]["labels"]["low"]["recall"] == pytest.approx(0.5, abs=0.1)
    assert told["event_f1"]["200"]["onset"]["recall"] == pytest.approx(2 / 3, abs=1e-4)


def test_what_is_said_of_a_stream_has_the_times_of_the_file(folder: Path, toy: Model) -> None:
    heard = hear(toy, folder / "a.wav", [])
    assert [label for label, _, _ in heard.said] == ["low", "high"]
    assert [onset for _, onset, _ in heard.said] == pytest.approx([0.5, 3.0], abs=0.05)


def test_segments_by_hand(toy: Model) -> None:
    mixture = Mixture(2.5, truth=[("low", 0.0, 1.0), ("high", 1.2, 2.0)], said=[("low", 0.4, 1.1)])
    assert segments(mixture, 1.0) == [({"low"}, {"low"}), ({"high"}, {"low"}), (set(), set())]
    told = figures(toy, [mixture])["segments"]["1"]
    assert (told["precision"], told["recall"]) == (0.5, 0.5)
    assert told["labels"]["low"] == {"precision": 0.5, "recall": 1.0, "f1": 0.6667}
    assert told["labels"]["high"]["f1"] == 0.0
    assert told["macro_f1"] == 0.3333


def test_ends_on_a_boundary_belong_to_the_segment_before() -> None:
    mixture = Mixture(0.6, truth=[("low", 0.1, 0.3)], said=[])
    assert [bool(true) for true, _ in segments(mixture, 0.1)] == [False, True, True, False, False, False]


def test_a_file_with_an_unknown_instrument_is_left_out_whole(folder: Path, toy: Model) -> None:
    truth(folder, [("a.wav", 0, 1, "low"), ("a.wav", 1, 2, "theremin"), ("b.wav", 0, 1, "high")])
    truths, left_out = read(folder / "truth.csv", toy)
    assert list(truths) == ["b.wav"]
    assert [(one.name, one.instrument) for one in left_out] == [("a.wav", "theremin")]


@pytest.mark.parametrize(
    "row", [("a.wav", 1, 1, "low"), ("a.wav", "x", 1, "low"), ("", 0, 1, "low"), ("a.wav", 0, "inf", "low"), ("a.wav",)]
)
def test_a_line_that_is_no_truth_is_named(row: tuple[Any, ...], folder: Path, toy: Model) -> None:
    truth(folder, [("b.wav", 0, 1, "high"), row])
    with pytest.raises(CorpusError, match="line 3: needs a path"):
        read(folder / "truth.csv", toy)


def test_other_tables_and_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    assert table_of(tmp_path) is None
    other = truth(tmp_path, [("a.wav", "low")], header="path,instrument")
    assert table_of(tmp_path) is None
    assert table_of(other) is None
    assert table_of(tmp_path / "missing.csv") is None


def test_the_command_writes_the_figures_and_refuses_what_does_not_apply(folder: Path, toy: Model) -> None:
    save(toy, folder / "toy.safetensors")
    (folder / "c.wav").write_bytes(b"no sound")
    with (folder / "truth.csv").open("a") as file:
        file.write("c.wav,0,1,low\n")
    command = [sys.executable, "-m", "spiccato", "evaluate", str(folder), "--model", str(folder / "toy.safetensors")]
    done = subprocess.run(
        [*command, "--json", str(folder / "out.json")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads((folder / "out.json").read_text())
    assert told["files"] == 2
    assert [row["path"] for row in told["left_out"]] == ["c.wav"]
    assert "labels of a file" in done.stdout
    assert "66.7 %" in done.stdout
    refused = subprocess.run([*command, "--sweeps"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "--sweeps" in refused.stderr
