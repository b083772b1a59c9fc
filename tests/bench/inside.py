"""The engine's parts by themselves: each a kernel that runs one part over many frames in one call.

The one place that reaches into the engine's records; the parts are called as `engine.pipeline.advance` calls them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ear import fill_hop, hear_frame
from engine.jit import Record, kernel
from engine.latch import latch_step
from engine.network import network_step
from engine.pipeline import TRACE_FRAMES, Pipeline
from engine.stream import Memory, parameters
from engine.weights import Model

AT_HAND = 16  # frames whose answers fit the first cache: an engine has just made the one that a latch reads


@dataclass(frozen=True, eq=False)
class Records:
    """What `advance` is given: parameters and the state of one stream, (1,) records."""

    ear: NDArray[np.void]
    net: NDArray[np.void]
    state: NDArray[np.void]
    scratch: NDArray[np.void]
    events: NDArray[np.void]
    trace: NDArray[np.void]


def records(model: Model) -> Records:
    """Those of a new stream, with the model's own thresholds."""
    memory = Memory(model, 1, TRACE_FRAMES)
    Pipeline(model, memory=memory)
    ear, net = parameters(model)
    return Records(ear, net, memory.states, memory.scratch, memory.events, memory.trace)


def spike_rows(spikes: NDArray[np.uint8]) -> NDArray[np.void]:
    """Spikes (frames, fibres) as records, so that a kernel sees a row of known length, as it does in a stream."""
    rows = np.zeros(len(spikes), np.dtype([("spikes", np.uint8, (spikes.shape[1],))]))
    rows["spikes"] = spikes
    return rows


@kernel
def hear_all(ear: Record, state: Record, scratch: Record, samples: NDArray[np.float32]) -> None:
    """The front end alone: ring to cochlea spikes."""
    e, s, w = ear[0], state[0], scratch[0]
    at = 0
    while at < samples.shape[0]:
        at = fill_hop(e, s, samples, at)
        if s.pending == e.hop:
            hear_frame(e, s, w)


@kernel
def step_all(net: Record, state: Record, scratch: Record, rows: Record) -> None:
    """The network alone, over rows of `spike_rows`."""
    n, s, w = net[0], state[0], scratch[0]
    for frame in range(rows.shape[0]):
        network_step(n, rows[frame].spikes, s, w)


@kernel
def step_and_keep(net: Record, state: Record, scratch: Record, rows: Record, kept: Record) -> None:
    """As `step_all`; kept: (frames,) with the fields `v` and `spikes`, what every neuron did in each frame."""
    n, s, w = net[0], state[0], scratch[0]
    for frame in range(rows.shape[0]):
        network_step(n, rows[frame].spikes, s, w)
        kept[frame].v[:] = s.v
        kept[frame].spikes[:] = s.spikes


def network_answers(model: Model, spikes: NDArray[np.uint8]) -> NDArray[np.void]:
    """Membranes `v` and `spikes` of every neuron in every frame, (frames,) records: what rivals must equal."""
    r = records(model)
    kept = np.zeros(
        len(spikes), np.dtype([("v", np.float32, (model.neurons,)), ("spikes", np.uint8, (model.neurons,))])
    )
    step_and_keep(r.net, r.state, r.scratch, spike_rows(spikes), kept)
    return kept


@kernel
def latch_all(state: Record, events: Record, kept: Record, hop: int, frames: int) -> None:
    """The latches alone, round and round over membranes kept by `step_and_keep`."""
    s = state[0]
    labels = s.is_on.shape[0]
    first = s.v.shape[0] - labels
    count = 0
    for frame in range(frames):
        if count + labels > events.shape[0]:
            count = 0
        count = latch_step(kept[frame % kept.shape[0]].v, first, s.rules, s, frame, s.attack, hop, events, count)


@kernel
def trace_all(state: Record, scratch: Record, kept: Record, trace: Record, frames: int) -> None:
    """What `advance` keeps of a frame for whoever looks on."""
    s, w = state[0], scratch[0]
    first = s.v.shape[0] - s.is_on.shape[0]
    for frame in range(frames):
        now = kept[frame % kept.shape[0]]
        line = trace[frame % trace.shape[0]]
        line.level = w.level
        line.energy[:] = w.energy
        line.cochlea[:] = s.cochlea_spikes
        line.spikes[:] = now.spikes
        line.evidence[:] = now.v[first:]
