"""Corpora as clips: what a loader lists, with its sound on disk and its part of the split. Knows no frames or labels in
time.

Samples are views of a file on disk (`pack.py`), so a corpus of any size takes no memory until it is heard.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import split
from models.data.decode import RATE_HZ, read_sound
from models.data.loaders import Corpus, load, merged
from models.data.ontology import NEGATIVES
from models.data.pack import Pack, packed
from models.data.prepare import LONG_S, SEGMENT_S, hops_s, segments
from models.data.recording import CorpusError, Recording

__all__ = ["RATE_HZ", "Clip", "read_corpora", "read_folder", "read_sound"]

# told (clips done, clips in all) while sound is decoded
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Clip:
    """One recording or a segment of one: a note, a phrase, or a stretch of noise."""

    name: str
    label: str  # of the ontology, or a negative
    library: str
    group: str  # the physical instrument, player or speaker
    part: split.Part
    licence: str
    samples: NDArray[np.int16]  # (n,) at RATE_HZ
    pitch: int | None = None  # MIDI note
    instrument: str = ""  # the fine name
    articulation: str = ""


def read_folder(folder: Path, parts: Iterable[split.Part] = ("train", "calibrate", "report")) -> list[Clip]:
    """The clips of one corpus of any kind that have a label, in its order."""
    return read_corpora([folder], parts)


def read_corpora(
    paths: Sequence[Path],
    parts: Iterable[split.Part] = ("train", "calibrate", "report"),
    progress: Progress = lambda done, total: None,
) -> list[Clip]:
    """The clips of several corpora, merged, that have a label, without the silence around them, long ones in segments.

    Raises FileNotFoundError if a path is no corpus, CorpusError naming the first file that cannot be read.
    """
    corpora = [load(path) for path in paths]
    recordings = [recording for recording in merged(corpora) if recording.label]
    part_of = split.parts(recordings)
    wanted = set(parts)
    chosen = [recording for recording in recordings if part_of[recording.name] in wanted]
    sound_of = sounds(corpora, chosen, progress)
    clips = [_clip(recording, part_of[recording.name], *sound_of(recording)) for recording in chosen]
    return _cut(clips)


def sounds(
    corpora: Sequence[Corpus], recordings: Sequence[Recording], progress: Progress = lambda done, total: None
) -> Callable[[Recording], tuple[Pack, str]]:
    """Decode what is new of `recordings`. Returns where each is: its corpus's pack and its name in there."""
    wanted = {recording.path: recording for recording in recordings}
    done = 0

    def one_more(name: str) -> None:
        nonlocal done
        done += 1
        progress(done, len(wanted))

    place: dict[Path, tuple[Pack, str]] = {}
    for corpus in corpora:
        files = {
            recording.name: recording.path
            for recording in corpus.recordings
            if recording.path in wanted and recording.path not in place
        }
        if files:
            pack = packed(corpus.path, files, one_more)
            place |= {path: (pack, name) for name, path in files.items()}
    return lambda recording: place[recording.path]


def _clip(recording: Recording, part: split.Part, pack: Pack, name: str) -> Clip:
    sound = pack.sounds[name]
    if sound.trouble:
        raise CorpusError(f"{recording.path}: {sound.trouble}")
    samples = pack.samples(name)
    if recording.label not in NEGATIVES:
        samples = samples[sound.start : sound.stop]
    assert recording.label is not None
    return Clip(
        name=recording.name,
        label=recording.label,
        library=recording.library,
        group=recording.group,
        part=part,
        licence=recording.licence,
        samples=samples,
        pitch=recording.pitch,
        instrument=recording.instrument,
        articulation=recording.articulation,
    )


def _cut(clips: list[Clip]) -> list[Clip]:
    """Long clips as segments: those that train with their label's hop, those that judge without overlap."""
    if not any(len(clip.samples) > LONG_S * RATE_HZ for clip in clips):
        return clips
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        if clip.part == "train":
            seconds[clip.label] += len(clip.samples) / RATE_HZ
    hops = hops_s(seconds)
    size = round(SEGMENT_S * RATE_HZ)
    cut: list[Clip] = []
    for clip in clips:
        if len(clip.samples) <= LONG_S * RATE_HZ:
            cut.append(clip)
            continue
        hop = round(hops[clip.label] * RATE_HZ) if clip.part == "train" else size
        for index, samples in enumerate(segments(clip.samples, size, hop)):
            seconds_in = index * hop / RATE_HZ
            cut.append(replace(clip, name=f"{clip.name}@{seconds_in:.2f}s", samples=samples, pitch=None))
    return cut
