"""On and off thresholds of each latch, from clips that neither trained the network nor are reported on.

On: the membrane with the best F1 for the label, in a world where every instrument is equally frequent and speech and
noise are `NEGATIVE_WEIGHT` times as frequent as an instrument. Off lies a fixed step of log-odds below. A network
that is often wrong about noise needs high thresholds and then misses notes; a strict budget of false alarms an hour
was tried and silenced whole labels (`docs/decisions.md`). Knows membranes; nothing of sound.
"""

from collections.abc import Sequence

import numpy as np

from engine.latch import score_of
from models.data.ontology import LABELS
from models.hearing import Heard

CANDIDATES = np.arange(0.0, 5.01, 0.1)  # membranes: scores 0.5 to 0.993
HYSTERESIS = 1.5  # log-odds from on to off
NEGATIVE_WEIGHT = 6.0


def thresholds(instruments: Sequence[Heard], negatives: Sequence[Heard]) -> tuple[list[float], list[float]]:
    """Scores at which each label turns on and off, rounded to 1e-4."""
    groups = {
        label: np.array([heard.evidence.max(axis=0) for heard in instruments if heard.clip.label == label])
        for label in LABELS
    }
    false_peaks = np.array([heard.evidence.max(axis=0) for heard in negatives])
    on, off = [], []
    for index, label in enumerate(LABELS):
        best, best_f1 = float(CANDIDATES[-1]), -1.0
        for v in CANDIDATES:
            rates = {name: float((peaks[:, index] > v).mean()) for name, peaks in groups.items() if len(peaks)}
            wrong = float((false_peaks[:, index] > v).mean()) if len(false_peaks) else 0.0
            f1 = 2.0 * rates.get(label, 0.0) / (1.0 + sum(rates.values()) + NEGATIVE_WEIGHT * wrong)
            if f1 > best_f1 + 1e-9:
                best, best_f1 = float(v), f1
        on.append(round(score_of(best), 4))
        off.append(round(score_of(best - HYSTERESIS), 4))
    return on, off
