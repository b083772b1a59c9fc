"""Echoic memory: the last rows of a spectrogram in a circle, and a view of them that is fine for what was just heard
and coarse for what was before. Knows rows; nothing of sound.

Echoic memory is the few seconds for which a sound stays in the ear after it has gone (Neisser 1967, "Cognitive
psychology"). The view looks back by steps that grow by a factor, as the dilations of a WaveNet do (van den Oord et al.
2016): with factor 2 and 8 steps it holds the rows 1, 2, 4 ... 128 back, the newest being one back.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel

usize = nb.uintp

MAX_ROWS = 65_536  # that are remembered: eleven minutes of 10 ms


def steps_back(steps: int, factor: float) -> NDArray[np.int64]:
    """(steps,) rows back, the farthest first: factor ** (steps - 1) ... factor ** 0, rounded; 1 is the newest row.

    Raises ValueError if there are fewer than 2 steps, if two fall on one row, or if the farthest is over MAX_ROWS.
    """
    if not 2 <= steps <= 64:
        raise ValueError(f"steps={steps} is outside 2..64")
    if not 1.0 < factor <= 16.0:
        raise ValueError(f"factor={factor} is outside 1..16 (1 excluded)")
    farthest = factor ** (steps - 1)
    if farthest > MAX_ROWS:
        raise ValueError(f"factor={factor}, steps={steps}: looks {farthest:.0f} rows back, at most {MAX_ROWS} are kept")
    back = np.rint(factor ** np.arange(steps - 1, -1, -1.0)).astype(np.int64)
    if len(set(back.tolist())) != steps:
        raise ValueError(f"factor={factor} is so small that two of {steps} steps back are the same row")
    return back


@kernel
def _remember(
    rows: NDArray[np.float32],
    back: NDArray[np.int64],
    memory: NDArray[np.float32],
    written: int,
    views: NDArray[np.float32],
) -> None:
    """rows: (n, bands). back: (steps,). memory: (capacity, bands), updated. written: rows before. views: (n, steps,
    bands), written; all float32."""
    capacity = usize(memory.shape[0])
    for k in range(rows.shape[0]):
        now = usize(written + k)
        memory[now % capacity, :] = rows[k, :]
        for i in range(back.shape[0]):
            # the newest row is one back; a row before the first is one that nothing was written to yet
            views[k, i, :] = memory[(now + capacity + usize(1) - usize(back[i])) % capacity, :]


class EchoicMemory:
    """`feed(rows) -> views` for one stream; in any chunking the same views, bit for bit."""

    def __init__(self, bands: int, steps: int = 8, factor: float = 2.0) -> None:
        if bands < 1:
            raise ValueError(f"bands={bands} must be at least 1")
        self.back = steps_back(steps, factor)
        self.memory = np.zeros((int(self.back[0]), bands), np.float32)  # a circle of rows, zeros before the first
        self.written = 0  # rows since the stream's start

    def reset(self) -> None:
        """Forget every row: equal to a new EchoicMemory."""
        self.memory[:] = 0.0
        self.written = 0

    def feed(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """rows: (n, bands) float32. Returns for each row what is seen after it, (n, steps, bands), the farthest first.

        Raises ValueError if the rows have another number of bands or a value that is not finite.
        """
        rows = np.ascontiguousarray(rows, np.float32)
        bands = self.memory.shape[1]
        if rows.ndim != 2 or rows.shape[1] != bands:
            raise ValueError(f"rows have shape {rows.shape}, expected (n, {bands})")
        if not np.isfinite(rows).all():
            raise ValueError("rows have a value that is not finite")
        views = np.empty((len(rows), len(self.back), bands), np.float32)
        _remember(rows, self.back, self.memory, self.written, views)
        self.written += len(rows)
        return views
