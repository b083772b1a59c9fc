"""A whole frame, samples to latch, and its parts, each measured by itself. Knows streams of one model, no rivals."""

import numpy as np
from numpy.typing import NDArray

from engine.pipeline import Pipeline
from engine.stream import Memory
from engine.weights import Model
from tests.bench import inside
from tests.bench.timing import Run, Times, compete

CALLS = 200


def measure(model: Model, samples: NDArray[np.float32], spikes: NDArray[np.uint8], rounds: int) -> dict[str, Times]:
    """Time of a frame: `whole` in a long block, `untraced` without the trace; `front end`, `network`, `latches` and
    `trace` alone; `live`, one call from Python for each hop. spikes: the cochlea's, of these samples.
    """
    stream, live, r = Pipeline(model), Pipeline(model), inside.records(model)
    untraced = Pipeline(model, memory=Memory(model, 1, trace_frames=0))
    rows, kept = inside.spike_rows(spikes), inside.network_answers(model, spikes)[-inside.AT_HAND :]
    hop = model.front_end.hop_samples
    hops = [samples[at : at + hop] for at in range(0, len(samples) - hop + 1, hop)][:CALLS]
    frames = len(spikes)

    def one_hop_at_a_time() -> None:
        for chunk in hops:
            live.feed(chunk)

    runs = {
        "whole": Run(lambda: stream.feed(samples), frames),
        "untraced": Run(lambda: untraced.feed(samples), frames),
        "front end": Run(lambda: inside.hear_all(r.ear, r.state, r.scratch, samples), frames),
        "network": Run(lambda: inside.step_all(r.net, r.state, r.scratch, rows), frames),
        "latches": Run(lambda: inside.latch_all(r.state, r.events, kept, hop, frames), frames),
        "trace": Run(lambda: inside.trace_all(r.state, r.scratch, kept, r.trace, frames), frames),
        "live": Run(one_hop_at_a_time, len(hops)),
    }
    return compete(runs, rounds)
