"""Corpora of every kind become one list of clips with one ontology, and `data check` finds what is wrong with them."""

import json
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("soundfile")
pytest.importorskip("scipy")

import soundfile
from typer.testing import CliRunner

from models.data import pack, split
from models.data.augment import shifted, stretched, with_noise
from models.data.corpus import read_corpora, read_folder
from models.data.decode import Decoded, Unreadable, read_sound
from models.data.loaders import load, merged
from models.data.ontology import (
    INSTRUMENTS,
    LABELS,
    NEGATIVES,
    UNLABELLED,
    family_of,
    label_of,
    labels_of,
    nsynth_family_of,
)
from models.data.prepare import SEGMENT_S, hops_s, segments, trimmed
from models.data.recording import CorpusError, Recording, midi_of
from models.data.scenes import SCENE_SAMPLES, Stage
from models.data.spelling import SPELLINGS, instrument_of
from models.data_cli import app
from tests import audio_files
from tests.models_corpus import write_corpus, write_note, write_nsynth
from tests.synth import tone


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# names


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("French Horn", "french_horn"),
        ("2 Horns in F", "french_horn"),
        ("Clarinet in Bb", "clarinet"),
        ("alto-sax", "saxophone"),
        ("Contrabass", "double_bass"),
        ("Double Basses", "double_bass"),
        ("Violin II", "violin"),
        ("Violoncelli", "cello"),
        ("acoustic guitar", "guitar_acoustic"),
        ("Flöte", "flute"),
        ("snare drum", "drums"),
        ("_background_noise_", "noise"),
        ("spoken", "speech"),
        ("cor anglais", None),
        ("bass flute", None),
        ("guitar", None),
        ("theremin", None),
    ],
)
def test_a_label_is_found_however_it_is_written(written: str, label: str | None) -> None:
    assert label_of(written) == label


def test_every_instrument_is_in_one_place_and_finds_itself() -> None:
    names = [*LABELS, *INSTRUMENTS, *UNLABELLED, *NEGATIVES]
    assert len(names) == len(set(names))
    assert set(SPELLINGS) == set(names)
    assert all(instrument_of(name) == name for name in names)
    assert set(INSTRUMENTS.values()) <= set(LABELS)
    assert all(family_of(name) for name in (*LABELS, *INSTRUMENTS, *UNLABELLED))


def test_a_coarse_name_means_several_labels_and_a_family() -> None:
    assert labels_of("Guitars") == ("guitar_acoustic", "guitar_electric")
    assert labels_of("brass_acoustic") == labels_of("brass")
    assert labels_of("brass_electronic") == labels_of("string_synthetic") == ()
    assert labels_of("strings") == ("violin", "viola", "cello", "double_bass")
    assert labels_of("cello") == ("cello",)
    assert labels_of("cor anglais") == labels_of("theremin") == ()
    assert family_of("strings") == "bowed_strings"
    assert family_of("cor anglais") == "woodwind"
    assert family_of("bass") is None


def test_banjo_and_mandolin_have_no_family_in_nsynth() -> None:
    assert nsynth_family_of("banjo") is nsynth_family_of("mandolin") is None
    assert {nsynth_family_of(name) for name in ("violin", "viola", "cello", "contrabass")} == {"string"}
    assert {nsynth_family_of(name) for name in ("clarinet", "oboe", "bassoon", "alto sax")} == {"reed"}


@pytest.mark.parametrize(
    ("note", "midi"),
    [("A4", 69), ("C4", 60), ("As4", 70), ("A#4", 70), ("Bb3", 58), ("c-1", 0), ("G9", 127), ("H4", None)],
)
def test_a_notes_name_is_a_midi_number(note: str, midi: int | None) -> None:
    assert midi_of(note) == midi


# loaders


def test_folders_of_instruments_may_be_nested(tmp_path: Path) -> None:
    for name in (
        "strings/Violin/anna/A4 mf.wav",
        "strings/Violin/ben/B4.wav",
        "cor anglais/x.flac",
        "noise/street.ogg",
    ):
        write_note(tmp_path / name)
    (tmp_path / "strings" / "LICENSE").write_text("# CC0 1.0\nall of it")
    corpus = load(tmp_path)
    assert corpus.kind == "folder"
    by = {recording.name: recording for recording in corpus.recordings}
    anna = by["strings/Violin/anna/A4 mf.wav"]
    assert (anna.instrument, anna.label, anna.family, anna.pitch, anna.dynamics) == (
        "violin", "violin", "bowed_strings", 69, "mf",
    )  # fmt: skip
    assert anna.licence == "CC0 1.0 (LICENSE)"
    assert anna.group != by["strings/Violin/ben/B4.wav"].group
    assert anna.library == tmp_path.name
    assert by["cor anglais/x.flac"].label is None
    assert by["cor anglais/x.flac"].family == "woodwind"
    assert by["noise/street.ogg"].label == "noise"


def test_a_folder_may_have_a_split_of_its_own(tmp_path: Path) -> None:
    for index, name in enumerate(("train/oboe/a.wav", "valid/oboe/b.wav", "test/oboe/c.wav")):
        write_note(tmp_path / name, 400.0 + 90 * index)
    recordings = load(tmp_path).recordings
    assert [recording.part for recording in recordings] == ["test", "train", "valid"]
    assert set(split.parts(recordings).values()) == {"train", "calibrate", "report"}
    _check(tmp_path, expect=0)
    for index, name in enumerate(("train/oboe/anna/d.wav", "test/oboe/anna/e.wav")):
        write_note(tmp_path / name, 777.0 + 90 * index)
    assert _found(_check(tmp_path, expect=1))["group_across_split"] == [f"{tmp_path.name}/oboe/anna"]


def test_a_sound_file_that_lies_in_no_folder_is_told(tmp_path: Path) -> None:
    write_note(tmp_path / "oboe" / "a.wav")
    write_note(tmp_path / "lost.wav", 600.0)
    assert _found(_check(tmp_path, expect=0))["unknown_label"] == ["(in no folder)"]


@pytest.mark.parametrize("suffix", [".wav", ".ogg"])
def test_nsynth_keeps_its_splits_origins_and_instruments(tmp_path: Path, suffix: str) -> None:
    train = {"flute_acoustic_002-072-100": ("flute", "acoustic"), "flute_synthetic_000-072-100": ("flute", "synthetic")}
    write_nsynth(tmp_path / "nsynth-train", train, suffix)
    write_nsynth(tmp_path / "nsynth-test", {"string_acoustic_014-060-050": ("string", "acoustic")}, suffix)
    corpus = load(tmp_path)
    assert corpus.kind == "nsynth"
    assert all(recording.path.is_file() for recording in corpus.recordings)
    string, flute, synthetic = corpus.recordings
    assert (flute.label, flute.part, flute.pitch, flute.origin) == ("flute", "train", 72, "acoustic")
    assert flute.group == "nsynth/flute_acoustic_002"
    assert (synthetic.label, synthetic.family, synthetic.origin) == (None, "woodwind", "synthetic")
    assert (string.label, string.family, string.part) == (None, "bowed_strings", "test")


def test_philharmonia_says_everything_in_the_file_name(tmp_path: Path) -> None:
    names = (
        "violin/violin_As4_05_mezzo-piano_arco-normal.wav",
        "cor anglais/cor-anglais_C5_15_forte_normal.wav",
        "guitar/guitar_E2_very-long_piano_normal.wav",
        "percussion/bass-drum__025_forte_struck-singly.wav",
        "percussion/Thai-gong__long_forte_.wav",
    )
    for name in names:
        write_note(tmp_path / name)
    corpus = load(tmp_path)
    assert corpus.kind == "philharmonia"
    by = {recording.name: recording for recording in corpus.recordings}
    violin = by[names[0]]
    assert (violin.label, violin.pitch, violin.dynamics, violin.articulation, violin.duration_s, violin.group) == (
        "violin", 70, "mezzo-piano", "arco-normal|len=05", 0.5, "philharmonia/violin",
    )  # fmt: skip
    assert [by[name].label for name in names[1:]] == [None, "guitar_acoustic", "drums", None]
    assert by[names[3]].pitch is None
    assert by[names[4]].instrument == "percussion"


def test_the_loader_of_philharmonia_agrees_with_the_manifest_made_from_it(shared_data: Path, tmp_path: Path) -> None:
    import csv

    from models.data.loaders.philharmonia import NAME

    with (shared_data / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "philharmonia"]
    for row in rows:
        match = NAME.fullmatch(Path(row["orig_path"]).stem)
        assert match, row["orig_path"]
        assert midi_of(match["note"] or "") == midi_of(row["pitch"])
        assert match["dynamics"] == row["dynamics"]


def test_a_manifest_needs_two_columns_and_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    write_note(tmp_path / "a.wav")
    table = tmp_path / "manifest.csv"
    table.write_text("path,instrument\na.wav,Violoncello\n")
    (recording,) = load(tmp_path).recordings
    assert (recording.label, recording.library) == ("cello", tmp_path.name)
    assert load(table).recordings == [recording]
    table.write_text("file,instrument\na.wav,cello\n")
    with pytest.raises(CorpusError, match="no column path"):
        load(tmp_path)
    table.write_text("path,instrument,part\na.wav,cello,train\nb.wav,cello,nowhere\n")
    with pytest.raises(CorpusError, match="line 3: part='nowhere'"):
        load(tmp_path)


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no manifest\.csv"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load(tmp_path / "nowhere")


def test_merged_corpora_have_each_file_once_and_no_name_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_note(tmp_path / folder / "oboe" / "a.wav", 440.0 if folder == "one" else 600.0)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    names = [recording.name for recording in merged([one, two, one])]
    assert len(names) == len(set(names)) == 2
    clips = read_corpora([tmp_path / "one", tmp_path / "two"])
    assert not np.array_equal(clips[0].samples, clips[1].samples)


# split


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(40, 60)), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_split_of_an_unknown_corpus_never_divides_a_group_unless_it_is_the_only_one(
    members: list[tuple[str, int]],
) -> None:
    recordings = [
        Recording(
            path=Path(f"{i}.wav"), name=str(i), instrument="oboe", label="oboe", library="own", group=group, pitch=pitch
        )
        for i, (group, pitch) in enumerate(members)
    ]
    parts = split.parts(recordings)
    alone = len({group for group, _ in members}) == 1
    sides: dict[object, set[bool]] = {}
    for recording in recordings:
        unit = recording.pitch if alone else recording.group
        sides.setdefault(unit, set()).add(parts[recording.name] == "train")
    assert all(len(side) == 1 for side in sides.values())
    trained = sum(part == "train" for part in parts.values())
    assert 2 * trained >= len(recordings)


def test_the_split_of_the_recordings_at_hand_is_the_one_by_libraries(shared_data: Path) -> None:
    for recording in (recordings := load(shared_data).recordings):
        assert recording.part is None
    parts = split.parts(recordings)
    assert all(
        (parts[r.name] != "train") == split.validates(r.library, r.group) for r in recordings if r.label is not None
    )


# preparation


@given(st.integers(0, 500), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_segments_hold_every_sample_and_are_padded_only_at_the_end(length: int, size: int, hop: int) -> None:
    samples = np.arange(1, length + 1, dtype=np.int16)
    if hop > size:
        with pytest.raises(ValueError, match="hop"):
            segments(samples, size, hop)
        return
    pieces = segments(samples, size, hop)
    assert all(len(piece) == size for piece in pieces)
    assert set(np.concatenate(pieces).tolist()) - {0} == set(samples.tolist())
    for index, piece in enumerate(pieces):
        expected = samples[index * hop : index * hop + size]
        assert np.array_equal(piece[: len(expected)], expected)
        assert not piece[len(expected) :].any()
        assert len(expected) == size or index == len(pieces) - 1


def test_rare_labels_are_cut_with_a_shorter_hop() -> None:
    hops = hops_s({"violin": 400.0, "oboe": 200.0, "viola": 100.0, "harp": 10.0, "tuba": 200.0})
    assert hops["violin"] == hops["oboe"] == SEGMENT_S
    assert hops["viola"] == SEGMENT_S / 2
    assert hops["harp"] == SEGMENT_S / 4


def test_silence_before_and_after_a_note_is_cut_and_the_note_is_not() -> None:
    note = (20_000 * tone(440, 0.5) / np.abs(tone(440, 0.5)).max()).astype(np.int16)
    quiet = np.random.default_rng(0).integers(-2, 3, 8_000).astype(np.int16)
    sound = np.concatenate([quiet, note, quiet])
    cut = trimmed(sound)
    assert len(note) <= len(cut) <= len(note) + 6 * 160
    assert np.array_equal(trimmed(note), note)
    assert len(trimmed(np.zeros(1_000, np.int16))) == 0


def test_a_long_recording_trains_in_overlapping_segments_and_judges_in_separate_ones(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name, seconds, count in (("harp", 12, 1), ("violin", 7, 4), ("cello", 7, 4)):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                soundfile.write(tmp_path / part / name / f"{index}.wav", np.tile(tone(440, 1.0), seconds), 16_000)
    clips = [clip for clip in read_folder(tmp_path) if clip.label == "harp"]
    assert all(len(clip.samples) == SEGMENT_S * 16_000 for clip in clips)
    count = {part: sum(clip.part == part for clip in clips) for part in ("train", "report")}
    assert count["train"] > count["report"] == 4


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (16_000, 1), (8_000, 1), (48_000, 3)])
def test_any_rate_and_any_channels_become_mono_of_one_rate(tmp_path: Path, rate_hz: int, channels: int) -> None:
    write_note(tmp_path / "a.wav", 440.0, 1.0, rate_hz, channels)
    samples = read_sound(tmp_path / "a.wav")
    assert len(samples) == pytest.approx(16_000, abs=2)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert abs(int(np.argmax(spectrum)) - 440) <= 1


@pytest.mark.parametrize("suffix", audio_files.FORMATS)
def test_every_format_that_is_uploaded_trains_too(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "oboe").mkdir()
    audio_files.write(tmp_path / "oboe" / f"a.{suffix}", tone(440, 1.0), 16_000)
    (clip,) = read_folder(tmp_path)
    assert len(clip.samples) == pytest.approx(16_000, abs=2_000)
    assert _pitch_hz(clip.samples.astype(np.float32)) == pytest.approx(440, abs=2)


def test_ogg_over_full_scale_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    loud = 0.999 * np.sign(tone(300, 0.5))
    soundfile.write(tmp_path / "a.ogg", loud, 16_000, format="OGG", subtype="VORBIS")
    exact, _ = soundfile.read(tmp_path / "a.ogg", dtype="float32")
    assert np.abs(exact).max() > 1.0
    samples = read_sound(tmp_path / "a.ogg")
    assert (np.sign(samples)[np.abs(exact) > 0.5] == np.sign(exact)[np.abs(exact) > 0.5]).all()


def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    whole = write_note(tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.flac").write_bytes(b"")
    for name, sentence in (
        ("cut.wav", "truncated"),
        ("text.wav", "."),
        ("empty.flac", "."),
        ("none.wav", "no such file"),
    ):
        with pytest.raises(Unreadable, match=sentence):
            list(Decoded(tmp_path / name).blocks())


# the pack


def test_sound_is_decoded_once_and_again_when_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: write_note(tmp_path / f"{name}.wav", hz) for name, hz in (("a", 400.0), ("b", 500.0), ("c", 600.0))}
    decoded: list[str] = []
    original = pack._decode
    monkeypatch.setattr(pack, "_decode", lambda path, *rest: (decoded.append(path.stem), original(path, *rest))[1])
    for _ in range(2):
        kept = pack.packed(tmp_path, files)
        for name, path in files.items():
            assert np.array_equal(kept.samples(name), read_sound(path))
    assert decoded == ["a", "b", "c"]
    write_note(files["b"], 700.0, 0.8)
    some = pack.packed(tmp_path, {"b": files["b"]})
    assert decoded == ["a", "b", "c", "b"]
    assert np.array_equal(some.samples("b"), read_sound(files["b"]))
    every = pack.packed(tmp_path, files)
    assert decoded == ["a", "b", "c", "b"]
    assert all(np.array_equal(every.samples(name), read_sound(path)) for name, path in files.items())


def test_who_packs_a_folder_waits_for_who_is_packing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {str(index): write_note(tmp_path / f"{index}.wav", 300.0 + index, 0.2) for index in range(40)}
    halves = [dict(list(files.items())[:25]), dict(list(files.items())[15:])]
    at_work: list[int] = []
    most = 0
    original = pack._decode

    def slow(*given: object) -> pack.Sound:
        nonlocal most
        at_work.append(1)
        most = max(most, len(at_work))
        time.sleep(0.002)
        at_work.pop()
        return original(*given)

    monkeypatch.setattr(pack, "_decode", slow)
    with ThreadPoolExecutor(2) as pool:  # a lock on a file holds between threads, too: each opens its own
        both = list(pool.map(lambda wanted: pack.packed(tmp_path, wanted), halves))
    for kept, wanted in zip(both, halves, strict=True):
        assert all(np.array_equal(kept.samples(name), read_sound(path)) for name, path in wanted.items())
    assert most == 1


def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(tone(440, 1.0), 180), 16_000)
    tracemalloc.start()
    kept = pack.packed(tmp_path, {"long": path})
    assert kept.sounds["long"].length == 180 * 16_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000  # the samples alone are 5.8 MB


# augmentation


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_stretching_changes_the_length_and_keeps_the_pitch(factor: float) -> None:
    samples = tone(440, 1.0)
    longer = stretched(samples, factor)
    assert len(longer) == pytest.approx(factor * len(samples), rel=0.02)
    assert _pitch_hz(longer) == pytest.approx(440, abs=2)


def test_shifting_changes_the_pitch_and_keeps_the_length() -> None:
    higher = shifted(tone(440, 1.0), 3.0)
    assert len(higher) == pytest.approx(16_000, rel=0.02)
    assert _pitch_hz(higher) == pytest.approx(440 * 2 ** (3 / 12), abs=3)


def test_noise_lies_as_far_below_as_was_asked() -> None:
    rng = np.random.default_rng(0)
    samples, noise = tone(440, 1.0), rng.standard_normal(16_000).astype(np.float32)
    added = with_noise(samples, noise, 12.0) - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(added**2)) == pytest.approx(12.0, abs=0.01)


def _pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 17))
    return float(np.argmax(spectrum)) * 16_000 / (1 << 17)


def test_recorded_silence_stays_silent_in_a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_note(tmp_path / "oboe" / "a.wav")
    (tmp_path / "silence").mkdir()
    faint = 1e-4 * np.random.default_rng(0).standard_normal(48_000)
    soundfile.write(tmp_path / "silence" / "room.wav", faint, 16_000)
    stage = Stage(read_folder(tmp_path, parts=("train", "calibrate", "report")))
    assert stage.negatives == ["silence"]
    monkeypatch.setattr(Stage, "_noise", lambda *_: np.zeros(SCENE_SAMPLES, np.float32))
    scenes = [stage.scene(np.random.default_rng((0, index))) for index in range(60)]
    peaks = [float(np.abs(scene.samples).max()) for scene in scenes if not scene.truth.any()]
    assert len(peaks) >= 4
    assert 0.0 < max(peaks) < 0.02


# check


def test_check_finds_nothing_wrong_with_a_corpus_that_is_right(tmp_path: Path) -> None:
    rows = ["path,instrument,source,group,licence"]
    for label, hz in (("flute", 900.0), ("cello", 150.0)):
        for index, library in enumerate(("philharmonia", "iowa", "vsco2_tonejs", "freepats")):
            write_note(tmp_path / f"{label}{index}.wav", hz * 1.06**index, rate_hz=44_100, channels=2)
            rows.append(f"{label}{index}.wav,{label},{library},{library},CC0")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    report = _check(tmp_path, expect=0)
    assert report["findings"] == []
    flute = report["contents"]["labels"]["flute"]
    assert (flute["clips"], flute["libraries"], flute["groups"], flute["train"]) == (4, 4, 4, 2)
    assert flute["seconds"] == pytest.approx(2.0, abs=0.01)
    assert report["contents"]["rates_hz"] == {"44100": 8}
    assert report["contents"]["channels"] == {"2": 8}


def test_check_finds_that_the_tiny_corpus_repeats_its_tones_in_both_libraries(tmp_path: Path) -> None:
    copies = _found(_check(write_corpus(tmp_path), expect=1))["copy_across_split"]
    assert len(copies) == 8
    assert "audio/flute/philharmonia__0.ogg = audio/flute/vsco2_tonejs__0.ogg" in copies


def test_check_finds_one_recording_on_both_sides_whatever_its_level_codec_and_start(tmp_path: Path) -> None:
    for index in range(3):
        write_note(tmp_path / "train" / "oboe" / f"a{index}.wav", 400.0 + 40 * index, 1.0)
        write_note(tmp_path / "test" / "oboe" / "other" / f"b{index}.wav", 830.0 + 40 * index, 1.0)
    sound, _ = soundfile.read(tmp_path / "train" / "oboe" / "a1.wav")
    disguised = np.concatenate([np.zeros(4_321), 0.3 * sound])
    soundfile.write(tmp_path / "test" / "oboe" / "other" / "c.ogg", disguised, 16_000, format="OGG", subtype="VORBIS")
    findings = _found(_check(tmp_path, expect=1))
    assert findings["near_copy_across_split"] == ["test/oboe/other/c.ogg = train/oboe/a1.wav"]
    (tmp_path / "test" / "oboe" / "other" / "d.wav").write_bytes((tmp_path / "train" / "oboe" / "a2.wav").read_bytes())
    assert _found(_check(tmp_path, expect=1))["copy_across_split"] == ["test/oboe/other/d.wav = train/oboe/a2.wav"]


def test_check_names_every_fault(tmp_path: Path) -> None:
    good = write_note(tmp_path / "oboe" / "good.wav", 500.0)
    write_note(tmp_path / "theremin" / "x.wav", 700.0)
    write_note(tmp_path / "flute" / "copy.wav", 500.0)
    (tmp_path / "oboe" / "cut.wav").write_bytes(good.read_bytes()[:3_000])
    soundfile.write(tmp_path / "oboe" / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "oboe" / "short.wav", 0.5 * tone(900, 0.03), 16_000)
    soundfile.write(tmp_path / "oboe" / "clipped.wav", np.clip(30 * tone(333, 0.6), -1, 1), 16_000)
    soundfile.write(tmp_path / "oboe" / "offset.wav", 0.3 * tone(222, 0.6) + 0.1, 16_000)
    findings = _found(_check(tmp_path, expect=1))
    assert [name.split(":")[0] for name in findings["unreadable"]] == ["oboe/cut.wav"]
    assert findings["silent"] == ["oboe/silent.wav"]
    assert findings["short"] == ["oboe/short.wav"]
    assert findings["clipping"] == ["oboe/clipped.wav"]
    assert [name.split(":")[0] for name in findings["dc_offset"]] == ["oboe/offset.wav"]
    assert findings["unknown_label"] == ["theremin"]
    assert findings["copy_across_labels"] == ["flute/copy.wav = oboe/good.wav"]
    assert findings["one_library"] == ["flute", "oboe"]
    assert len(findings["licence"]) == 8


def test_check_finds_a_group_on_both_sides_of_a_corpus_own_split(tmp_path: Path) -> None:
    for index in range(3):
        write_note(tmp_path / f"{index}.wav", 400.0 + 100 * index)
    rows = [f"{index}.wav,oboe,anna,{part}" for index, part in enumerate(("train", "train", "test"))]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,instrument,group,part", *rows]))
    assert _found(_check(tmp_path, expect=1))["group_across_split"] == ["anna"]


def test_two_takes_of_one_note_are_no_copies(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    (tmp_path / "oboe").mkdir()
    time_s = np.arange(16_000) / 16_000
    for index in range(2):
        vibrato = 0.004 * np.sin(2 * np.pi * 5.0 * time_s + rng.uniform(0, 6)) + rng.uniform(-0.002, 0.002)
        phase = 2 * np.pi * 440 * np.cumsum(1 + vibrato) / 16_000
        sound = sum(np.sin(k * phase) / k for k in (1, 2, 3)) * np.exp(-2 * time_s)
        soundfile.write(tmp_path / "oboe" / f"{index}.wav", 0.3 * sound, 16_000)
    assert not any("copy" in name for name in _found(_check(tmp_path, expect=0)))


def test_nsynth_is_read_where_a_part_of_it_is(shared_data: Path) -> None:
    corpus = load(shared_data / "nsynth_part")
    assert corpus.kind == "nsynth"
    assert len(corpus.recordings) == 1298
    assert {recording.origin for recording in corpus.recordings} == {"acoustic", "electronic", "synthetic"}
    assert all(recording.family for recording in corpus.recordings if not recording.instrument.startswith("bass"))
    assert all(one.path != other.path for one, other in pairwise(corpus.recordings))


def _check(folder: Path, expect: int) -> dict[str, object]:
    report = folder.parent / f"{folder.name}.json"
    result = CliRunner().invoke(app, ["check", str(folder), "--json", str(report)])
    assert result.exit_code == expect, result.output
    told = json.loads(report.read_text())
    for finding in told["findings"]:
        assert finding["what"] in result.output
    return told


def _found(report: dict) -> dict[str, list[str]]:
    return {finding["what"]: finding["names"] for finding in report["findings"]}
