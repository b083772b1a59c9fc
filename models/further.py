"""Figures for the card that `spiccato evaluate` knows and the card's own measure does not: intervals, average
precision, events against their times, operations. Knows clips and the judge; nothing of thresholds or training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.weights import Model
from models.data.corpus import Clip
from models.evaluation.figures import figures
from models.evaluation.judge import Judge
from models.evaluation.listing import Listed
from models.evaluation.target import Target

SEED = 1
KEYS = (
    "balanced_accuracy",
    "balanced_accuracy_interval95",
    "balanced_accuracy_300_ms_pieces",
    "family_accuracy",
    "macro_average_precision",
    "event_f1",
)


def further(model: Model, clips: Sequence[Clip]) -> dict[str, Any]:
    """As JSON, shares 0 to 1. Of the clips that have one of the model's labels."""
    judge = Judge(model, SEED, sweeps=False)
    judged = []
    for index, clip in enumerate(clips):
        if clip.label not in model.labels:
            continue
        target = Target(clip.label, frozenset({clip.label}))
        listed = Listed(Path(clip.name), clip.name, clip.label, target, clip.group, clip.library)
        one = judge.instrument(listed, clip.samples.astype(np.float32) / np.float32(32768.0), index)
        if one is not None:
            judged.append(one)
    if not judged:
        return {"clips": 0}
    found = figures(model, judged, SEED)
    precision = {label: row["average_precision"] for label, row in found["labels"].items()}
    return {
        "clips": len(judged),
        **{key: found[key] for key in KEYS},
        "average_precision": precision,
        "operations_per_s": judge.operations.figures(),
    }
