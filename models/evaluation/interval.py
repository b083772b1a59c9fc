"""Bootstrap of a balanced accuracy. Knows right and wrong answers, their classes and groups.

Within each class whole groups (players, instruments, sessions) are drawn with replacement, as many as there are:
answers to notes of one instrument are not independent. Where a class has one group, or none is given, its clips are
drawn, which makes the interval too narrow. Source: Davison and Hinkley, "Bootstrap Methods", 1997, section 3.8.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

DRAWS = 2000


def interval95(
    classes: Sequence[str], groups: Sequence[str | None], right: Sequence[bool], seed: int
) -> tuple[float, float] | None:
    """The 2.5th and 97.5th percentile of the balanced accuracy, 0..1; None without answers."""
    units: dict[str, dict[object, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for index, (name, group, ok) in enumerate(zip(classes, groups, right, strict=True)):
        units[name][index if group is None else group].append(ok)
    if not units:
        return None
    random = np.random.default_rng(seed)
    total = np.zeros(DRAWS)
    for name in sorted(units):
        rows = list(units[name].values())
        if len(rows) == 1:
            rows = [[ok] for ok in rows[0]]
        hits, sizes = np.array([sum(row) for row in rows]), np.array([len(row) for row in rows])
        for draw in range(DRAWS):  # one at a time: a class may have many thousand clips
            chosen = random.integers(len(rows), size=len(rows))
            total[draw] += hits[chosen].sum() / sizes[chosen].sum()
    low, high = np.percentile(total / len(units), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)
