"""A label more, or one less, in a finished model, without a bit changed for the others. Knows weights; learns nothing.

An added label is a block: some neurons in each hidden layer and one output neuron. They may read every neuron of the
layer before; the old neurons read none of them. A weight of zero adds nothing to a sum of integers, so the old
neurons' currents, membranes and spikes stay what they were, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights import Layer, Model


@dataclass(frozen=True)
class Block:
    """What one layer gains: weights from the old inputs, then from the block's own, on a grid of its own."""

    weight: NDArray[np.int8]  # (old in + own in, own out)
    bias: NDArray[np.int32]  # (own out,)
    shift: int
    beta: NDArray[np.float32]  # (own out,)
    threshold: NDArray[np.float32]  # (own out,) in the units of weight * 2 ** -shift


def with_label(
    model: Model, label: str, family: str, blocks: Sequence[Block], on: float, off: float, at: int | None = None
) -> Model:
    """The model with `label` as its label number `at`, the last one if that is None."""
    at = len(model.labels) if at is None else at
    last = len(model.layers) - 1
    layers = [
        _joined(layer, block, at if index == last else layer.weight.shape[1], keep_units=index == last)
        for index, (layer, block) in enumerate(zip(model.layers, blocks, strict=True))
    ]
    return replace(
        model,
        labels=_inserted(model.labels, at, label),
        families=_inserted(model.families, at, family),
        layers=tuple(layers),
        on=_inserted(model.on, at, on),
        off=_inserted(model.off, at, off),
        sha256="",
    )


def without_label(model: Model, label: str, added: Sequence[int] = ()) -> Model:
    """The model without `label`; it needs another one.

    added: how many of the last neurons of each hidden layer came with added labels. Those of them that then speak to
    nobody go too.
    """
    at = model.labels.index(label)
    layers = list(model.layers)
    layers[-1] = _only(layers[-1], outputs=np.arange(len(model.labels)) != at)
    for index in range(len(added), 0, -1):
        kept = np.any(layers[index].weight != 0, axis=1)
        kept[: len(kept) - added[index - 1]] = True
        layers[index] = _only(layers[index], inputs=kept)
        layers[index - 1] = _only(layers[index - 1], outputs=kept)
    return replace(
        model,
        labels=_removed(model.labels, at),
        families=_removed(model.families, at),
        layers=tuple(layers),
        on=_removed(model.on, at),
        off=_removed(model.off, at),
        sha256="",
    )


def _joined(layer: Layer, block: Block, at: int, keep_units: bool) -> Layer:
    """The layer with the block's neurons from number `at` on.

    keep_units: the membranes are log-odds, so the block must be on the layer's own grid. Elsewhere a neuron whose
    weights and threshold are twice as large spikes the same, so any grid is moved to the layer's by the threshold.
    """
    if keep_units and block.shift != layer.shift:
        raise ValueError(f"the block's output is on the grid 2^-{block.shift}, the layer's is 2^-{layer.shift}")
    inputs, outputs = layer.weight.shape
    own_inputs, own = block.weight.shape[0] - inputs, block.weight.shape[1]
    if own_inputs < 0:
        raise ValueError(f"the block reads {block.weight.shape[0]} neurons, the layer before has {inputs}")
    weight = np.zeros((inputs + own_inputs, outputs + own), np.int8)
    old = np.r_[0:at, at + own : outputs + own]
    weight[:inputs, old] = layer.weight
    weight[:, at : at + own] = block.weight
    moved = np.ldexp(block.threshold, block.shift - layer.shift).astype(np.float32)
    return replace(
        layer,
        weight=weight,
        bias=_put(layer.bias, at, block.bias),
        beta=_put(layer.beta, at, block.beta),
        threshold=_put(layer.threshold, at, moved),
    )


def _only(layer: Layer, inputs: NDArray[np.bool_] | None = None, outputs: NDArray[np.bool_] | None = None) -> Layer:
    weight = layer.weight
    if inputs is not None:
        weight = weight[inputs]
    if outputs is None:
        return replace(layer, weight=np.ascontiguousarray(weight))
    return replace(
        layer,
        weight=np.ascontiguousarray(weight[:, outputs]),
        bias=layer.bias[outputs],
        beta=layer.beta[outputs],
        threshold=layer.threshold[outputs],
    )


def _put(values: NDArray[Any], at: int, own: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values[:at], own.astype(values.dtype), values[at:]])


def _inserted(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at:])


def _removed(values: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*values[:at], *values[at + 1 :])
