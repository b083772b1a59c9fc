"""Many streams in one process: what a frame of one of them costs when all of them hear a hop in each call."""

import numpy as np

from engine.pool import Pool
from engine.weights import Model
from tests.bench.subjects import sound
from tests.bench.timing import Run, Times, compete

MOST_CALLS = 200  # hops of music before each stream begins it again, with a click that no music has
MOST_FRAMES = 250_000  # of all streams in a run: their sound is 160 MB


def pool_run(model: Model, streams: int) -> Run:
    """`streams` streams of music, each at another place of it; one hop for each of them a call, as live audio comes."""
    hop = model.front_end.hop_samples
    calls = min(MOST_CALLS, MOST_FRAMES // streams)
    music = sound(10.0)
    starts = np.random.default_rng(3).integers(0, len(music) - calls * hop, streams)
    blocks = np.stack([music[start : start + calls * hop].reshape(calls, hop) for start in starts], axis=1).copy()
    pool = Pool(model, streams)
    numbers = np.array([pool.open() for _ in range(streams)])

    def run() -> None:
        for block in blocks:
            pool.feed_block(numbers, block)

    return Run(run, calls * streams)


def measure(model: Model, streams: tuple[int, ...], rounds: int) -> dict[int, Times]:
    """Number of streams to the time of one frame of one stream."""
    times = compete({str(n): pool_run(model, n) for n in streams}, rounds)
    return {n: times[str(n)] for n in streams}
