"""`spiccato evaluate`: folders and tables, good and bad, through the toy model; figures worked out by hand."""

import csv
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from engine.weights import Model
from models.data.recording import CorpusError
from models.evaluation.collars import SoundEvent, event_f1, found, matched
from models.evaluation.figures import average_precision
from models.evaluation.interval import interval95
from models.evaluation.listing import read
from models.evaluation.onset import end_frame, onset_frame
from models.evaluation.operations import Operations
from models.evaluation.run import evaluate
from models.evaluation.sound import Unreadable, pieces
from models.evaluation.target import Target, target_of
from models.hearing import mean_scores
from spiccato.evaluate import Outputs
from tests.conftest import ROOT
from tests.synth import silence, tone, write_wav

LOW, HIGH = 200.0, 4000.0


def note(path: Path, hz: float, seconds: float = 1.0, rate: int = 16_000, channels: int = 1, lead: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.concatenate([silence(lead, rate), tone(hz, seconds, rate)])
    soundfile.write(path, np.repeat(sound[:, None], channels, axis=1), rate)
    return path


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    fields = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips of `low`, one of which sounds high; one of `high`; a minute of silence; what is to be left out."""
    root = tmp_path / "library"
    note(root / "low" / "a.wav", LOW)
    note(root / "low" / "b.flac", LOW, rate=44_100, channels=2)
    note(root / "Low" / "short.wav", LOW, seconds=0.2)
    note(root / "low" / "wrong.wav", HIGH)
    note(root / "high" / "x" / "a.wav", HIGH, rate=48_000)
    note(root / "ocarina" / "a.wav", HIGH)
    (root / "low" / "broken.wav").write_bytes(b"no sound at all")
    (root / "high" / "empty.flac").write_bytes(b"")
    write_wav(root / "high" / "nothing.wav", silence(0.5))
    (root / "low" / "notes.txt").write_text("no sound, not meant to be")
    (root / "silence").mkdir()
    write_wav(root / "silence" / "room.wav", silence(60.0))
    return root


# --- figures worked out by hand ---


def test_a_folder_of_instruments_is_judged_and_what_cannot_be_is_told(toy: Model, folder: Path) -> None:
    found = evaluate(toy, folder)
    assert (found["clips"], found["negatives"]) == (5, 1)
    assert found["balanced_accuracy"] == 0.875  # 3 of 4 low, 1 of 1 high
    assert found["balanced_accuracy_at_ms"] == {"50": 0.875, "100": 0.875, "200": 0.875, "500": 0.875, "1000": 0.875}
    assert found["confusion"] == {"high": {"high": 1}, "low": {"low": 3, "high": 1}}
    assert found["labels"]["low"]["recall"] == 0.75
    assert found["labels"]["high"]["precision"] == 0.8  # 1 of every high clip, 1/4 of every low one: 1 / 1.25
    assert found["labels"]["high"]["f1"] == pytest.approx(2 * 0.8 / 1.8, abs=1e-4)
    assert found["family_accuracy"] == 1.0  # the toy has one family
    assert found["false_onsets"]["onsets"] == 0
    assert found["false_onsets"]["hours"] == pytest.approx(1 / 60, abs=1e-3)
    reasons = {row["path"]: row["reason"] for row in found["left_out"]}
    assert set(reasons) == {"low/broken.wav", "high/empty.flac", "high/nothing.wav", "ocarina/a.wav"}
    assert reasons["ocarina/a.wav"] == "'ocarina' is no instrument that is known"
    assert reasons["high/nothing.wav"] == "nothing sounds in it"
    assert "0 bytes" in reasons["high/empty.flac"]


def test_the_same_seed_gives_the_same_figures_and_sweeps_name_every_condition(toy: Model, tmp_path: Path) -> None:
    for name, hz in (("low", LOW), ("high", HIGH)):
        for index in range(3):
            note(tmp_path / name / f"{index}.wav", hz * (1 + 0.1 * index), seconds=0.5)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    (tmp_path / "noise").mkdir()
    write_wav(tmp_path / "noise" / "a.wav", noise)
    found = evaluate(toy, tmp_path, sweeps=True, limit=2)
    assert found == evaluate(toy, tmp_path, sweeps=True, limit=2)
    assert found["clips"] == 4
    sweeps = found["sweeps"]
    assert list(sweeps["level_db"]) == ["-40", "-30", "-20", "-10", "+0", "+10", "+20"]
    assert set(sweeps["level_db"].values()) == {1.0}
    for name in ("white_noise_snr_db", "negatives_snr_db"):
        assert list(sweeps[name]) == ["0", "10", "20", "30", "inf"]
        assert sweeps[name]["30"] == sweeps[name]["inf"] == 1.0
        assert sweeps[name]["0"] == 0.5  # as loud as the note, white noise drives more bands of `high`
    assert found["balanced_accuracy_300_ms_pieces"] == 1.0


def test_the_time_to_an_event_and_its_onset_count_from_the_notes_beginning(toy: Model, tmp_path: Path) -> None:
    note(tmp_path / "low" / "a.wav", LOW, lead=0.5)
    found = evaluate(toy, tmp_path)
    assert 0 < found["onset_to_event_ms"]["median"] <= 250
    assert found["operations_per_s"]["seconds"] == 1.5  # of the clip, not of the silence around it
    assert found["event_f1"]["50"]["onset_offset"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "macro_f1": 1.0}


def test_synaptic_operations_are_spikes_times_weights_that_are_not_zero(toy: Model) -> None:
    layer = toy.layers[0]
    weight = layer.weight.copy()
    weight[0] = 0  # the synapses of fibre 0 do nothing
    model = replace(toy, layers=(replace(layer, weight=weight),))
    operations = Operations(model)
    cochlea = np.zeros((100, weight.shape[0]), np.uint8)
    cochlea[:, :3] = 1  # three fibres in every frame, one of them without synapses
    operations.add(cochlea, np.ones((100, 2), np.uint8))  # the output neurons drive nothing
    figures = operations.figures()
    assert figures["effective_accumulates"] == 2 * 2 * 100  # fibres with synapses, labels, frames a second
    assert figures["dense_synaptic_operations"] == weight.size * 100
    assert figures["membrane_updates"] == (weight.shape[0] + 2) * 100
    assert figures["yamnet_multiplies"] == [72_083_333, 144_166_667]
    fibres = weight.shape[0]
    assert figures["footprint_bytes"] == weight.size + 2 * (4 + 4 + 4 + 4)  # bias, beta, threshold, membrane
    assert figures["connection_sparsity"] == round(1 / fibres, 4)
    assert figures["activation_sparsity"] == round(1 - 5 / (fibres + 2), 4)  # three fibres and both labels fire


def test_average_precision_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert average_precision(np.ones(4), np.array([False, True, False, False])) == 0.25  # ties: one threshold


def test_the_interval_is_a_point_without_doubt_and_wide_where_groups_disagree() -> None:
    assert interval95(["a"] * 8, [None] * 8, [True] * 8, seed=1) == (1.0, 1.0)
    assert interval95([], [], [], seed=1) is None
    right = [True] * 50 + [False] * 50
    alone = interval95(["a"] * 100, [None] * 100, right, seed=1)
    players = interval95(["a"] * 100, ["anna"] * 50 + ["ben"] * 50, right, seed=1)
    assert alone is not None
    assert alone == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.02)  # binomial
    assert players == (0.0, 1.0)  # a quarter of the draws holds one player only, whichever


# --- events: a naive reference, and sed_eval where it is installed ---


def random_events(generator: random.Random, most: int) -> list[SoundEvent]:
    events = []
    for _ in range(generator.randint(0, most)):
        onset = round(generator.uniform(0, 0.5), 3)
        events.append((generator.choice("ab"), onset, round(onset + generator.uniform(0.05, 1.0), 3)))
    return events


def most_pairs(truth: list[SoundEvent], said: list[SoundEvent], collar: float, offsets: bool) -> int:
    """By trying every assignment."""
    slots = [*said, *[None] * len(truth)]
    return max(
        sum(b is not None and found(a, b, collar, offsets) for a, b in zip(truth, order, strict=False))
        for order in permutations(slots, len(truth))
    )


def test_as_many_events_are_matched_as_can_be() -> None:
    generator = random.Random(1)
    for _ in range(150):
        truth, said = random_events(generator, 4), random_events(generator, 4)
        for collar, offsets in ((0.05, False), (0.2, True), (0.2, False)):
            assert len(matched(truth, said, collar, offsets)) == most_pairs(truth, said, collar, offsets)


def test_collars_are_sed_evals() -> None:
    truth = ("a", 1.0, 2.0)
    assert found(truth, ("a", 1.05, 2.5), 0.0501, offsets=True)  # half of the length
    assert not found(truth, ("a", 1.05, 2.51), 0.0501, offsets=True)
    assert found(truth, ("a", 1.05, 9.0), 0.0501, offsets=False)
    assert not found(truth, ("a", 1.06, 2.0), 0.0501, offsets=True)
    assert found(("a", 1.0, 1.1), ("a", 1.0, 1.3), 0.2001, offsets=True)  # the collar, where the event is short
    assert not found(truth, ("b", 1.0, 2.0), 1.0, offsets=False)


@pytest.mark.parametrize(("collar", "offsets"), [(0.05, False), (0.2, False), (0.2, True)])
def test_event_f1_equals_sed_evals(collar: float, offsets: bool) -> None:
    sed_eval = pytest.importorskip("sed_eval", reason="sed_eval is not installed: pip install sed_eval")
    generator = random.Random(2)
    theirs = sed_eval.sound_event.EventBasedMetrics(["a", "b"], evaluate_offset=offsets, t_collar=collar)
    clips = [([("a", 0.1, 0.6), *random_events(generator, 3)], random_events(generator, 4)) for _ in range(60)]
    for pair in clips:
        theirs.evaluate(*([{"event_label": a, "onset": b, "offset": c} for a, b, c in events] for events in pair))
    ours = event_f1(clips, collar, offsets)
    expected = theirs.results_overall_metrics()["f_measure"]
    assert {key: ours[key] for key in ("precision", "recall", "f1")} == pytest.approx(
        {"precision": expected["precision"], "recall": expected["recall"], "f1": expected["f_measure"]}, abs=1e-4
    )
    macro = theirs.results_class_wise_average_metrics()["f_measure"]["f_measure"]
    assert ours["macro_f1"] == pytest.approx(macro, abs=1e-4)


# --- names ---


@pytest.mark.parametrize(
    ("name", "label"),
    [("French Horn", "french_horn"), ("cor", "french_horn"), ("double-bass", "double_bass"),
     ("contrabass", "double_bass"),
     ("alto_sax", "saxophone"), ("alto_saxophone", "saxophone"), ("marimba", "mallets"), ("Violins I", "violin")],
)  # fmt: skip
def test_names_as_people_write_them_have_a_label(orchestra: Model, name: str, label: str) -> None:
    assert target_of(name, orchestra) == Target(label, frozenset({label}))


@pytest.mark.parametrize("name", ["noise", "speech", "silence", "none"])
def test_negatives_have_no_right_answer(orchestra: Model, name: str) -> None:
    target = target_of(name, orchestra)
    assert isinstance(target, Target)
    assert target.negative


def test_coarse_names_take_any_label_of_the_family(orchestra: Model) -> None:
    brass = Target("brass", frozenset({"trumpet", "french_horn", "trombone", "tuba"}))
    assert target_of("brass", orchestra) == target_of("Brass", orchestra) == brass
    strings = target_of("strings", orchestra)
    assert strings == target_of("bowed_strings", orchestra)
    assert isinstance(strings, Target)
    assert strings.right == {"violin", "viola", "cello", "double_bass"}
    assert strings.label is None
    guitar = target_of("guitar", orchestra)
    assert guitar == Target("guitar", frozenset({"guitar_acoustic", "guitar_electric"}))


def test_what_the_model_has_no_label_for_is_told_apart_from_what_nobody_knows(orchestra: Model, toy: Model) -> None:
    assert target_of("cor anglais", orchestra) == "the model has no label for 'cor anglais' (woodwind)"
    assert target_of("hurdy gurdy", orchestra) == "'hurdy gurdy' is no instrument that is known"
    assert target_of("violin", toy) == "the model has no label for 'violin' (bowed_strings)"


def test_a_family_of_the_model_is_a_coarse_name(toy: Model, tmp_path: Path) -> None:
    two = replace(toy, families=("deep", "shrill"))
    both = replace(toy, families=("pitch", "pitch"))
    assert target_of("shrill", two) == Target("high", frozenset({"high"}))
    assert target_of("pitch", both) == Target("pitch", frozenset({"low", "high"}))
    note(tmp_path / "low" / "a.wav", HIGH)
    note(tmp_path / "pitch" / "a.wav", HIGH)
    found = evaluate(both, tmp_path)
    assert found["targets"]["pitch"] == {"clips": 1, "accuracy": 1.0}
    assert found["balanced_accuracy"] == 0.5


# --- listings ---


def test_the_nearest_folder_that_names_an_instrument_counts(orchestra: Model, tmp_path: Path) -> None:
    for name in ("strings/violin/anna/a.wav", "strings/b.wav", "Oboe/c.wav", "stuff/d.wav", ".hidden/violin/e.wav"):
        note(tmp_path / name, LOW, 0.1)
    listed, left_out = read(tmp_path, orchestra)
    names = {item.name: item.target.name for item in listed}
    assert names == {"strings/violin/anna/a.wav": "violin", "strings/b.wav": "bowed_strings", "Oboe/c.wav": "oboe"}
    assert [(one.name, one.instrument) for one in left_out] == [("stuff/d.wav", "stuff")]
    alone, _ = read(tmp_path / "Oboe", orchestra)
    assert [item.target.name for item in alone] == ["oboe"]


def test_a_table_is_judged_line_by_line_and_bad_lines_are_left_out(toy: Model, tmp_path: Path) -> None:
    song = np.concatenate([tone(LOW, 1.0), tone(HIGH, 1.0)])
    write_wav(tmp_path / "song.wav", song)
    rows = [
        {"path": "song.wav", "instrument": "low", "onset_s": "0", "offset_s": "1", "group": "anna", "source": "mine"},
        {"path": "song.wav", "instrument": "high", "onset_s": "1.0", "offset_s": "2.0"},
        {"path": "song.wav", "instrument": "low", "onset_s": "5"},
        {"path": "song.wav", "instrument": "low", "onset_s": "soon"},
        {"path": "song.wav", "instrument": "low", "onset_s": "1", "offset_s": "1"},
        {"path": "gone.wav", "instrument": "low"},
        {"path": "", "instrument": "low"},
        {"path": "song.wav", "instrument": ""},
    ]
    found = evaluate(toy, table(tmp_path / "notes.csv", rows))
    assert found["balanced_accuracy"] == 1.0
    assert found["sources"]["mine"]["clips"] == 1
    reasons = sorted(row["reason"] for row in found["left_out"])
    assert reasons == [
        "line 8 gives no path",
        "no instrument is given",
        "no such file or directory",
        "offset_s=1 is not after onset_s=1",
        "onset_s='soon' is no time in seconds",
        "the file ends at 2.00 s, before onset_s=5",
    ]


def test_semicolons_a_byte_order_mark_and_capitals_in_the_head_are_understood(toy: Model, tmp_path: Path) -> None:
    note(tmp_path / "a.wav", LOW)
    (tmp_path / "manifest.csv").write_text("\ufeffPath; Instrument\na.wav;low\n", encoding="utf-8")
    listed, _ = read(tmp_path, toy)
    assert [item.target.name for item in listed] == ["low"]


def test_what_is_nothing_to_judge_is_refused_with_a_sentence(toy: Model, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\n")
    for path, sentence in ((tmp_path, "no sound files"), (tmp_path / "x", "not exist"), (tmp_path / "t.csv", "path")):
        with pytest.raises(CorpusError, match=sentence):
            read(path, toy)


# --- sound ---


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 1), (96_000, 1)])
def test_any_rate_and_any_channels_come_out_as_long_as_they_went_in(tmp_path: Path, rate: int, channels: int) -> None:
    path = note(tmp_path / "a.wav", LOW, seconds=1.0, rate=rate, channels=channels, lead=0.0)
    sound = np.concatenate(list(pieces(path, 16_000)))
    assert len(sound) == pytest.approx(16_000, abs=2)
    middle = slice(2_000, 14_000)
    np.testing.assert_allclose(sound[middle], tone(LOW, 1.0)[middle], atol=2e-3)


def test_a_part_of_a_file_is_exactly_those_samples(tmp_path: Path) -> None:
    sound = np.arange(48_000, dtype=np.float32) / 48_000
    write_wav(tmp_path / "a.wav", sound, subtype="FLOAT")
    part = np.concatenate(list(pieces(tmp_path / "a.wav", 16_000, 0.9, 2.1)))
    np.testing.assert_array_equal(part, sound[14_400:33_600])


def test_a_long_file_comes_in_pieces_that_make_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.sound.PIECE_S", 0.7)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000).astype(np.float32)
    write_wav(tmp_path / "a.wav", sound, subtype="FLOAT")
    parts = list(pieces(tmp_path / "a.wav", 16_000))
    assert [len(part) for part in parts] == [11_200, 11_200, 11_200, 6_400]
    np.testing.assert_array_equal(np.concatenate(parts), sound)


def test_a_truncated_file_is_unreadable(tmp_path: Path) -> None:
    path = note(tmp_path / "a.wav", LOW)
    path.write_bytes(path.read_bytes()[:-10_000])
    with pytest.raises(Unreadable, match="truncated"):
        list(pieces(path, 16_000))


# --- the note's onset ---


@pytest.mark.parametrize("hiss_db", [-200, -40, -20, -14])
def test_silence_and_hiss_before_a_note_are_no_part_of_it(hiss_db: float) -> None:
    lead = 0.3 / 2**0.5 * 10 ** (hiss_db / 20) * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    sound = np.concatenate([lead, tone(440, 0.5)])
    assert onset_frame(sound, 160) == 50
    assert end_frame(np.concatenate([sound, silence(0.5)]), 160) == 100


def test_a_swell_begins_where_it_is_first_heard() -> None:
    sound = tone(440, 2.0) * np.linspace(0.05, 1.0, 32_000, dtype=np.float32)
    assert onset_frame(sound, 160) == 0


# --- the command ---


def spiccato(*arguments: object, status: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "spiccato", "evaluate", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_the_command_writes_what_it_says(toy_path: Path, folder: Path, tmp_path: Path) -> None:
    out, matrix = tmp_path / "figures.json", tmp_path / "confusion.csv"
    told = spiccato(folder, "--json", out, "--model", toy_path, "--confusion", matrix).stdout
    assert "87.5 %" in told
    assert "low/broken.wav" in told
    figures = json.loads(out.read_text())
    assert set(figures["balanced_accuracy_at_ms"]) == {"50", "100", "200", "500", "1000"}
    assert matrix.read_text().split() == [",low,high", "high,0,1", "low,3,1"]


def test_the_command_ends_with_a_sentence_where_nothing_can_be_judged(toy_path: Path, tmp_path: Path) -> None:
    assert "does not exist" in spiccato(tmp_path / "gone", "--model", toy_path, status=1).stderr
    note(tmp_path / "ocarina" / "a.wav", LOW)
    out = tmp_path / "figures.json"
    assert "nothing could be judged" in spiccato(tmp_path, "--model", toy_path, "--json", out, status=1).stderr
    assert json.loads(out.read_text())["balanced_accuracy"] is None
    assert "no such folder" in spiccato(tmp_path, "--json", tmp_path / "gone" / "x.json", status=1).stderr


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no pictures")
    figures = {"confusion": {"low": {"low": 3, "high": 1}}, "balanced_accuracy_at_ms": {"50": 0.5, "1000": 0.75}}
    Outputs(plots=tmp_path / "new").write(figures, ("low", "high"))
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"confusion.png", "accuracy.png"}


def test_judging_needs_nothing_that_only_training_installs() -> None:
    code = (
        "import sys, spiccato.evaluate\n"
        "print([m for m in ('torch', 'snntorch', 'soundfile', 'music21', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


def test_an_answer_leaves_out_the_frames_in_which_the_network_still_gathers() -> None:
    evidence = np.full((20, 2), -50.0, np.float32)
    evidence[:8, 0] = 50.0  # what came before the note
    evidence[8:, 1] = 50.0
    assert mean_scores(evidence, 10) == pytest.approx([0.0, 1.0])
    assert mean_scores(evidence, 20) == pytest.approx([0.0, 1.0])
    assert mean_scores(evidence, 5) == pytest.approx([1.0, 0.0])  # the last frame always counts
    assert mean_scores(evidence[:3], 100) == pytest.approx([1.0, 0.0])
