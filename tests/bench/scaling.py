"""How the cost grows: streams, layers, widths, bands, frame sizes, hops and spike rates, each alone.

The rest stays as in the reference network. Every shape of a network or a front end is a kernel to compile once.
"""

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import parameters, scratch_fields, state_fields
from engine.weights import Model
from tests.bench import inside, pool
from tests.bench.subjects import REFERENCE, heard, network, random_spikes
from tests.bench.timing import Run, Times, compete

STREAMS = (1, 8, 64, 512, 1024, 4096)
HIDDEN_LAYERS = (1, 2, 3, 4)  # of 128 neurons
WIDTHS = (64, 128, 256, 512)  # of both hidden layers
BANDS = (40, 64, 96, 128)
FRAME_SAMPLES = (512, 1024, 2048)
HOPS_MS = (5, 10, 20)
SPIKE_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
RATE_FRAMES = 1_000

Curve = dict[float, Times]


def network_run(model: Model, spikes: NDArray[np.uint8]) -> Run:
    r, rows = inside.records(model), inside.spike_rows(spikes)
    return Run(lambda: inside.step_all(r.net, r.state, r.scratch, rows), len(rows))


def front_end_run(config: FrontEnd, samples: NDArray[np.float32]) -> Run:
    ear = parameters(config)
    state = np.zeros(1, np.dtype(state_fields(config), align=True))
    scratch = np.zeros(1, np.dtype(scratch_fields(config), align=True))
    return Run(lambda: inside.hear_all(ear, state, scratch, samples), len(samples) // config.hop_samples)


def measure(samples: NDArray[np.float32], rounds: int) -> dict[str, Curve]:
    """What grows to how much to the time of one frame: of a pool, of networks or front ends alone."""
    model = network(*REFERENCE)
    spikes = heard(model, samples)
    networks = {n: network(64, *[128] * n, 16) for n in HIDDEN_LAYERS}
    widths = {n: networks[2] if n == 128 else network(64, n, n, 16) for n in WIDTHS}
    return {
        "streams": {n: times for n, times in pool.measure(model, STREAMS, rounds).items()},
        "hidden layers of 128": curve({n: network_run(net, spikes) for n, net in networks.items()}, rounds),
        "width of two hidden layers": curve({n: network_run(net, spikes) for n, net in widths.items()}, rounds),
        "input spikes, %": curve(
            {100 * rate: network_run(model, random_spikes(RATE_FRAMES, 64, rate)) for rate in SPIKE_RATES}, rounds
        ),
        "bands": curve({n: front_end_run(FrontEnd(bands=n), samples) for n in BANDS}, rounds),
        "samples in a frame": curve(
            {n: front_end_run(FrontEnd(frame_samples=n), samples) for n in FRAME_SAMPLES}, rounds
        ),
        "hop, ms": curve({ms: front_end_run(FrontEnd(hop_samples=16 * ms), samples) for ms in HOPS_MS}, rounds),
    }


def curve(runs: dict[float, Run], rounds: int) -> Curve:
    times = compete({str(at): run for at, run in runs.items()}, rounds)
    return {at: times[str(at)] for at in runs}
