"""On and off thresholds of each latch, from clips that neither trained the network nor are reported on.

On: the least membrane that keeps false onsets on speech and noise within a budget, or more, where a higher one makes
the label's F1 on instruments better. Off lies a fixed step of log-odds below. Knows membranes; nothing of sound.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.latch import score_of
from models.data.ontology import LABELS
from models.hearing import Heard

CANDIDATES = np.arange(-2.0, 6.01, 0.1)  # membranes: scores 0.12 to 0.998
HYSTERESIS = 1.5  # log-odds from on to off
FALSE_PER_HOUR = 4.0  # onsets of one label on the calibration half's speech and noise


def thresholds(instruments: Sequence[Heard], negatives: Sequence[Heard]) -> tuple[list[float], list[float]]:
    """Scores at which each label turns on and off, rounded to 1e-4."""
    peaks = np.array([heard.evidence.max(axis=0) for heard in instruments])
    names = np.array([heard.clip.label for heard in instruments])
    false_peaks = np.array([heard.evidence.max(axis=0) for heard in negatives]).reshape(-1, len(LABELS))
    hours = sum(len(heard.evidence) for heard in negatives) * 0.01 / 3600.0
    on, off = [], []
    for index, label in enumerate(LABELS):
        allowed = int(FALSE_PER_HOUR * hours)
        counts = np.array([(false_peaks[:, index] > v).sum() for v in CANDIDATES])
        within = CANDIDATES[counts <= allowed]
        lowest = float(within[0]) if len(within) else float(CANDIDATES[-1])
        v = _best(peaks[:, index], names, label, lowest)
        on.append(round(score_of(v), 4))
        off.append(round(score_of(v - HYSTERESIS), 4))
    return on, off


def _best(peaks: NDArray[np.float32], names: NDArray[np.str_], label: str, lowest: float) -> float:
    """The threshold, `lowest` or more, with the greatest F1 when every instrument is equally frequent."""
    best, best_f1 = lowest, -1.0
    for v in CANDIDATES:
        if v < lowest - 1e-9:
            continue
        rates = {name: float((peaks[names == name] > v).mean()) for name in LABELS if (names == name).any()}
        recall = rates.get(label, 0.0)
        f1 = 2.0 * recall / (1.0 + sum(rates.values()))
        if f1 > best_f1 + 1e-9:
            best, best_f1 = float(v), f1
    return best
