"""What the network learns from: the split, the scenes and their truth."""

import csv
import errno
import os
import re
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("scipy")

from engine.config import FrontEnd
from models.data import split
from models.data.bank import Bank, Banks, build
from models.data.corpus import Clip, read_folder
from models.data.ontology import LABELS, label_of
from models.data.render import DRUM_KEYS, PROGRAMS, midi_file, through_codec
from models.data.scenes import ANY, FRAMES, OFF, ON, SCENE_SAMPLES, Stage
from tests.models_corpus import write_corpus
from tests.synth import tone


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return read_folder(write_corpus(tmp_path_factory.mktemp("corpus")))


def test_no_library_is_on_both_sides_of_the_split_unless_it_is_split_by_instrument(shared_data: Path) -> None:
    with (shared_data / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if label_of(row["instrument"])]
    held_out = {row["source"] for row in rows if split.validates(row["source"], row["group"])}
    trained = {row["source"] for row in rows if not split.validates(row["source"], row["group"])}
    assert held_out & trained == {library for library, _ in split.VALIDATION_GROUPS}
    sides: dict[tuple[str, str], set[bool]] = {}
    for row in rows:
        key = (row["source"], row["group"])
        sides.setdefault(key, set()).add(split.validates(*key))
    assert all(len(side) == 1 for side in sides.values())


def test_every_label_has_training_and_validation_clips(shared_data: Path) -> None:
    with (shared_data / "manifest.csv").open(newline="") as file:
        rows = [(label, row) for row in csv.DictReader(file) if (label := label_of(row["instrument"]))]
    held_out = split.halves(
        (label, row["group"], row["path"]) for label, row in rows if split.validates(row["source"], row["group"])
    )
    for label in LABELS:
        parts = {held_out.get(row["path"], "train") for name, row in rows if name == label}
        assert parts == {"train", "calibrate", "report"}, label


def test_the_halves_share_no_group_unless_one_group_is_most_of_a_label() -> None:
    members = [("flute", f"g{i % 5}", f"clip{i}") for i in range(50)] + [("oboe", "one", f"oboe{i}") for i in range(6)]
    part = split.halves(members)
    by_group: dict[str, set[str]] = {}
    for _, group, name in members:
        by_group.setdefault(group, set()).add(part[name])
    assert all(len(by_group[f"g{i}"]) == 1 for i in range(5))
    assert by_group["one"] == {"calibrate", "report"}


def test_a_corpus_is_read_with_its_parts(clips: list[Clip]) -> None:
    assert {clip.part for clip in clips if clip.library in ("philharmonia", "speech_commands_bg")} == {"train"}
    assert {clip.part for clip in clips if clip.library == "vsco2_tonejs"} == {"calibrate", "report"}
    assert all(clip.samples.dtype == np.int16 for clip in clips)


def test_a_scene_depends_on_its_seed_alone(clips: list[Clip]) -> None:
    stage = Stage(clips)
    one, other, again = (stage.scene(np.random.default_rng((1, i))) for i in (7, 8, 7))
    assert np.array_equal(one.samples, again.samples)
    assert np.array_equal(one.truth, again.truth)
    assert not np.array_equal(one.samples, other.samples)


def test_scenes_are_finite_and_their_truth_names_only_what_can_play(clips: list[Clip]) -> None:
    stage = Stage(clips)
    playing = {list(LABELS).index(label) for label in ("flute", "cello")}
    silent_frames = played_frames = 0
    for index in range(60):
        scene = stage.scene(np.random.default_rng((2, index)))
        assert scene.samples.shape == (SCENE_SAMPLES,)
        assert np.isfinite(scene.samples).all()
        assert set(np.unique(scene.truth)) <= {OFF, ON, ANY}
        assert set(np.flatnonzero((scene.truth != OFF).any(axis=0))) <= playing
        played_frames += int((scene.truth == ON).any(axis=1).sum())
        silent_frames += int((scene.truth == OFF).all(axis=1).sum())
    assert played_frames > 20 * FRAMES
    assert silent_frames > 5 * FRAMES


def test_a_corpus_without_instruments_is_refused(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="no clip of a label"):
        Stage([clip for clip in clips if clip.label == "noise"])


def test_a_bank_gives_back_the_spikes_of_the_ear(clips: list[Clip]) -> None:
    from engine.ear import Ear

    stage, front_end = Stage(clips), FrontEnd(bands=20, fibre_gains=(1.0, 2.0))
    bank = build(stage, front_end, scenes=3, seed=4)
    spikes, truth = bank.batch(np.array([2, 0]))
    assert spikes.shape == (FRAMES, 2, 40)
    scene = stage.scene(np.random.default_rng((4, 2)))
    assert np.array_equal(spikes[:, 0], Ear(front_end).feed(scene.samples)[1])
    assert np.array_equal(truth[:, 0], scene.truth)
    assert np.array_equal(build(stage, front_end, scenes=1, seed=4, first=2).spikes, bank.spikes[2:])


def test_scenes_for_which_the_disk_has_no_room_are_refused(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match=re.escape(f"{tmp_path} has no room for")):
        build(Stage(clips), FrontEnd(bands=20), scenes=3, seed=4)


def test_scenes_of_another_rate_are_refused(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="22050"):
        build(Stage(clips), FrontEnd(sample_rate_hz=22_050), scenes=1, seed=0)


def test_every_label_can_be_rendered_and_the_codec_keeps_the_sound() -> None:
    assert set(PROGRAMS) | {"drums"} == set(LABELS)
    assert midi_file(0, [(60, 100), (62, 90)]).startswith(b"MThd")
    assert len(DRUM_KEYS) == len(set(DRUM_KEYS))
    before = tone(440, 0.5)
    after = through_codec(before).astype(np.float32) / 32768
    assert abs(len(after) - len(before)) <= 1
    assert np.corrcoef(after[2000:6000], before[2000:6000])[0, 1] > 0.98


def test_banks_are_made_once_each_and_taken_in_turn() -> None:
    made: list[int] = []

    def scenes(number: int) -> Bank:
        made.append(number)
        return Bank(np.full((2, 1, 1), number, np.uint8), np.zeros((2, 1, 1), np.uint8), 8)

    with closing(Banks(scenes, 3)) as banks:
        assert [int(banks.of(epoch).spikes[0, 0, 0]) for epoch in (0, 1, 2, 3, 4)] == [0, 1, 2, 0, 1]
        assert sorted(made) == [0, 1, 2]
        assert (len(banks), banks.fibres) == (2, 8)
    with closing(Banks(scenes, 2)) as banks:
        assert int(banks.of(5).spikes[0, 0, 0]) == 1  # a run that goes on begins anywhere
    with pytest.raises(ValueError, match="banks=0"):
        Banks(scenes, 0)


def test_a_bank_that_cannot_be_made_ends_the_training_that_waits_for_it() -> None:
    def scenes(number: int) -> Bank:
        if number:
            raise ValueError("no scenes")
        return Bank(np.zeros((2, 1, 1), np.uint8), np.zeros((2, 1, 1), np.uint8), 8)

    with closing(Banks(scenes, 2)) as banks:
        banks.of(0)
        with pytest.raises(ValueError, match="no scenes"):
            banks.of(1)
