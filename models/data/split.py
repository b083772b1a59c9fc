"""The fixed split: which recordings validate. Knows library and group names; nothing of sound.

Whole libraries validate, because a network that has learned a library's rooms and players is useless elsewhere.
Where an instrument has a single library, one physical instrument or speaker (`group`) of it is left out. Half of
the validation clips, again by group, calibrate thresholds and guided the choices of design (`calibrate`); the
card's figures come from the other half (`report`). A corpus with a split of its own keeps it.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from models.data.recording import Recording

Part = Literal["train", "calibrate", "report"]

VALIDATION_LIBRARIES = frozenset(
    {
        "vsco2_tonejs",
        "waf_generalusergs",
        "freepats",
        "banjo_mandolin",
        "vcsl_percussion",
        "olpc_berklee_voice",
        "esc50",
    }
)

# the only library of an instrument or negative: these groups of it validate
VALIDATION_GROUPS = frozenset(
    {
        ("karoryfer_bassguitars", "fashionbass"),
        ("karoryfer_bassguitars", "swagbass"),
        ("wakeword_speech", "wakeword/alexa"),
        ("wakeword_speech", "wakeword/computer"),
        ("wakeword_speech", "wakeword/jarvis"),
    }
)

OWN: dict[str, Part] = {"train": "train", "valid": "calibrate", "test": "report"}
LEFT_OUT = 0.2


def validates(library: str, group: str) -> bool:
    return library in VALIDATION_LIBRARIES or (library, group) in VALIDATION_GROUPS


def halves(members: Iterable[tuple[str, str, str]]) -> dict[str, Part]:
    """Name of each validation clip -> its half. members: (label, group, name) of each clip.

    For each label the groups, in an order drawn from their names, go one by one to the half that has fewer clips.
    A group that is more than half of its label's clips is divided by clip instead: no other way gives two halves.
    """
    by_label: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for label, group, name in members:
        by_label[label][group].append(name)
    part: dict[str, Part] = {}
    for groups in by_label.values():
        total = sum(len(names) for names in groups.values())
        whole = {group: names for group, names in groups.items() if 2 * len(names) <= total}
        counts = {"calibrate": 0, "report": 0}
        for group, names in groups.items():
            if group not in whole:
                for index, name in enumerate(sorted(names, key=shuffled)):
                    half: Part = "report" if index % 2 == 0 else "calibrate"
                    part[name] = half
                    counts[half] += 1
        for group in sorted(whole, key=shuffled):
            half = "report" if counts["report"] <= counts["calibrate"] else "calibrate"
            part.update(dict.fromkeys(whole[group], half))
            counts[half] += len(whole[group])
    return part


def parts(recordings: Iterable[Recording]) -> dict[str, Part]:
    """Name of each recording that has a label -> its part.

    A corpus's own train, valid and test are train, calibrate and report. A label of which nothing validates by
    library or group leaves out about a fifth of its groups, or, if it has one group only, a fifth of its pitches.
    """
    part: dict[str, Part] = {}
    validating: list[tuple[str, str, str]] = []  # label, group, name
    rest: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        if recording.label is None:
            continue
        if recording.part is not None:
            part[recording.name] = OWN[recording.part]
        elif validates(recording.library, recording.group):
            validating.append((recording.label, recording.group, recording.name))
        else:
            rest[recording.label].append(recording)
    judged = {label for label, _, _ in validating}
    for label, own in rest.items():
        part.update(dict.fromkeys((recording.name for recording in own), "train"))
        if label not in judged:
            validating += _left_out(label, own)
    return part | halves(validating)


def _left_out(label: str, own: list[Recording]) -> list[tuple[str, str, str]]:
    """About LEFT_OUT of one label's recordings, whole groups or else whole pitches; none if there is only one unit."""
    units: dict[str, list[str]] = defaultdict(list)
    by_pitch = len({recording.group for recording in own}) == 1
    for recording in own:
        units[f"{recording.group}/{recording.pitch}" if by_pitch else recording.group].append(recording.name)
    out: list[tuple[str, str, str]] = []
    for unit in sorted(units, key=shuffled):
        if len(out) < LEFT_OUT * len(own) and 2 * (len(out) + len(units[unit])) <= len(own):
            out += [(label, unit, name) for name in units[unit]]
    return out


def shuffled(name: str) -> tuple[int, str]:
    """A fixed order that has nothing to do with the alphabet."""
    return zlib.crc32(name.encode()), name
