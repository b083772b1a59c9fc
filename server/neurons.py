"""GET /v1/neurons/{index}: what one neuron of the served model responds to, for people who look into it.

Neurons are counted as the spikes of `frame` messages: the cochlea's fibres, then layer after layer. Knows weights;
nothing of sound. Beyond the first layer weights are products of the layers' matrices: what would arrive if spikes were
linear.
"""

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray

from engine.bands import mel_table
from engine.config import FrontEnd
from engine.weights import Model
from server.errors import Code, Refusal

router = APIRouter()

LABELS = 5  # that a neuron works on the most


@router.get("/v1/neurons/{index}")
async def neuron(request: Request, index: str) -> dict[str, Any]:
    model: Model = request.app.state.service.model
    total = model.front_end.fibres + model.neurons
    if not (index.isascii() and index.isdigit() and len(index) < 10 and int(index) < total):
        raise Refusal(Code.UNKNOWN_NEURON, f"no neuron {index[:20]!r}: there are 0 to {total - 1}")
    return described(model, int(index))


def described(model: Model, index: int) -> dict[str, Any]:
    """`index` is one of the model's."""
    layer, place = place_of(model, index)
    matrices = [layer.weight.astype(np.float64) * 2.0**-layer.shift for layer in model.layers]
    heard = np.eye(model.front_end.fibres)[:, place] if layer == 0 else chained(matrices[:layer])[:, place]
    told = chained(matrices[layer:])[place] if layer < len(matrices) else np.eye(len(model.labels))[place]
    fine = model.front_end.fine
    fine_fibres = fine.fibres if fine else 0
    strongest = np.argsort(-np.abs(told))[:LABELS]
    return {
        "index": index,
        "layer": layer,
        "neuron": place,
        "bands_hz": [round(float(hz), 1) for hz in mel_table(model.front_end).centre_hz],
        "fibres": fibres_of(model.front_end),
        "weights": rows_of(heard[: model.front_end.fibres - fine_fibres], model.front_end),
        "fine": fine
        and {
            "bands_hz": [round(float(hz), 1) for hz in mel_table(fine).centre_hz],
            "fibres": fibres_of(fine),
            "weights": rows_of(heard[-fine_fibres:], fine),
        },
        "labels": [[model.labels[i], round(float(told[i]), 5)] for i in strongest if told[i]],
    }


def place_of(model: Model, index: int) -> tuple[int, int]:
    """The layer (0: the cochlea) and the place in it."""
    for layer, size in enumerate((model.front_end.fibres, *(len(layer.bias) for layer in model.layers))):
        if index < size:
            return layer, index
        index -= size
    raise IndexError(index)


def rows_of(weights: NDArray[np.float64], config: FrontEnd) -> list[list[float]]:
    """Weights of a look's fibres, a row for each kind of fibre, a number for each band."""
    return [[round(float(w), 5) for w in row] for row in weights.reshape(-1, config.bands)]


def fibres_of(config: FrontEnd) -> list[str]:
    """What the rows of `weights` are: fibres of a gain, then those of a rise and of a fall."""
    return [f"gain {gain:g}" for gain in config.fibre_gains] + (["rise", "fall"] if config.change_gain else [])


def chained(matrices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product @ matrix
    return product
