"""The streams that are heard together: the engine's pool, and beside it what the service counts of each.

Knows numbers for streams; nothing of sessions. For one thread at a time, as the pool.
"""

import numpy as np

from engine.latch import LatchSettings
from engine.pool import Pool
from engine.weights import Model
from server.level import METER


class Choir(Pool):
    def __init__(self, model: Model, places: int) -> None:
        """places: streams that can be heard together; more are heard alone."""
        super().__init__(model, places)
        self.meters = np.zeros(places, METER)
        self.busy_s = np.zeros(places)  # spent on each one's usual chunks (`unison.py`), until somebody takes it

    def open(self, settings: LatchSettings | None = None) -> int:
        stream = super().open(settings)
        self.busy_s[stream] = 0.0
        return stream

    def take_busy_s(self, stream: int) -> float:
        busy_s = float(self.busy_s[stream])
        self.busy_s[stream] = 0.0
        return busy_s
