"""Where the sound of a recording is, and long recordings cut into segments. Knows samples and seconds, no files.

Rare labels are cut with a shorter hop, so that their segments overlap more and are more numerous.
"""

from collections.abc import Mapping
from statistics import median

import numpy as np
from numpy.typing import NDArray

FRAME = 160  # samples, 10 ms
SILENT_DB = -60.0  # below the loudest frame: silence before and after a note
MARGIN_FRAMES = 2  # kept on both sides, so that an attack is not cut

SEGMENT_S = 3.0
LONG_S = 8.0  # a recording longer than this is cut
SHORTEST_HOP = 0.25  # of a segment: no sample is in more than four


class Audible:
    """Finds the audible part of a sound that comes in blocks of any size."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)  # samples of a frame that is not full yet
        self._power: list[NDArray[np.float64]] = []  # of each frame
        self._length = 0

    def feed(self, samples: NDArray[np.int16]) -> None:
        self._length += len(samples)
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // FRAME * FRAME
        self._power.append(np.mean(np.square(sound[:whole].reshape(-1, FRAME).astype(np.float64)), axis=1))
        self._rest = sound[whole:]

    def bounds(self, silent_db: float = SILENT_DB) -> tuple[int, int]:
        """[start, stop) in samples, from the first to the last frame above `silent_db`; silence gives (0, 0)."""
        last = [np.mean(np.square(self._rest.astype(np.float64)), keepdims=True)] if len(self._rest) else []
        power = np.concatenate([*self._power, *last]) if self._power or last else np.zeros(0)
        if not power.any():
            return 0, 0
        heard = np.flatnonzero(power > power.max() * 10.0 ** (silent_db / 10.0))
        start, stop = int(heard[0]) - MARGIN_FRAMES, int(heard[-1]) + 1 + MARGIN_FRAMES
        return max(0, start) * FRAME, min(self._length, stop * FRAME)


def trimmed(samples: NDArray[np.int16], silent_db: float = SILENT_DB) -> NDArray[np.int16]:
    """Without the silence before and after."""
    audible = Audible()
    audible.feed(samples)
    start, stop = audible.bounds(silent_db)
    return samples[start:stop]


def segments(samples: NDArray[np.int16], size: int, hop: int) -> list[NDArray[np.int16]]:
    """Pieces of `size` samples, `hop` apart, that hold every sample; the last one is padded with zeros.

    Whole pieces are views. Raises ValueError if the hop would leave samples out.
    """
    if not 0 < hop <= size:
        raise ValueError(f"hop={hop} must be between 1 and the segment's size={size}")
    pieces = []
    for start in range(0, max(1, len(samples) - size + hop), hop):
        piece = samples[start : start + size]
        pieces.append(piece if len(piece) == size else np.pad(piece, (0, size - len(piece))))
    return pieces


def hops_s(seconds: Mapping[str, float]) -> dict[str, float]:
    """The hop for each label, from its total seconds: SEGMENT_S for the median label and whatever is more frequent,
    in proportion less for a rarer one, down to SHORTEST_HOP of it."""
    usual = median(seconds.values()) if seconds else 0.0
    return {
        label: SEGMENT_S * min(1.0, max(SHORTEST_HOP, total / usual if usual else 1.0))
        for label, total in seconds.items()
    }
