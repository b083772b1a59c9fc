"""Layers of LIF neurons, driven by events: a spike adds its weight row, silence costs nothing.

Knows weights and spikes; nothing of sound or labels. Weights and biases lie on a power-of-two grid for each layer,
so every sum is exact in float32 and its order does not matter: that is what makes the membranes equal to a matrix
product's, bit for bit.

A network is a record with the fields `weight0, bias0, beta0, threshold0, weight1 ...`. Its type tells every size, and
`network_step` is compiled for it: loops of known length over memory that is known not to overlap.
"""

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from engine.jit import OPTIONS, Record, kernel, named, part
from engine.lif import RESETS, lif_step
from engine.weights import Layer

usize = nb.uintp


def network_record(layers: tuple[Layer, ...]) -> NDArray[np.void]:
    """The parameters of all layers as one (1,) record."""
    fields: list[tuple[Any, ...]] = [("reset", np.int64, (len(layers),)), ("delayed", np.int64, (len(layers),))]
    for i, layer in enumerate(layers):
        width = layer.weight.shape[1]
        fields += [
            (f"weight{i}", np.float32, layer.weight.shape),  # (in, out)
            (f"bias{i}", np.float32, (width,)),
            (f"beta{i}", np.float32, (width,)),
            (f"threshold{i}", np.float32, (width,)),
        ]
    record = np.zeros(1, np.dtype(fields, align=True))
    for i, layer in enumerate(layers):
        record["reset"][0, i] = RESETS[layer.reset]
        record["delayed"][0, i] = layer.reset_delay
        record[f"weight{i}"][0] = layer.real_weight()
        record[f"bias{i}"][0] = layer.real_bias()
        record[f"beta{i}"][0] = layer.beta
        record[f"threshold{i}"][0] = layer.threshold
    return record


@kernel
def active_neurons(spikes: NDArray[np.uint8], first: int, count: int, active: NDArray[np.int64]) -> int:
    """Write the indices, from 0, of the neurons in `first .. first + count` that spiked; returns how many did."""
    found = usize(0)
    for i in range(usize(count)):
        active[found] = i
        found += usize(spikes[usize(first) + i])
    return found


@kernel
def spike_current(
    active: NDArray[np.int64],
    count: int,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    current: NDArray[np.float32],
) -> None:
    """current = bias + sum of the weight rows of the active neurons, two rows at a time.

    weight: (in, out), bias: (out,), current: (out,) or longer, float32.
    """
    width = usize(weight.shape[1])
    for j in range(width):
        current[j] = bias[j]
    pairs = usize(count) // usize(2)
    for i in range(pairs):
        a = usize(active[usize(2) * i])
        b = usize(active[usize(2) * i + usize(1)])
        for j in range(width):
            current[j] += weight[a, j] + weight[b, j]
    if usize(2) * pairs < usize(count):
        a = usize(active[usize(2) * pairs])
        for j in range(width):
            current[j] += weight[a, j]


def network_step(net: Record, inputs: NDArray[np.uint8], state: Record, scratch: Record) -> None:
    """Advance every layer by one frame; spikes pass through all of them within the frame, as in snntorch.

    For use inside kernels. net: of `network_record`. inputs: (in,) uint8. state: record with `v` float32 and `spikes`
    uint8, both (neurons,), updated. scratch: record with `current` float32 and `active` int64, as long as the widest
    layer and the inputs.
    """
    raise NotImplementedError("network_step runs inside compiled kernels only")


@overload(network_step, jit_options=OPTIONS)
def _network_step(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
    fields = dict(net.fields)
    chain: Callable[..., None] = _nothing
    neuron = 0
    for i in range(fields["reset"].type.shape[0]):
        fan_in, width = fields[f"weight{i}"].type.shape
        chain = _then(chain, _layer(i, fan_in, width, neuron))
        neuron += width
    steps = chain

    def step(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
        steps(net, inputs, state, scratch)

    return named(step)


@part
def _nothing(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
    pass


def _then(before: Callable[..., None], layer: Callable[..., None]) -> Callable[..., None]:
    """numba calls no list of functions: each layer's step calls the one before."""

    @part
    def both(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
        before(net, inputs, state, scratch)
        layer(net, inputs, state, scratch)

    return both


def _layer(index: int, fan_in: int, width: int, neuron: int) -> Callable[..., None]:
    """One layer's step; `neuron` is its first neuron's index. The names of its fields are constants."""
    weight, bias, beta, threshold = (f"{name}{index}" for name in ("weight", "bias", "beta", "threshold"))
    before = neuron - fan_in

    @part
    def step(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
        if index == 0:
            count = active_neurons(inputs, 0, fan_in, scratch.active)
        else:
            count = active_neurons(state.spikes, before, fan_in, scratch.active)
        spike_current(scratch.active, count, net[weight], net[bias], scratch.current)
        lif_step(
            scratch.current, net[beta], net[threshold], net.reset[index], net.delayed[index],
            state.v, state.spikes, neuron, width,
        )  # fmt: skip

    return step
