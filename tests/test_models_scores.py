"""Scores played with recorded notes: read to the second, in tune, within full scale, and labelled when they sound."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("soundfile")
pytest.importorskip("scipy")
pytest.importorskip("music21")

import soundfile
from typer.testing import CliRunner

from models.data.corpus import Clip
from models.data.ensemble import MAX_SHIFT, RELEASE_S, Ensemble, Player
from models.data.ontology import LABELS
from models.data.recording import CorpusError
from models.data.render import midi_file
from models.data.rendition import events
from models.data.scenes import HOP_SAMPLES, ON, Stage
from models.data.scores import Note, Part, Score, find_scores, read_score
from models.data.shelf import kept_score, some_scores
from models.data.truth import frame_levels, runs
from models.data_cli import app
from tests.models_corpus import write_note

RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def hz_of(midi: float) -> float:
    return 440.0 * 2.0 ** ((midi - 69) / 12.0)


def steady(label: str, pitch: int | None, seconds: float = 6.0) -> Clip:
    """A tone that begins at once, stays as loud as it is and ends at once."""
    sound = np.sin(2 * np.pi * hz_of(pitch or 40) * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return Clip(
        f"{label}{pitch}", label, "lib", f"lib/{label}", "train", "", (12_000 * sound).astype(np.int16), pitch, label
    )


PLAYERS = [steady(label, pitch) for label, low in (("violin", 55), ("cello", 36)) for pitch in range(low, low + 30, 3)]


# reading


def test_a_midi_files_notes_are_read_to_the_second(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(midi_file(40, [(60, 127), (64, 64)]))  # a note of 2 s every 3 s, program 40
    (part,) = read_score(path).parts
    assert part.instrument == "violin"
    assert [(note.pitch, round(note.onset_s, 3), round(note.duration_s, 3)) for note in part.notes] == [
        (60, 0.0, 2.0),
        (64, 3.0, 2.0),
    ]
    assert part.notes[0].velocity == 1.0
    assert part.notes[1].velocity == pytest.approx(64 / 127)


def test_tempo_changes_ties_rests_and_transposing_instruments_are_heard(tmp_path: Path) -> None:
    from music21 import clef, instrument, meter, note, stream, tempo, tie

    first, second = note.Note("C5", quarterLength=4), note.Note("C5", quarterLength=2)
    first.tie, second.tie = tie.Tie("start"), tie.Tie("stop")
    part = stream.Part([instrument.Clarinet(), clef.TrebleClef(), meter.TimeSignature("4/4")])
    part.partName = "Klarinette in B"
    for at, element in ((0, tempo.MetronomeMark(number=60)), (0, first), (4, tempo.MetronomeMark(number=120))):
        part.insert(at, element)
    part.insert(4, second)
    part.insert(8, note.Note("D5", quarterLength=1))
    path = tmp_path / "tune.musicxml"
    part.write("musicxml", fp=path)
    (read,) = read_score(path).parts
    assert read.instrument == "clarinet"
    # 4 quarters at 60 and 2 at 120 are 5 s; then 2 quarters' rest; a clarinet in B flat sounds two semitones lower
    assert [(n.pitch, n.onset_s, n.duration_s) for n in read.notes] == [(70, 0.0, 5.0), (72, 6.0, 0.5)]


def test_a_chorales_voices_have_no_instrument_and_its_notes_come_in_time() -> None:
    path = next(path for path in find_scores("corpus") if path.name == "bwv66.6.mxl")
    score = read_score(path)
    assert [(part.name, part.instrument) for part in score.parts] == [
        ("Soprano", None), ("Alto", None), ("Tenor", None), ("Bass", None),
    ]  # fmt: skip
    onsets = [note.onset_s for note in score.parts[0].notes]
    assert onsets == sorted(onsets)
    assert 20 < score.duration_s < 40


def test_a_score_that_cannot_be_read_is_named_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_bytes(b"no MIDI")
    (tmp_path / "good.mid").write_bytes(midi_file(40, [(60, 90)]))
    with pytest.raises(CorpusError, match=r"bad\.mid"):
        read_score(tmp_path / "bad.mid")
    skipped: list[str] = []
    assert len(some_scores(find_scores(tmp_path), 5, 1, skipped=skipped.append)) == 1
    assert len(skipped) == 1
    with pytest.raises(FileNotFoundError, match="no score"):
        find_scores(tmp_path / "nowhere")


def test_a_kept_score_is_the_score_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(midi_file(0, [(60, 90), (67, 30)]))
    assert kept_score(path) == kept_score(path) == read_score(path)


# playing


@given(st.integers(36 - MAX_SHIFT, 66))
@settings(max_examples=12, deadline=None)
def test_a_note_sounds_at_its_pitch_and_for_its_time(pitch: int) -> None:
    player = Player("cello", [clip for clip in PLAYERS if clip.label == "cello"])
    sound = player.play(np.random.default_rng(pitch), Note(0.0, 1.0, pitch, 1.0))
    assert sound is not None
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 17))
    assert np.argmax(spectrum) * RATE_HZ / (1 << 17) == pytest.approx(hz_of(pitch), rel=0.005)
    assert 1.0 + RELEASE_S[0] <= len(sound) / RATE_HZ <= 1.0 + RELEASE_S[1] + 0.001


def test_a_note_that_nobody_recorded_nearby_is_not_played_and_a_phrase_is_no_note() -> None:
    player = Player("cello", [steady("cello", 40)])
    assert player.play(np.random.default_rng(0), Note(0.0, 1.0, 40 + MAX_SHIFT + 1, 1.0)) is None
    phrase = Clip(**{**vars(steady("cello", 50)), "articulation": "arco-legato|len=phrase"})
    assert Player("cello", [phrase]).pitches == 0


def test_a_recording_that_is_shorter_than_the_note_ends_by_itself() -> None:
    player = Player("cello", [steady("cello", 40, 0.5)])
    sound = player.play(np.random.default_rng(0), Note(0.0, 3.0, 40, 1.0))
    assert sound is not None
    assert len(sound) == pytest.approx(0.5 * RATE_HZ, abs=200)


def test_parts_go_to_their_own_instrument_and_voices_to_whoever_has_the_range() -> None:
    low, high = (tuple(Note(0.5 * i, 0.5, pitch, 1.0) for i in range(10)) for pitch in (40, 80))
    score = Score("s", (Part("Vc", "cello", low), Part("Soprano", None, high), Part("?", None, low + high)))
    ensemble = Ensemble(PLAYERS, [score])
    for seed in range(5):
        _, _, stems = ensemble.excerpt(np.random.default_rng(seed), 4.0)
        assert [(stem.part, stem.label) for stem in stems] == [("Vc", "cello"), ("Soprano", "violin")]


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_a_mixture_stays_within_full_scale_and_is_the_same_for_the_same_seed(seed: int) -> None:
    ensemble = Ensemble(PLAYERS, [_duet([(0.0, 2.0), (1.0, 1.5)], [(0.5, 3.0)])])
    _, _, stems = ensemble.excerpt(np.random.default_rng(seed), 4.0)
    _, _, again = ensemble.excerpt(np.random.default_rng(seed), 4.0)
    mixture = np.sum([stem.samples for stem in stems], axis=0)
    assert 0.5 < np.abs(mixture).max() <= 0.9001
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(stems, again, strict=True))


def test_nothing_to_play_is_refused() -> None:
    with pytest.raises(CorpusError, match="0 scores"):
        Ensemble(PLAYERS, [])
    with pytest.raises(CorpusError, match="0 instruments"):
        Ensemble([steady("noise", None)], [_duet([(0.0, 1.0)], [(0.0, 1.0)])])
    alone = Score("s", (Part("Vc", "cello", (Note(0.0, 1.0, 40, 1.0),)),))
    with pytest.raises(CorpusError, match="no 2 parts"):
        Ensemble(PLAYERS, [alone]).excerpt(np.random.default_rng(0), 2.0)


# truth

spans = st.lists(st.tuples(st.floats(0.15, 0.8), st.floats(0.0, 0.5)), min_size=1, max_size=6)


def _timed(lengths: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """(length, rest after it) -> (onset, length)."""
    at, timed = 0.1, []
    for length, rest in lengths:
        timed.append((at, length))
        at += length + rest
    return timed


def _duet(cello: list[tuple[float, float]], violin: list[tuple[float, float]]) -> Score:
    parts = (("Violoncello", "cello", 45, cello), ("Violin", "violin", 70, violin))
    return Score(
        "duet",
        tuple(
            Part(name, label, tuple(Note(on, length, pitch + i % 3, 1.0) for i, (on, length) in enumerate(times)))
            for name, label, pitch, times in parts
        ),
    )


@given(spans, spans, st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_events_agree_with_the_notes_within_two_frames_and_rests_are_respected(
    cello: list[tuple[float, float]], violin: list[tuple[float, float]], seed: int
) -> None:
    written = {"cello": _timed(cello), "violin": _timed(violin)}
    ensemble = Ensemble(PLAYERS, [_duet(written["cello"], written["violin"])])
    _, _, stems = ensemble.excerpt(np.random.default_rng(seed), 9.0)
    told = events(stems)
    for label, notes in written.items():
        on = np.zeros(900, bool)
        for start, stop, name in told:
            on[round(100 * start) : round(100 * stop)] |= name == label
        must, may = np.zeros(900, bool), np.zeros(900, bool)
        for onset, length in notes:
            must[int(100 * onset) + 2 : int(100 * (onset + length)) - 2] = True
            may[max(0, int(100 * onset) - 2) : int(100 * (onset + length + RELEASE_S[1])) + 2 + 5] = True
        assert (on | ~must).all(), label
        assert (may | ~on).all(), label


def test_runs_are_closed_over_short_pauses_only() -> None:
    on = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
    assert runs(on) == [(1, 3), (4, 5), (7, 8)]
    assert runs(on, 1) == [(1, 5), (7, 8)]
    assert runs(np.zeros(4, bool)) == []


def test_a_scene_of_a_score_says_on_where_its_label_has_energy_and_off_where_all_rest() -> None:
    duet = _duet([(0.0, 0.6), (1.2, 0.6)], [(0.3, 1.0)])
    stage = Stage(PLAYERS, Ensemble(PLAYERS, [duet]), score_share=1.0)
    columns = {label: list(LABELS).index(label) for label in ("cello", "violin")}
    both = 0
    for seed in range(30):
        scene = stage.scene(np.random.default_rng(seed))
        again = stage.scene(np.random.default_rng(seed))
        assert np.array_equal(scene.samples, again.samples)
        level_db = frame_levels(scene.samples, HOP_SAMPLES)
        on = (scene.truth == ON).any(axis=1)
        assert not (scene.truth == ON)[:, [i for i in range(len(LABELS)) if i not in columns.values()]].any()
        assert level_db[on].min() > level_db.max() - 60.0
        both += int((scene.truth[:, columns["cello"]] == ON).sum() and (scene.truth[:, columns["violin"]] == ON).sum())
    assert both > 20


def test_without_a_share_no_scene_is_of_a_score() -> None:
    duet = _duet([(0.0, 0.6)], [(0.3, 1.0)])
    plain, with_scores = Stage(PLAYERS), Stage(PLAYERS, Ensemble(PLAYERS, [duet]), score_share=0.0)
    differ = [
        not np.array_equal(
            plain.scene(np.random.default_rng(i)).truth, with_scores.scene(np.random.default_rng(i)).truth
        )
        for i in range(5)
    ]
    assert not any(differ)


# the command


def test_the_command_writes_pieces_with_their_truth_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for label, low in (("violin", 55), ("cello", 36)):
        for pitch in range(low, low + 24, 3):
            name = f"{['C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B'][pitch % 12]}{pitch // 12 - 1}"
            write_note(tmp_path / "notes" / label / f"{name}.wav", hz_of(pitch), 1.5)
    (tmp_path / "scores").mkdir()
    _write_duet(tmp_path / "scores" / "duet.musicxml")
    arguments = ["render", "--scores", str(tmp_path / "scores"), "--notes", str(tmp_path / "notes"), "--count", "2"]
    for out in ("one", "two"):
        result = CliRunner().invoke(app, [*arguments, "--seconds", "3", "--seed", "7", "--out", str(tmp_path / out)])
        assert result.exit_code == 0, result.output
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["0000.flac", "0001.flac", "parts.csv", "truth.csv"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    with (tmp_path / "one" / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"violin", "cello"}
    sound, rate_hz = soundfile.read(tmp_path / "one" / "0000.flac", dtype="float32")
    assert rate_hz == RATE_HZ
    assert len(sound) == 3 * RATE_HZ
    level_db = frame_levels(sound, HOP_SAMPLES)
    told = np.zeros(300, bool)
    for row in rows:
        assert 0.0 <= float(row["onset_s"]) < float(row["offset_s"]) <= 3.0
        if row["path"] == "0000.flac":
            told[round(100 * float(row["onset_s"])) : round(100 * float(row["offset_s"]))] = True
    assert level_db[told].min() > level_db.max() - 60.0
    assert level_db[~told].max(initial=-180.0) < level_db.max() - 30.0


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    write_note(tmp_path / "notes" / "oboe" / "A4.wav")
    result = CliRunner().invoke(
        app, ["render", "--scores", str(tmp_path), "--notes", str(tmp_path / "notes"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    words = " ".join(re.findall(r"\w+", result.output))  # the terminal's box breaks lines anywhere between words
    assert "holds no score" in words


def _write_duet(path: Path) -> None:
    from music21 import instrument, note, stream

    score = stream.Score()
    for player, name, octave in ((instrument.Violin(), "Violin", 4), (instrument.Violoncello(), "Violoncello", 3)):
        part = stream.Part([player])
        part.partName = name
        for step in ("C", "E", "G", "E", "C", "G", "E", "C"):
            part.append(note.Note(f"{step}{octave}", quarterLength=1 if name == "Violin" else 1.5))
        score.insert(0, part)
    score.write("musicxml", fp=path)
