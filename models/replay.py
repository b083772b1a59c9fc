"""Cochlea spikes through the engine's own network and latch: what a model makes of scenes that are kept as spikes.

The same kernels that serve, so the same bits. Knows spikes, membranes and thresholds; nothing of sound.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import Record, kernel
from engine.latch import RAW_EVENT, LatchSettings, latch_step, settings_record, state_fields
from engine.network import network_record, network_step, scratch_fields
from engine.weights import Model
from models.others import unpacked


@kernel
def _through(
    net: Record,
    state: Record,
    scratch: Record,
    inputs: NDArray[np.uint8],
    spikes: NDArray[np.uint8],
    evidence: NDArray[np.float32],
) -> None:
    """inputs: (frames, fibres). spikes (frames, neurons or 0) and evidence (frames, labels) are written."""
    n, s, w = net[0], state[0], scratch[0]
    first = s.v.shape[0] - evidence.shape[1]
    for frame in range(inputs.shape[0]):
        network_step(n, inputs[frame], s, w)
        for i in range(spikes.shape[1]):
            spikes[frame, i] = s.spikes[i]
        for label in range(evidence.shape[1]):
            evidence[frame, label] = s.v[first + label]


@kernel
def _latched(
    settings: Record, state: Record, events: Record, evidence: NDArray[np.float32], counts: NDArray[np.int64],
    first: NDArray[np.int64],
) -> None:  # fmt: skip
    """evidence: (scenes, frames, 1). state: a record for each scene. counts, first: (scenes,), written."""
    rules = settings[0]
    for scene in range(evidence.shape[0]):
        s = state[scene]
        for frame in range(evidence.shape[1]):
            found = latch_step(evidence[scene, frame], 0, rules, s, frame, -(2**40), 1, events, 0)
            if found and events[0].phase == 0:
                counts[scene] += 1
                if first[scene] < 0:
                    first[scene] = frame


class Replay:
    """A model's network, without its ear."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._net = network_record(model.layers)
        # not in the engine's order: numba takes a record that begins like another for its subtype, and warns
        self._scratch = np.zeros(1, np.dtype(scratch_fields(model.layers)[::-1], align=True))
        self._fields: list[tuple[Any, ...]] = [
            ("spikes", np.uint8, (model.neurons,)),
            ("v", np.float32, (model.neurons,)),
        ]

    def scene(self, spikes: NDArray[np.uint8], keep: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(frames, bytes) packed spikes, from rest. Returns every neuron's spikes, (frames, neurons), or (frames, 0)
        if they are not to be kept, and the labels' membranes (frames, labels)."""
        inputs = unpacked(spikes, self.model.front_end.fibres)
        out = np.zeros((len(inputs), self.model.neurons if keep else 0), np.uint8)
        evidence = np.zeros((len(inputs), len(self.model.labels)), np.float32)
        state = np.zeros(1, np.dtype(self._fields, align=True))
        _through(self._net, state, self._scratch, inputs, out, evidence)
        return out, evidence


def onsets(
    evidence: NDArray[np.float32], on: float, off: float, hop_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What one label's latch does in each scene. evidence: (scenes, frames). on, off: scores.

    Returns the number of onsets and the frame in which the first was decided, or -1; both (scenes,).
    """
    settings = settings_record(LatchSettings(on=(on,), off=(off,), enabled=(True,)), hop_s)
    state = np.zeros(len(evidence), np.dtype(state_fields(1), align=True))
    events = np.zeros(2, RAW_EVENT)
    counts, first = np.zeros(len(evidence), np.int64), np.full(len(evidence), -1, np.int64)
    _latched(settings, state, events, np.ascontiguousarray(evidence[..., None], np.float32), counts, first)
    return counts, first
