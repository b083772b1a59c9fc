"""The threshold of an added label, and what the label is worth, from membranes of notes and counterexamples left out.

The threshold is the lowest at which the counterexamples give no more false onsets an hour than the budget allows.
For the figures each fold is judged with the threshold that the other folds give. Knows membranes; nothing of sound.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.latch import score_of
from models.calibrate import HYSTERESIS
from models.replay import onsets

CANDIDATES = np.arange(0.0, 9.01, 0.1)  # membranes: scores 0.5 to 0.9999
BUDGETS = (2.0, 6.0, 20.0, 60.0)  # false onsets an hour for which the recall is told


@dataclass(frozen=True)
class Judged:
    """Each row is by a detector that had not learned from its fold."""

    notes: NDArray[np.float32]  # (notes, frames) membranes
    begins: NDArray[np.int64]  # (notes,) frame
    note_fold: NDArray[np.int64]
    others: NDArray[np.float32]  # (scenes, frames)
    other_fold: NDArray[np.int64]
    kinds: tuple[str, ...]  # of the scenes
    hop_s: float

    def hours(self, rows: NDArray[np.bool_]) -> float:
        return int(rows.sum()) * self.others.shape[1] * self.hop_s / 3600.0


def scores(v: float) -> tuple[float, float]:
    """On and off, rounded to 1e-4, of the membrane at which a label turns on."""
    return round(score_of(v), 4), round(score_of(v - HYSTERESIS), 4)


def on_v(judged: Judged, budget: float, rows: NDArray[np.bool_] | None = None) -> float:
    """The membrane to turn on at, from the counterexamples `rows`; the highest candidate if none keeps the budget."""
    rows = np.ones(len(judged.others), bool) if rows is None else rows
    allowed = budget * judged.hours(rows)
    loud = judged.others[rows]
    loud = loud[loud.max(axis=1) > CANDIDATES[0]]
    for v in CANDIDATES:
        loud = loud[loud.max(axis=1, initial=-np.inf) > v]
        if onsets(loud, *scores(v), judged.hop_s)[0].sum() <= allowed:
            return float(v)
    return float(CANDIDATES[-1])


def figures_of(judged: Judged, budget: float) -> dict[str, Any]:
    """JSON-ready. Folds that have no counterexample are judged with the threshold of all."""
    at = {allowed: _heard(judged, allowed) for allowed in sorted({budget, *BUDGETS})}
    first, counts = at[budget]
    caught = first >= 0
    latency = 1000.0 * judged.hop_s * (first[caught] + 1 - judged.begins[caught])
    everything = np.ones(len(judged.others), bool)
    mistaken: Counter[str] = Counter()
    for kind, count in zip(judged.kinds, counts, strict=True):
        mistaken[kind] += int(count)
    return {
        "notes": len(first),
        "folds": len(set(judged.note_fold.tolist())),
        "recall": _percent(caught),
        "recall_of_folds": [_percent(caught[judged.note_fold == k]) for k in sorted(set(judged.note_fold.tolist()))],
        "onset_latency_ms": _spread(latency),
        "false_onsets": {
            "hours": round(judged.hours(everything), 3),
            "onsets": int(counts.sum()),
            "per_hour": round(float(counts.sum()) / judged.hours(everything), 2),
            "on": {kind: count for kind, count in mistaken.most_common() if count},
        },
        "budget_per_hour": budget,
        "recall_at_budget": {f"{allowed:g}": _percent(rows[0] >= 0) for allowed, rows in at.items()},
    }


def _heard(judged: Judged, budget: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each note the frame of its onset event or -1, for each counterexample the number of onsets."""
    first, counts = np.full(len(judged.notes), -1, np.int64), np.zeros(len(judged.others), np.int64)
    for k in sorted(set(judged.note_fold.tolist()) | set(judged.other_fold.tolist())):
        own, apart = judged.other_fold == k, judged.other_fold != k
        on, off = scores(on_v(judged, budget, apart if apart.any() else None))
        notes = judged.note_fold == k
        first[notes] = onsets(judged.notes[notes], on, off, judged.hop_s)[1]
        counts[own] = onsets(judged.others[own], on, off, judged.hop_s)[0]
    return first, counts


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100.0 * float(np.mean(right)), 1)


def _spread(values: NDArray[np.floating[Any]]) -> dict[str, float]:
    if not len(values):
        return {"events": 0}
    median, p95 = np.percentile(values, [50, 95])
    return {"events": len(values), "median": round(float(median), 1), "p95": round(float(p95), 1)}
