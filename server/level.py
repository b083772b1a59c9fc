"""How loud the sound is: level and peak in dBFS, clipped samples. Knows samples, not when to tell."""

import math

import numpy as np
from numpy.typing import NDArray

from server.ingest import CLIP


class LevelMeter:
    """Collects until `read`, which starts anew. Digital silence is None, never 0 dB."""

    def __init__(self) -> None:
        self.samples = 0  # of each channel, since the last read
        self._values = 0  # of all channels
        self._power = 0.0  # sum of squares
        self._peak = 0.0
        self._clipped = 0

    def feed(self, samples: NDArray[np.float32]) -> None:
        """samples: (n, channels) float32, full scale +-1."""
        flat = samples.ravel()
        peak = float(np.abs(flat).max())
        power = float(np.add.reduce(flat * flat, dtype=np.float64))
        self.add(len(samples), flat.size, power, peak, clipped(flat) if peak >= CLIP else 0)

    def add(self, samples: int, values: int, power: float, peak: float, clipped: int) -> None:
        """What somebody else measured: samples of each channel, values of all, the sum of squares, the greatest."""
        self.samples += samples
        self._values += values
        self._power += power
        self._peak = max(self._peak, peak)
        self._clipped += clipped

    def read(self) -> tuple[float | None, float | None, int]:
        """RMS in dBFS, peak in dBFS, clipped samples since the last read."""
        mean = self._power / self._values if self._values else 0.0
        answer = _decibels(math.sqrt(mean)), _decibels(self._peak), self._clipped
        self.__init__()  # type: ignore[misc]
        return answer


def clipped(samples: NDArray[np.float32]) -> int:
    return int(np.count_nonzero(np.abs(samples) >= CLIP))


def measured(samples: NDArray[np.float32], ends: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """The sum of squares and the greatest amplitude of each piece of `samples`, (n,); piece i ends at ends[i].

    No piece is empty.
    """
    begins = np.concatenate([[0], ends[:-1]])
    power = np.add.reduceat(samples * samples, begins, dtype=np.float64)
    peak = np.maximum.reduceat(np.abs(samples), begins)
    return power.tolist(), peak.tolist()


def _decibels(amplitude: float) -> float | None:
    return round(20.0 * math.log10(amplitude), 2) if amplitude > 0.0 else None
