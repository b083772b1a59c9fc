"""What a checked corpus holds, as numbers: for each label and family, library, rate and part. Knows no sound."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from models.data.check import Checked
from models.data.decode import RATE_HZ
from models.data.ontology import LABELS, NEGATIVES
from models.data.recording import Recording


def contents(checked: Checked) -> dict[str, Any]:
    """JSON-ready. Instruments without a label stand under their own names in `left_out`."""
    labelled = [r for r in checked.recordings if r.label]
    good = [checked.sound[r.name] for r in checked.recordings if not checked.sound[r.name].trouble]
    order = {name: index for index, name in enumerate([*LABELS, *NEGATIVES])}
    return {
        "clips": len(checked.recordings),
        "hours": round(sum(sound.length for sound in good) / RATE_HZ / 3600.0, 3),
        "labels": _rows(checked, labelled, lambda r: r.label or "", lambda name: order[name]),
        "families": _rows(checked, checked.recordings, lambda r: r.family or r.label or "unknown", lambda name: name),
        "left_out": _rows(
            checked, (r for r in checked.recordings if not r.label), lambda r: r.instrument, lambda name: name
        ),
        "libraries": dict(sorted(Counter(r.library for r in checked.recordings).items())),
        "parts": dict(sorted(Counter(checked.parts.values()).items())),
        "origins": dict(sorted(Counter(r.origin for r in checked.recordings if r.origin).items())),
        "rates_hz": {str(rate): count for rate, count in sorted(Counter(sound.rate_hz for sound in good).items())},
        "channels": {str(n): count for n, count in sorted(Counter(sound.channels for sound in good).items())},
    }


def _rows(
    checked: Checked, recordings: Iterable[Recording], key: Callable[[Recording], str], order: Callable[[str], Any]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        groups[key(recording)].append(recording)
    rows = {}
    for name in sorted(groups, key=order):
        own = groups[name]
        sounds = [checked.sound[r.name] for r in own]
        rows[name] = {
            "clips": len(own),
            "seconds": round(sum(sound.length for sound in sounds) / RATE_HZ, 1),
            "libraries": len({r.library for r in own}),
            "groups": len({(r.library, r.group) for r in own}),
            "pitches": len({r.pitch for r in own if r.pitch is not None}),
            **{part: sum(checked.parts.get(r.name) == part for r in own) for part in ("train", "calibrate", "report")},
        }
    return rows
