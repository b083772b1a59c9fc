"""Fixed-capacity sample history. Knows sample counts, nothing of time, channels or spectra.

Every sample is written twice, `capacity` apart, so that the newest `n <= capacity` samples are always one
contiguous slice: no wrap-around in the reader and no copy of the frame.
"""

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel


@kernel
def push(ring: NDArray[np.float32], written: int, samples: NDArray[np.float32], first: int, count: int) -> None:
    """Append `samples[first : first + count]`.

    ring: (2 * capacity,) float32, zeros at birth. written: samples pushed before. count: at most capacity.
    """
    capacity = ring.shape[0] // 2
    at = written % capacity
    for i in range(count):
        value = samples[first + i]
        ring[at] = value
        ring[at + capacity] = value
        at += 1
        if at == capacity:
            at = 0


@kernel
def newest(ring: NDArray[np.float32], written: int, count: int) -> int:
    """Index in `ring` at which the newest `count` samples start. Before `count` samples came, zeros lead."""
    capacity = ring.shape[0] // 2
    return (written - count) % capacity
