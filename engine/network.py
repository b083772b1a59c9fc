"""Layers of LIF neurons, driven by events: a spike adds its weight row, silence costs nothing.

Knows weights and spikes; nothing of sound or labels. Weights and biases lie on a power-of-two grid for each layer: they
are added as the integers that the model file holds, and the sum is turned into a float32 current once. Nothing is
rounded, so the order does not matter: that is what makes the membranes equal to a matrix product's, bit for bit. A row
of int8 is a quarter of the memory of one in float32, and its sum in int16 takes half the instructions.

A network is a record with the fields `weight0, bias0, step0, beta0, threshold0, weight1 ...`. Its type tells every
size, and `network_step` is compiled for it: loops of known length over memory that is known not to overlap.
"""

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from engine.jit import OPTIONS, Record, inlined, named, part
from engine.lif import RESETS, lif_step
from engine.weights import Layer

usize = nb.uintp

ROWS = 4  # weight rows added at a time
LANES = 32  # int16 numbers in the widest vector register


def network_record(layers: tuple[Layer, ...]) -> NDArray[np.void]:
    """The parameters of all layers as one (1,) record."""
    fields: list[tuple[Any, ...]] = [("reset", np.int64, (len(layers),)), ("delayed", np.int64, (len(layers),))]
    for i, layer in enumerate(layers):
        fan_in, width = layer.weight.shape
        fields += [
            (f"weight{i}", np.int8, (fan_in + 1, _padded(width))),  # a row for each input, then one of zeros
            (f"bias{i}", np.int32, (width,)),
            (f"step{i}", np.float32),  # of the grid: what one unit of weight or bias is worth
            (f"beta{i}", np.float32, (width,)),
            (f"threshold{i}", np.float32, (width,)),
        ]
    record = np.zeros(1, np.dtype(fields, align=True))
    for i, layer in enumerate(layers):
        fan_in, width = layer.weight.shape
        record["reset"][0, i] = RESETS[layer.reset]
        record["delayed"][0, i] = layer.reset_delay
        record[f"weight{i}"][0, :fan_in, :width] = layer.weight
        record[f"bias{i}"][0] = layer.bias
        record[f"step{i}"] = layer.step
        record[f"beta{i}"][0] = layer.beta
        record[f"threshold{i}"][0] = layer.threshold
    return record


def scratch_fields(layers: tuple[Layer, ...]) -> list[tuple[Any, ...]]:
    """What a step writes and forgets."""
    widest = max(max(layer.weight.shape) for layer in layers)
    fields: list[tuple[Any, ...]] = [
        ("active", np.int64, (widest + ROWS,)),  # indices of the neurons that spiked in the layer before
        ("count", np.int64),  # how many did
        ("current", np.float32, (widest,)),
    ]
    for i, layer in enumerate(layers):
        greatest = np.abs(layer.weight.astype(np.int64)).sum(axis=0).max(initial=0)
        fits = greatest <= np.iinfo(np.int16).max
        fields.append((f"sum{i}", np.int16 if fits else np.int32, (_padded(layer.weight.shape[1]),)))
    return fields


def _padded(width: int) -> int:
    """Neurons rounded up to whole vectors of int16: without a rest, LLVM leaves no scalar loop."""
    return -(-width // LANES) * LANES


@inlined
def active_neurons(spikes: NDArray[np.uint8], first: int, count: int, active: NDArray[np.int64]) -> int:
    """Write the indices, from 0, of the neurons in `first .. first + count` that spiked; returns how many did.

    The list is filled up to a multiple of ROWS with `count`, the index of the row of zeros.
    """
    found = usize(0)
    for i in range(usize(count)):
        active[found] = i
        found += usize(spikes[usize(first) + i])
    for i in range(usize(ROWS)):
        active[found + i] = count
    return found


@inlined
def spike_sum(active: NDArray[np.int64], count: int, weight: NDArray[np.int8], total: NDArray[np.integer]) -> None:
    """total = sum of the weight rows of the active neurons, ROWS at a time.

    active: of `active_neurons`, filled up. weight: (in + 1, padded out) int8. total: (padded out,) int16 or int32,
    wide enough for every sum.
    """
    width = usize(total.shape[0])
    for j in range(width):
        total[j] = 0
    for i in range(usize(0), usize(count), usize(ROWS)):
        a, b = usize(active[i]), usize(active[i + usize(1)])
        c, d = usize(active[i + usize(2)]), usize(active[i + usize(3)])
        for j in range(width):
            total[j] += (weight[a, j] + weight[b, j]) + (weight[c, j] + weight[d, j])


@inlined
def to_current(
    total: NDArray[np.integer], bias: NDArray[np.int32], step: np.float32, current: NDArray[np.float32]
) -> None:
    """current = step * (total + bias): exact, as sums stay below 2 ** 24 and the step is a power of two."""
    for j in range(usize(bias.shape[0])):
        current[j] = np.float32(np.int32(total[j]) + bias[j]) * step


def network_step(net: Record, inputs: NDArray[np.uint8], state: Record, scratch: Record) -> None:
    """Advance every layer by one frame; spikes pass through all of them within the frame, as in snntorch.

    For use inside kernels. net: of `network_record`. inputs: (in,) uint8. state: record with `v` float32 and `spikes`
    uint8, both (neurons,), updated. scratch: record with `scratch_fields`.
    """
    raise NotImplementedError("network_step runs inside compiled kernels only")


@overload(network_step, jit_options=OPTIONS)
def _network_step(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
    fields = dict(net.fields)
    fan_in = fields["weight0"].type.shape[0] - 1
    chain: Callable[..., None] = _nothing
    neuron = 0
    for i in range(fields["reset"].type.shape[0]):
        width = fields[f"bias{i}"].type.shape[0]
        chain = _then(chain, _layer(i, width, neuron))
        neuron += width
    steps = chain

    def step(net, inputs, state, scratch):  # type: ignore[no-untyped-def]
        scratch.count = active_neurons(inputs, 0, fan_in, scratch.active)
        steps(net, state, scratch)

    return named(step)


@part
def _nothing(net, state, scratch):  # type: ignore[no-untyped-def]
    pass


def _then(before: Callable[..., None], layer: Callable[..., None]) -> Callable[..., None]:
    """numba calls no list of functions: each layer's step calls the one before."""

    @part
    def both(net, state, scratch):  # type: ignore[no-untyped-def]
        before(net, state, scratch)
        layer(net, state, scratch)

    return both


def _layer(index: int, width: int, neuron: int) -> Callable[..., None]:
    """One layer's step, from `scratch.active` to the same for the next; `neuron` is its first neuron's index."""
    weight, bias, step, beta, threshold = (f"{name}{index}" for name in ("weight", "bias", "step", "beta", "threshold"))
    total = f"sum{index}"

    @part
    def advance_layer(net, state, scratch):  # type: ignore[no-untyped-def]
        spike_sum(scratch.active, scratch.count, net[weight], scratch[total])
        to_current(scratch[total], net[bias], net[step], scratch.current)
        lif_step(
            scratch.current, net[beta], net[threshold], net.reset[index], net.delayed[index],
            state.v, state.spikes, neuron, width,
        )  # fmt: skip
        scratch.count = active_neurons(state.spikes, neuron, width, scratch.active)

    return advance_layer
