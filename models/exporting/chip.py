"""A model in a chip's numbers: int8 weights, whole thresholds, decays of 1 - 2^-k. Knows layers; no chip in particular.

The result is a model like any other, which the engine runs and `spiccato evaluate` judges; its weights, biases and
thresholds are whole steps of the layer's grid. A decay moves to the 1 - 2^-k whose time constant is nearest by ratio.
So that a neuron's answer to a constant drive stays, I / (1 - beta) against the threshold, a hidden neuron's threshold
moves with it, and a label's weights do, because its membrane is the log-odds that scores and thresholds are read from.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.weights import Layer, Model

MOST_SHIFT = 8  # k = 1 .. 8
WEIGHT_LIMIT = 127
STATE_BITS = 16  # of a membrane in `whole_numbers`, as on Xylo


def chip_model(model: Model) -> Model:
    """Named `<name>-chip`; what it was trained on stays beside it, its figures are the original's and are left out."""
    last = len(model.layers) - 1
    layers = tuple(_chip_layer(layer, scale_weights=index == last) for index, layer in enumerate(model.layers))
    trained = {"chip_profile_of": {"model": model.id, "sha256": model.sha256}}
    return replace(model, name=f"{model.name}-chip", layers=layers, trained=trained, sha256="")


def decay_shifts(beta: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) the k of the nearest 1 - 2^-k, by ratio of time constants."""
    k = np.arange(1, MOST_SHIFT + 1)
    frames = np.log(-np.log(np.clip(beta.astype(np.float64), 1e-6, 1 - 1e-6)))
    known = np.log(-np.log(1.0 - 2.0**-k))
    return np.asarray(k[np.abs(frames[:, None] - known).argmin(axis=1)])


def _chip_layer(layer: Layer, scale_weights: bool) -> Layer:
    beta = (1.0 - 2.0 ** -decay_shifts(layer.beta)).astype(np.float32)
    with np.errstate(divide="ignore"):
        gain = np.where(layer.beta < 1, (1.0 - beta.astype(np.float64)) / (1.0 - layer.beta.astype(np.float64)), 1.0)
    if not scale_weights:
        whole = np.round(layer.threshold / gain / layer.step)
        return replace(layer, beta=beta, threshold=(whole * layer.step).astype(np.float32))
    weight, bias = layer.weight * gain, layer.bias * gain  # in steps of the old grid
    finer = int(np.floor(np.log2(WEIGHT_LIMIT / max(np.abs(weight).max(initial=0.0), 1.0))))
    whole = np.round(layer.threshold / 2.0 ** -(layer.shift + finer))
    return Layer(
        weight=np.round(weight * 2.0**finer).astype(np.int8),
        bias=np.round(bias * 2.0**finer).astype(np.int32),
        shift=layer.shift + finer,
        beta=beta,
        threshold=(whole * 2.0 ** -(layer.shift + finer)).astype(np.float32),
        reset=layer.reset,
        reset_delay=layer.reset_delay,
    )


def whole_numbers(model: Model, cochlea: NDArray[np.uint8]) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """A chip's arithmetic: membranes of STATE_BITS in grid steps, a decay is v - (v >> k), sums stop at the ends.

    model: of `chip_model`. cochlea: (frames, fibres). Returns each layer's spikes and the evidence, (frames, labels).
    """
    top = 2 ** (STATE_BITS - 1) - 1
    inputs = cochlea.astype(np.int64)
    spikes = []
    for layer in model.layers:
        k = decay_shifts(layer.beta)
        threshold = np.round(layer.threshold.astype(np.float64) / layer.step).astype(np.int64)
        currents = inputs @ layer.weight.astype(np.int64) + layer.bias
        v = np.zeros(len(k), np.int64)
        rows = np.zeros(currents.shape, np.int64)
        membranes = np.zeros(currents.shape, np.int64)
        for t, current in enumerate(currents):
            fired = v > threshold
            if layer.reset == "zero":
                v = np.where(fired, 0, v)
            v = v - (v >> k) + current - (fired * threshold if layer.reset == "subtract" else 0)
            v = np.clip(v, -top - 1, top)
            rows[t], membranes[t] = v > threshold, v
        spikes.append(rows.astype(np.uint8))
        inputs = rows
    return spikes, (membranes * model.layers[-1].step).astype(np.float32)
