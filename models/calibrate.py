"""On and off thresholds of each latch, to a budget of false onsets an hour, from clips that trained nothing.

Of every candidate threshold of every label two things are counted: the F1 of events where every instrument is equally
frequent, so that other instruments count as mistakes, and the onsets an hour on noise and speech, by the engine's own
latch. The thresholds with the greatest sum of `F1 - price * onsets` are taken at the lowest price at which the onsets
of all labels together keep the budget, a mean for each label: a label that is never fooled leaves its share to others.

A label has few clips here, and what is best for them is not best for others: half of each count is the mean over all
labels. To a budget of 8, thresholds from half of the players then gave 8.7 with the other half; without, 13.1
(`docs/models.md`). Off lies a fixed step of log-odds below on. Knows membranes; nothing of sound.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.latch import score_of
from models.data.corpus import RATE_HZ
from models.data.ontology import LABELS
from models.hearing import Heard
from models.replay import onsets

BUDGET = 8.0  # false onsets an hour for each label
BUDGETS = (24.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5)  # of the curve that the model tells
CANDIDATES = np.arange(0.0, 8.01, 0.1)  # membranes: scores 0.5 to 0.9997
HYSTERESIS = 1.5  # log-odds from on to off
SHARED = 0.5  # of what is counted for a label that is the mean over all labels
HOP_S = 0.01

Table = NDArray[np.float64]  # (labels, candidates)


@dataclass(frozen=True)
class Point:
    """A choice of thresholds and what it is worth on the clips that it was chosen on, in percent."""

    budget_per_hour: float | None  # None: the best F1 at any price
    false_onsets_per_hour: float  # on noise and speech, for each label
    recall: float
    precision: float
    f1: float
    silent: tuple[str, ...]  # labels none of whose clips turns them on


class Counts:
    """What each label does at each candidate threshold."""

    def __init__(self, instruments: Sequence[Heard], negatives: Sequence[Heard]) -> None:
        shape = (len(LABELS), len(CANDIDATES))
        self.present = np.zeros(len(LABELS), bool)
        self.recall: Table = np.zeros(shape)
        self.everywhere: Table = np.zeros(shape)  # sum over the instruments of the share of their clips
        for index, label in enumerate(LABELS):
            peaks = np.array([heard.evidence.max(axis=0) for heard in instruments if heard.clip.label == label])
            if len(peaks):
                rates = (peaks[:, :, None] > CANDIDATES).mean(axis=0)
                self.present[index] = True
                self.recall[index] = rates[index]
                self.everywhere += rates
        self.hours = sum(len(heard.clip.samples) for heard in negatives) / RATE_HZ / 3600.0
        self.false_per_hour: Table = _false_onsets(negatives) / self.hours if self.hours else np.zeros(shape)
        self.f1: Table = 2.0 * self.recall / (1.0 + self.everywhere)

    def choose(self, budget: float | None) -> NDArray[np.intp]:
        """The candidate of each label, (labels,)."""
        f1 = (1.0 - SHARED) * self.f1
        if self.present.any():
            f1 = f1 + SHARED * self.f1[self.present].mean(axis=0)
        false = (1.0 - SHARED) * self.false_per_hour + SHARED * self.false_per_hour.mean(axis=0)
        rows = np.arange(len(LABELS))

        def at(price: float) -> NDArray[np.intp]:
            return np.argmax(f1 - price * false, axis=1)

        if budget is None or false[rows, at(0.0)].mean() <= budget:
            return at(0.0)
        low, high = 0.0, 1e6  # a price at which no onset is worth it; the search halves its logarithm
        for _ in range(80):
            middle = float(np.sqrt(max(low, 1e-9) * high))
            low, high = (low, middle) if false[rows, at(middle)].mean() <= budget else (middle, high)
        return at(high)

    def point(self, budget: float | None) -> Point:
        rows, chosen = np.arange(len(LABELS)), self.choose(budget)
        recall, everywhere = self.recall[rows, chosen], self.everywhere[rows, chosen]
        own = self.present
        return Point(
            budget_per_hour=budget,
            false_onsets_per_hour=round(float(self.false_per_hour[rows, chosen].mean()), 2),
            recall=_percent(recall[own]),
            precision=_percent(recall[own] / np.maximum(everywhere[own], 1e-9)),
            f1=_percent(self.f1[rows, chosen][own]),
            silent=tuple(label for label, r, p in zip(LABELS, recall, own, strict=True) if p and r == 0.0),
        )


def calibrated(
    instruments: Sequence[Heard], negatives: Sequence[Heard], budget: float | None = BUDGET
) -> tuple[list[float], list[float], dict[str, Any]]:
    """Scores at which each label turns on and off, and for the model's card the point that was chosen and the curve."""
    counts = Counts(instruments, negatives)
    on, off = _scores(counts.choose(budget))
    told = {
        "clips": len(instruments),
        "hours_of_noise_and_speech": round(counts.hours, 3),
        "chosen": asdict(counts.point(budget)),
        "curve": [asdict(counts.point(other)) for other in (None, *BUDGETS)],
    }
    return on, off, told


def thresholds(
    instruments: Sequence[Heard], negatives: Sequence[Heard], budget: float | None = BUDGET
) -> tuple[list[float], list[float]]:
    """Scores at which each label turns on and off."""
    return _scores(Counts(instruments, negatives).choose(budget))


def _scores(chosen: NDArray[np.intp]) -> tuple[list[float], list[float]]:
    on = [float(CANDIDATES[index]) for index in chosen]
    return [_up(score_of(v)) for v in on], [_up(score_of(v - HYSTERESIS)) for v in on]


def _up(score: float) -> float:
    """To 1e-6, never down: what just failed to pass a candidate must not pass it in the file."""
    return math.ceil(score * 1e6) / 1e6


def _false_onsets(negatives: Sequence[Heard]) -> Table:
    """How many onsets the latch gives at each threshold."""
    counts = np.zeros((len(LABELS), len(CANDIDATES)))
    for column in range(len(LABELS)):
        for heard in negatives:
            v = heard.evidence[None, :, column]
            for index in np.flatnonzero(v.max() > CANDIDATES):
                on, off = score_of(CANDIDATES[index]), score_of(CANDIDATES[index] - HYSTERESIS)
                counts[column, index] += onsets(v, on, off, HOP_S)[0][0]
    return counts


def _percent(values: Table) -> float:
    return round(100.0 * float(np.mean(values)), 1)
