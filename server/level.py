"""How loud the sound is: level and peak in dBFS, clipped samples. Knows samples, not who is told."""

import math

import numpy as np
from numpy.typing import NDArray

from server.ingest import CLIP

METER = np.dtype(
    [
        ("due", np.float64),  # samples of each channel after which it is told; inf: never
        ("samples", np.int64),  # of each channel, since it was told
        ("values", np.int64),  # of all channels
        ("power", np.float64),  # sum of squares
        ("peak", np.float64),
        ("clipped", np.int64),
    ]
)
Reading = tuple[float | None, float | None, int]  # RMS and peak in dBFS, clipped samples


class LevelMeter:
    """Collects until `read`, which starts anew. Digital silence is None, never 0 dB."""

    def __init__(self, due: float, row: NDArray[np.void] | None = None) -> None:
        """row: (1,) METER, where it is kept and somebody else (`unison.py`) may go on with it."""
        self._row = np.zeros(1, METER) if row is None else row
        self._row[:] = (due, 0, 0, 0.0, 0.0, 0)

    def leave(self) -> None:
        """Go on in a row of its own."""
        self._row = self._row.copy()

    def feed(self, samples: NDArray[np.float32]) -> None:
        """samples: (n, channels) float32, full scale +-1."""
        flat, row = samples.ravel(), self._row[0]
        sizes = np.abs(flat)
        peak = float(sizes.max())
        row["samples"] += len(samples)
        row["values"] += flat.size
        row["power"] += float(np.add.reduce(flat * flat, dtype=np.float64))
        row["peak"] = max(row["peak"], peak)
        row["clipped"] += int(np.count_nonzero(sizes >= CLIP)) if peak >= CLIP else 0

    @property
    def due(self) -> bool:
        return bool(self._row["samples"][0] >= self._row["due"][0])

    def read(self) -> Reading:
        """Since the last read."""
        due, _, *measured = self._row[0].tolist()
        self._row[:] = (due, 0, 0, 0.0, 0.0, 0)
        return reading(*measured)


def reading(values: int, power: float, peak: float, clipped: int) -> Reading:
    return _decibels(math.sqrt(power / values) if values else 0.0), _decibels(peak), clipped


def _decibels(amplitude: float) -> float | None:
    return round(20.0 * math.log10(amplitude), 2) if amplitude > 0.0 else None
