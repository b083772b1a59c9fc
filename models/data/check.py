"""What is wrong with a corpus, before anyone trains on it or is judged by it. Knows recordings and their sounds.

An error makes a figure false or a training fail: a recording on both sides of a split, one sound under two labels, a
file that cannot be read, silence called an instrument. A warning is worth a look. A note only tells.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.data import split
from models.data.corpus import Progress, sounds
from models.data.decode import RATE_HZ
from models.data.loaders import Corpus, merged
from models.data.ontology import NEGATIVES
from models.data.pack import Pack, Sound
from models.data.recording import Recording
from models.data.spelling import instrument_of
from models.data.twins import twins

SILENT_PEAK = 1e-3  # -60 dBFS
CLIPPED_SAMPLES = 3  # at full scale in a row or in pairs: one peak at full scale is only loud
OFFSET = 0.02  # of full scale
SHORT_S = 0.05  # audible

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    level: Level
    what: str  # a short name, for programs
    message: str  # a sentence, without the names
    names: list[str]  # recordings, labels or pairs that it is about


@dataclass(frozen=True)
class Checked:
    recordings: list[Recording]
    sound: dict[str, Sound]  # by a recording's name
    parts: dict[str, split.Part]  # of those that have a label
    findings: list[Finding]  # errors first


def check(
    corpora: Sequence[Corpus],
    progress: Progress = lambda done, total: None,
    comparing: Progress = lambda done, total: None,
) -> Checked:
    """Look at all of `corpora`, merged. `progress` while decoding, `comparing` while looking for copies."""
    recordings = merged(corpora)
    place = sounds(corpora, recordings, progress)
    where = {recording.name: place(recording) for recording in recordings}
    sound = {name: pack.sounds[inner] for name, (pack, inner) in where.items()}
    parts = split.parts(recordings)
    findings = [
        *_of_files(recordings, sound),
        *_of_names(recordings),
        *_of_the_split(recordings, parts),
        *_of_copies(recordings, sound, parts, where, comparing),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    found = [finding for finding in findings if finding.names]
    return Checked(recordings, sound, parts, sorted(found, key=lambda finding: order[finding.level]))


def _of_files(recordings: Sequence[Recording], sound: dict[str, Sound]) -> Iterator[Finding]:
    bad = [f"{r.name}: {sound[r.name].trouble}" for r in recordings if sound[r.name].trouble]
    good = [(r, sound[r.name]) for r in recordings if not sound[r.name].trouble]
    silent = [r.name for r, s in good if s.peak < SILENT_PEAK and r.label != "silence"]
    clipped = [r.name for r, s in good if s.clipped >= CLIPPED_SAMPLES]
    offset = [f"{r.name}: {s.mean:+.3f}" for r, s in good if abs(s.mean) > OFFSET]
    short = [r.name for r, s in good if s.peak >= SILENT_PEAK and s.stop - s.start < SHORT_S * RATE_HZ]
    yield Finding("error", "unreadable", "files that cannot be read", bad)
    yield Finding("error", "silent", f"nothing above {20 * np.log10(SILENT_PEAK):.0f} dBFS, but no `silence`", silent)
    yield Finding("warning", "clipping", "samples in a row at full scale: clipped when recorded or converted", clipped)
    yield Finding("warning", "dc_offset", f"a mean of more than {OFFSET:g} of full scale", offset)
    yield Finding("warning", "short", f"less than {1000 * SHORT_S:.0f} ms audible", short)


def _of_names(recordings: Sequence[Recording]) -> Iterator[Finding]:
    out = [r for r in recordings if r.label is None]
    unknown = {r.instrument for r in out if not (r.family or r.origin or instrument_of(r.instrument))}
    yield Finding("warning", "unknown_label", "names that the ontology does not know; left out", sorted(unknown))
    known = {r.instrument for r in out} - unknown
    yield Finding("note", "left_out", "instruments that no label stands for; left out", sorted(known))
    unlicensed = [r.name for r in recordings if not r.licence]
    yield Finding("warning", "licence", "no licence is told", unlicensed)
    libraries: dict[str, set[str]] = defaultdict(set)
    for r in recordings:
        if r.label:
            libraries[r.label].add(r.library)
    alone = sorted(label for label, names in libraries.items() if len(names) == 1)
    yield Finding("warning", "one_library", "labels from one library only: what is learned may be its rooms", alone)


def _of_the_split(recordings: Sequence[Recording], parts: dict[str, split.Part]) -> Iterator[Finding]:
    sides: dict[tuple[str, str], set[split.Part]] = defaultdict(set)
    own: dict[tuple[str, str], bool] = defaultdict(bool)
    by_label: dict[str, set[split.Part]] = defaultdict(set)
    for r in recordings:
        if r.label:
            sides[r.library, r.group].add(parts[r.name])
            own[r.library, r.group] |= r.part is not None
            by_label[r.label].add(parts[r.name])
    across = [group for (library, group), found in sides.items() if "train" in found and len(found) > 1]
    told = [group for (library, group), found in sides.items() if group in across and own[library, group]]
    held = [group for (_, group), found in sides.items() if found == {"calibrate", "report"}]
    yield Finding("error", "group_across_split", "groups on both sides of the corpus's own split", told)
    rest = sorted(set(across) - set(told))
    yield Finding(
        "warning", "split_by_pitch", "the only group of a label: divided by pitch, so judged too kindly", rest
    )
    yield Finding("note", "group_in_both_halves", "groups that calibrate and report: most of their label", held)
    unjudged = sorted(label for label, found in by_label.items() if found == {"train"})
    yield Finding("warning", "not_judged", "labels with one group of one pitch: nothing is left out to judge", unjudged)


def _of_copies(
    recordings: Sequence[Recording],
    sound: dict[str, Sound],
    parts: dict[str, split.Part],
    where: dict[str, tuple[Pack, str]],
    progress: Progress,
) -> Iterator[Finding]:
    """Pairs of names for one sound. The same samples count once among those whose waveforms are compared."""
    first: dict[str, Recording] = {}
    pairs: list[tuple[Recording, Recording]] = []
    for r in recordings:
        if sound[r.name].peak >= SILENT_PEAK:
            same = first.setdefault(sound[r.name].digest, r)
            if same is not r:
                pairs.append((same, r))
    single = list(first.values())

    def audible(r: Recording) -> Callable[[], NDArray[np.int16]]:
        pack, inner = where[r.name]
        return lambda: pack.samples(inner)[sound[r.name].start : sound[r.name].stop]

    near = twins([audible(r) for r in single], lambda done: progress(done, len(single)))
    for kind, found in (
        ("copy", pairs),
        ("near_copy", [(single[i], single[j]) for i, j, _ in near]),
    ):
        told: dict[str, list[str]] = defaultdict(list)
        for one, other in found:
            told[_matter(one, other, parts)].append(f"{one.name} = {other.name}")
        words = "one recording under two names" if kind == "copy" else "one recording, but for level, codec or start,"
        yield Finding("error", f"{kind}_across_split", f"{words} in training and left out to judge", told["split"])
        yield Finding("error", f"{kind}_across_labels", f"{words} called two instruments", told["labels"])
        yield Finding("warning", f"{kind}_across_halves", f"{words} in both halves that judge", told["halves"])
        yield Finding("warning", kind, f"{words} in two groups", told["groups"])
        yield Finding("note", f"{kind}_in_group", f"{words} in one group", told["group"])


def _matter(one: Recording, other: Recording, parts: dict[str, split.Part]) -> str:
    """What a copy spoils."""
    sides = {parts.get(one.name), parts.get(other.name)} - {None}
    if one.label and other.label and one.label != other.label and {one.label, other.label} - set(NEGATIVES):
        return "labels"
    if "train" in sides and len(sides) > 1:
        return "split"
    if len(sides) > 1:
        return "halves"
    return "group" if (one.library, one.group) == (other.library, other.group) else "groups"
