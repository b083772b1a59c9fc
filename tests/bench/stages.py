"""Where a frame's time goes: every stage by itself, many times in a compiled loop, on frames of music.

A stage that reads only what it has read before could be moved out of such a loop by the compiler, so each goes round
over the records of a few different frames. The sum is less than the whole: alone, a stage keeps the caches to itself.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.bands import band_energies, follow_level, mean_energy, normalise
from engine.cochlea import change, fire, inhibit
from engine.ear import checked, fill_hop
from engine.fft import power_spectrum
from engine.jit import Record, kernel
from engine.ring import newest
from engine.weights import Model
from tests.bench import inside
from tests.bench.timing import Run, Times, compete

FRAMES = 4  # a power of two; their records together fit the first cache
TURNS = 4_000


@kernel
def ring_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        s = state[i % FRAMES]
        s.pending = 0
        fill_hop(e, s, samples, (i % FRAMES) * e.hop)


@kernel
def fft_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        s, w = state[i % FRAMES], scratch[i % FRAMES]
        newest(s.ring, s.written, w.frame)
        power_spectrum(e, w)


@kernel
def bands_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        w = scratch[i % FRAMES]
        band_energies(w.power, e.band_first, e.band_count, e.band_offset, e.band_weight, w.energy)


@kernel
def gain_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        s, w = state[i % FRAMES], scratch[i % FRAMES]
        s.envelope = follow_level(s.envelope, mean_energy(w.energy), e.release)
        normalise(w.energy, s.envelope, e.floor, w.feature)


@kernel
def inhibit_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        w = scratch[i % FRAMES]
        inhibit(w.feature, e.flank, w.padded, w.drive)


@kernel
def change_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    for i in range(turns):
        s, w = state[i % FRAMES], scratch[i % FRAMES]
        change(w.feature, s.before, w.rise)


@kernel
def fire_stage(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32], turns: int) -> None:
    e = ear[0]
    for i in range(turns):
        s, w = state[i % FRAMES], scratch[i % FRAMES]
        fire(w.drive, e.gains, w.rise, e.change_gain, e.beta, s.cochlea_v, s.cochlea_spikes, 0)


FRONT_END = {
    "ring": ring_stage,
    "window, FFT, power": fft_stage,
    "bands": bands_stage,
    "shared gain, fourth root": gain_stage,
    "inhibition": inhibit_stage,
    "change": change_stage,
    "cochlea": fire_stage,
}


def front_end_runs(model: Model, samples: NDArray[np.float32]) -> dict[str, Run]:
    """A run for each stage from samples to cochlea spikes."""
    r = inside.records(model)
    hop = model.front_end.hop_samples
    states, scratches = np.zeros(FRAMES, r.state.dtype), np.zeros(FRAMES, r.scratch.dtype)
    inside.hear_all(r.ear, r.state, r.scratch, samples[: 100 * hop])
    for i in range(FRAMES):
        inside.hear_all(r.ear, r.state, r.scratch, samples[(100 + i) * hop : (101 + i) * hop])
        states[i], scratches[i] = r.state[0], r.scratch[0]

    def run(stage) -> Run:  # type: ignore[no-untyped-def]
        return Run(lambda: stage(r.ear, states, scratches, samples, TURNS), TURNS)

    return {name: run(stage) for name, stage in FRONT_END.items()}


def first_layers(model: Model, count: int) -> Model:
    """The network without the layers after them."""
    outputs = model.layers[count - 1].weight.shape[1]
    return replace(
        model, layers=model.layers[:count], labels=tuple(map(str, range(outputs))), families=("none",) * outputs,
        on=(0.99,) * outputs, off=(0.5,) * outputs,
    )  # fmt: skip


def network_runs(model: Model, spikes: NDArray[np.uint8]) -> dict[str, Run]:
    """A run for the first layer, for the first two, and so on, each named by its last."""
    rows = inside.spike_rows(spikes)
    runs = {}
    for i, layer in enumerate(model.layers):
        inputs, outputs = layer.weight.shape
        r = inside.records(first_layers(model, i + 1))
        runs[f"layer {i + 1}, {inputs} to {outputs}"] = Run(
            lambda r=r: inside.step_all(r.net, r.state, r.scratch, rows),  # type: ignore[misc]
            len(rows),
        )
    return runs


def decision_runs(model: Model, spikes: NDArray[np.uint8]) -> dict[str, Run]:
    """Runs for the latches and the trace."""
    r, last = inside.records(model), inside.network_answers(model, spikes)[-inside.AT_HAND :]
    hop = model.front_end.hop_samples
    return {
        "latches": Run(lambda: inside.latch_all(r.state, r.events, last, hop, TURNS), TURNS),
        "trace": Run(lambda: inside.trace_all(r.state, r.scratch, last, r.trace, TURNS), TURNS),
    }


def measure(model: Model, samples: NDArray[np.float32], spikes: NDArray[np.uint8], rounds: int) -> dict[str, Times]:
    """Stage to the time of one frame. A layer's is what it adds to those before it."""
    front, network = front_end_runs(model, samples), network_runs(model, spikes)
    check = {"check of the samples": Run(lambda: checked(samples), len(spikes))}
    times = compete({**check, **front, **network, **decision_runs(model, spikes)}, rounds)
    names = list(network)
    added = {name: times[name] - times[before] for before, name in pairwise(names)}
    return {**times, **added}
