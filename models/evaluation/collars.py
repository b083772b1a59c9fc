"""Event-based precision, recall and F1 as sed_eval defines them. Knows events as (label, onset, offset) in seconds.

An event is found if its label is the same and its onset lies within the collar; with offsets, its end must also lie
within the collar or within half of the true event's length, whichever is more. Within a clip each event may be matched
once, and as many are matched as can be.
Source: Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016; sed_eval 0.2.1,
`EventBasedMetrics` with its defaults (`percentage_of_length=0.5`, optimal matching).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

SoundEvent = tuple[str, float, float]  # label, onset, offset
SHARE_OF_LENGTH = 0.5


def found(truth: SoundEvent, said: SoundEvent, collar_s: float, offsets: bool) -> bool:
    if truth[0] != said[0] or abs(truth[1] - said[1]) > collar_s:
        return False
    return not offsets or abs(truth[2] - said[2]) <= max(collar_s, SHARE_OF_LENGTH * (truth[2] - truth[1]))


def matched(truth: Sequence[SoundEvent], said: Sequence[SoundEvent], collar_s: float, offsets: bool) -> list[int]:
    """Indices of the true events that are found, as many as possible at once: augmenting paths."""
    owner: dict[int, int] = {}  # index in said -> in truth

    def place(i: int, tried: set[int]) -> bool:
        for j, event in enumerate(said):
            if j not in tried and found(truth[i], event, collar_s, offsets):
                tried.add(j)
                if j not in owner or place(owner[j], tried):
                    owner[j] = i
                    return True
        return False

    for i in range(len(truth)):
        place(i, set())
    return sorted(owner.values())


def event_f1(
    clips: Iterable[tuple[Sequence[SoundEvent], Sequence[SoundEvent]]], collar_s: float, offsets: bool
) -> dict[str, Any]:
    """clips: (truth, said) of each. Over all events, and the mean of the F1 of the labels that are true somewhere."""
    true: Counter[str] = Counter()
    said: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for reference, estimate in clips:
        true.update(event[0] for event in reference)
        said.update(event[0] for event in estimate)
        hits.update(reference[i][0] for i in matched(reference, estimate, collar_s, offsets))
    overall = prf(hits.total(), true.total(), said.total())
    classes = [prf(hits[label], true[label], said[label])["f1"] for label in true]
    return {**overall, "macro_f1": round(sum(classes) / len(classes), 4) if classes else None}


def prf(hits: float, true: float, said: float) -> dict[str, float]:
    """Precision, recall and F1 of counts or rates; 0 where they are not defined."""
    return {
        "precision": round(hits / said, 4) if said else 0.0,
        "recall": round(hits / true, 4) if true else 0.0,
        "f1": round(2.0 * hits / (true + said), 4) if true + said else 0.0,
    }
