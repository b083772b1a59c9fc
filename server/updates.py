"""When an open event's peak is worth telling again: on a grid of frames, so that it is the same in any chunking.

Knows evidence frame by frame, as in the engine's trace, and which events are open; nothing of ids or clocks.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.latch import score_of

GROWTH = 0.01  # of the score; smaller steps are not told


@dataclass
class _Open:
    first: int  # frame of the onset's decision
    told: float  # score
    peak: float = -math.inf  # evidence, of the frames looked at


@dataclass(frozen=True, slots=True)
class Update:
    label: str
    frame: int
    score: float  # at the frame
    peak: float  # score, since the onset


class Updates:
    def __init__(self, labels: tuple[str, ...], updates_hz: float, hop_s: float) -> None:
        self._columns = {label: column for column, label in enumerate(labels)}
        self._every = max(1, math.ceil(1 / hop_s / updates_hz - 1e-9))  # frames
        self._open: dict[str, _Open] = {}

    def opened(self, label: str, frame: int, peak: float) -> None:
        self._open[label] = _Open(frame, peak)

    def closed(self, label: str) -> None:
        self._open.pop(label, None)

    def saved(self) -> dict[str, tuple[int, float, float]]:
        return {label: (event.first, event.told, event.peak) for label, event in self._open.items()}

    def restore(self, saved: Mapping[str, tuple[int, float, float]]) -> None:
        self._open = {label: _Open(*fields) for label, fields in saved.items()}

    def due(self, first: int, end: int) -> Iterator[int]:
        """The frames of first..end (end excluded) after which `look` may have something to tell."""
        return iter(range((first // self._every + 1) * self._every - 1, end, self._every))

    def look(self, first: int, evidence: NDArray[np.float32]) -> None:
        """evidence: (frames, labels), of the frames from `first` on; each frame once, in order."""
        for label, event in self._open.items():
            column = evidence[max(0, event.first - first) :, self._columns[label]]
            event.peak = max(event.peak, float(column.max(initial=-math.inf)))

    def tell(self, frame: int, evidence: NDArray[np.float32]) -> list[Update]:
        """The events that have grown by `frame`, whose evidence is (labels,)."""
        grown = []
        for label, event in self._open.items():
            peak = score_of(event.peak)
            if peak >= event.told + GROWTH:
                event.told = peak
                grown.append(Update(label, frame, score_of(float(evidence[self._columns[label]])), peak))
        return grown
