"""Times of things that compete: each run in turn, round after round, so that a noisy moment hits all of them.

Knows callables and clocks; nothing of what they do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.bench.machine import clock

TURN_NS = 3_000_000  # at least, so that caches and branch predictors left by the one before do not count


@dataclass(frozen=True)
class Run:
    """Something to time: `call` does `units` of work (frames, transforms, calls)."""

    call: Callable[[], object]
    units: int


@dataclass(frozen=True)
class Times:
    """Nanoseconds for each unit of work over the rounds."""

    median: float
    least: float
    lower: float  # quartiles
    upper: float

    def __sub__(self, other: "Times") -> "Times":
        """What this takes more than the other; the spread is this one's."""
        by = other.median
        return Times(self.median - by, self.least - other.least, self.lower - by, self.upper - by)

    def us(self) -> dict[str, float]:
        """As a report keeps it: microseconds."""
        return {
            "us": round(self.median / 1e3, 4),
            "min_us": round(self.least / 1e3, 4),
            "quartiles_us": [round(self.lower / 1e3, 4), round(self.upper / 1e3, 4)],  # type: ignore[dict-item]
        }


def compete(runs: dict[str, Run], rounds: int) -> dict[str, Times]:
    """Time every run once in each round, in turn. A round before them compiles and tells how long each one takes."""
    _, now = clock()
    turns = {}
    for name, run in runs.items():
        run.call()
        began = now()
        run.call()
        turns[name] = max(1, -(-TURN_NS // max(1, now() - began)))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = now()
            for _ in range(turns[name]):
                run.call()
            taken[name].append((now() - began) / run.units / turns[name])
    return {name: _times(times) for name, times in taken.items()}


def _times(times: list[float]) -> Times:
    lower, median, upper = np.percentile(times, (25, 50, 75))
    return Times(median=float(median), least=min(times), lower=float(lower), upper=float(upper))
