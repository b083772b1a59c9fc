"""Fixed-capacity sample history. Knows sample counts, nothing of time, channels or spectra.

Every sample is written twice, `capacity` apart, so that the newest `n <= capacity` samples are always one
contiguous slice: no wrap-around in the reader and no copy of the frame.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined

usize = nb.uintp  # an unsigned index needs no test for "counted from the end"


@inlined
def push(ring: NDArray[np.float32], written: int, samples: NDArray[np.float32], first: int, count: int) -> None:
    """Append `samples[first : first + count]`.

    ring: (2 * capacity,) float32, zeros at birth. written: samples pushed before. count: at most capacity.
    """
    capacity = usize(ring.shape[0] // 2)
    at = usize(written) % capacity
    head = min(usize(count), capacity - at)  # up to the wrap-around
    _copy(ring, at, samples, usize(first), head)
    _copy(ring, at + capacity, samples, usize(first), head)
    _copy(ring, usize(0), samples, usize(first) + head, usize(count) - head)
    _copy(ring, capacity, samples, usize(first) + head, usize(count) - head)


@inlined
def _copy(ring: NDArray[np.float32], at: int, samples: NDArray[np.float32], first: int, count: int) -> None:
    for i in range(count):
        ring[at + i] = samples[first + i]


@inlined
def newest(ring: NDArray[np.float32], written: int, count: int) -> int:
    """Index in `ring` at which the newest `count` samples start. Before `count` samples came, zeros lead."""
    capacity = ring.shape[0] // 2
    return (written - count) % capacity
