"""Fixed-capacity sample history. Knows sample counts, nothing of time, channels or spectra.

The ring holds each sample once: with the rest of a stream's record it is what thousands of streams compete for in a
core's cache. A frame is copied out of it, in order, into work space that all streams share.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined

usize = nb.uintp  # an unsigned index needs no test for "counted from the end"


@inlined
def push(ring: NDArray[np.float32], written: int, samples: NDArray[np.float32], first: int, count: int) -> None:
    """Append `samples[first : first + count]`.

    ring: (capacity,) float32, zeros at birth. written: samples pushed before. count: at most capacity.
    """
    capacity = usize(ring.shape[0])
    at = usize(written) % capacity
    head = min(usize(count), capacity - at)  # up to the wrap-around
    for i in range(head):
        ring[at + i] = samples[usize(first) + i]
    for i in range(usize(count) - head):
        ring[i] = samples[usize(first) + head + i]


@inlined
def newest(ring: NDArray[np.float32], written: int, frame: NDArray[np.float32]) -> None:
    """frame = the newest `len(frame)` samples, at most capacity, the oldest first; zeros lead before as many came."""
    capacity, count = usize(ring.shape[0]), usize(frame.shape[0])
    at = usize(written - frame.shape[0]) % capacity  # a capacity that is a power of two divides 2 ** 64
    head = min(count, capacity - at)
    for i in range(head):
        frame[i] = ring[at + i]
    for i in range(count - head):
        frame[head + i] = ring[i]
