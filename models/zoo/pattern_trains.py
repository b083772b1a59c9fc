"""Spike trains with and without a periodic pattern, drawn at random. Knows steps and spikes.

`pattern`: the pattern again and again, from any phase on; now and then a spike is lost or one too many. The others
must not be taken for it: `jittered`, the same with each spike moved, `other`, another pattern as often, and `random`,
as many spikes anywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("pattern", "jittered", "other", "random")


@dataclass(frozen=True)
class Task:
    period: int = 50  # steps
    spikes: int = 5  # of the pattern
    jitter: int = 5  # steps at most, either way
    lost: float = 0.02  # share of a pattern's spikes
    added: float = 0.02  # of them, at random places


def pattern(random: np.random.Generator, task: Task) -> NDArray[np.intp]:
    """The steps of one period in which it spikes."""
    return np.sort(random.choice(task.period, task.spikes, replace=False))


def trains(
    random: np.random.Generator, own: NDArray[np.intp], kinds: NDArray[np.intp], steps: int, task: Task
) -> NDArray[np.float32]:
    """(steps, len(kinds)) of 0 and 1, each train of its kind, an index of KINDS."""
    made = np.zeros((steps, len(kinds)), np.float32)
    for train, kind in enumerate(kinds):
        name = KINDS[kind]
        periods = steps // task.period + 3
        starts = np.arange(periods) * task.period - task.period - random.integers(task.period)
        motif = own if name != "other" else _unlike(random, own, task)
        at = (starts[:, None] + motif).ravel()
        if name == "random":
            at = random.integers(starts[0], starts[-1] + task.period, at.size)
        if name == "jittered":
            at = at + random.integers(-task.jitter, task.jitter + 1, at.size)
        else:
            at = at[random.random(at.size) >= task.lost]
            extra = random.binomial(periods * task.spikes, task.added)
            at = np.concatenate([at, random.integers(starts[0], starts[-1], extra)])
        made[at[(at >= 0) & (at < steps)], train] = 1.0
    return made


def _unlike(random: np.random.Generator, own: NDArray[np.intp], task: Task) -> NDArray[np.intp]:
    """Another pattern, that shares at most half of its spikes with the first at any phase."""
    while True:
        motif = pattern(random, task)
        lags = (motif[:, None] - own) % task.period
        if np.bincount(lags.ravel()).max() <= task.spikes / 2:
            return motif
