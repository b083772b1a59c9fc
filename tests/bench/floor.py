"""How fast a frame could be at best: every byte that it needs moved once, at the speed of a copy within the caches.

Knows sizes of records; arithmetic is not counted, so no engine can reach it.
"""

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.weights import Model
from tests.bench import inside
from tests.bench.timing import Run, Times, compete

TURNS = 1_000


@kernel
def copy_around(block: NDArray[np.float32], turns: int) -> None:
    """Copy each row of `block` onto the next, round and round."""
    for i in range(turns):
        here, there = block[i % block.shape[0]], block[(i + 1) % block.shape[0]]
        for j in range(here.shape[0]):
            there[j] = here[j]


def frame_bytes(model: Model, spikes: NDArray[np.uint8]) -> int:
    """Bytes that a frame touches: tables, a stream's record, work space, the weight rows of the neurons that fired."""
    r = inside.records(model)
    fired = inside.network_answers(model, spikes)["spikes"]
    inputs = spikes.sum() / len(spikes)
    first = total = 0
    for i, layer in enumerate(model.layers):
        width = layer.weight.shape[1]
        rows = r.net.dtype[f"weight{i}"]
        total += rows.itemsize / rows.shape[0] * inputs + 4 * width * 3  # a row a spike; bias, decay and threshold
        inputs = fired[:, first : first + width].sum() / len(fired)
        first += width
    return round(total + r.ear.itemsize + r.state.itemsize + r.scratch.itemsize + 4 * model.front_end.hop_samples)


def measure(model: Model, spikes: NDArray[np.uint8], rounds: int) -> tuple[int, Times]:
    """The bytes of a frame, and the time to copy half as many: a copy moves each byte in and out."""
    count = frame_bytes(model, spikes)
    block = np.ones((2, count // 8), np.float32)
    return count, compete({"copy": Run(lambda: copy_around(block, TURNS), TURNS)}, rounds)["copy"]
