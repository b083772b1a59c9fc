"""Compile every kernel that a model's streams need, before the first of them. Knows no sound but silence."""

import numpy as np

from engine.pipeline import Pipeline
from engine.pool import Pool
from engine.weights import Model


def warm(model: Model) -> None:
    """Run one stream over a few hops of silence: from a warm cache in well under a second, cold in a few."""
    silence = np.zeros(3 * model.front_end.hop_samples, np.float32)
    pipeline = Pipeline(model)
    pipeline.feed(silence)
    pipeline.flush()
    pool = Pool(model, 1)
    pool.feed({pool.open(): silence})
