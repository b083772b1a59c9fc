"""NeuroBench's figures of a network, its operations from the spikes of the real engine. Knows spikes and weights.

Effective accumulates: for each spike the synapses of its neuron whose weight is not zero. Dense: every synapse in every
frame. A membrane is updated for each neuron and frame. The spectrum before the cochlea is not counted, nor is it in
the figure of the CNN. Footprint: the network's parameters as in the file, and its membranes. Activation sparsity: the
share of neurons and frames without a spike, the cochlea's among them. Connection sparsity: the zeros among the weights.
Source: NeuroBench, Yik and others, arXiv 2304.04640, and its documentation of its metrics.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model

# multiplies a second of the CNN that people use for this: its README says 69.2 million for each window of 0.96 s, one
# window each 0.96 or, by default, each 0.48 s
YAMNET_PER_WINDOW = 69.2e6
YAMNET_WINDOWS_S = (0.96, 0.48)


def footprint_bytes(model: Model) -> int:
    """Weights int8, biases int32, decays, thresholds and membranes float32."""
    return sum(
        layer.weight.nbytes + layer.bias.nbytes + layer.beta.nbytes + layer.threshold.nbytes + 4 * len(layer.beta)
        for layer in model.layers
    )


def connection_sparsity(model: Model) -> float:
    """0 to 1."""
    return 1.0 - sum(np.count_nonzero(layer.weight) for layer in model.layers) / sum(
        layer.weight.size for layer in model.layers
    )


def activation_sparsity(figures: dict[str, Any]) -> float:
    """0 to 1, of `Operations.figures()`."""
    return 1.0 - float(figures["spikes"]) / float(figures["membrane_updates"])


class Operations:
    """`add(cochlea, spikes)` for frames of the engine's trace, then `figures()`."""

    def __init__(self, model: Model) -> None:
        fan_out = [np.count_nonzero(layer.weight, axis=1) for layer in model.layers]
        self._cochlea_out = fan_out[0].astype(np.int64)  # (fibres,)
        last = model.layers[-1].weight.shape[1]  # output neurons drive nothing
        self._neurons_out = np.concatenate([*fan_out[1:], np.zeros(last, np.int64)]).astype(np.int64)
        self._model = model
        self._frames = 0
        self._accumulates = 0
        self._spikes = 0

    def add(self, cochlea: NDArray[np.uint8], spikes: NDArray[np.uint8]) -> None:
        """cochlea: (frames, fibres). spikes: (frames, neurons), layer after layer."""
        by_fibre, by_neuron = cochlea.sum(axis=0, dtype=np.int64), spikes.sum(axis=0, dtype=np.int64)
        self._frames += len(cochlea)
        self._accumulates += int(by_fibre @ self._cochlea_out + by_neuron @ self._neurons_out)
        self._spikes += int(by_fibre.sum() + by_neuron.sum())

    def figures(self) -> dict[str, Any]:
        """For each second of sound; zeros where nothing was heard."""
        rate = 1.0 / self._model.front_end.hop_s
        frames = max(1, self._frames)
        synapses = sum(layer.weight.size for layer in self._model.layers)
        low, high = (round(YAMNET_PER_WINDOW / seconds) for seconds in YAMNET_WINDOWS_S)
        figures: dict[str, Any] = {
            "effective_accumulates": round(self._accumulates / frames * rate),
            "dense_synaptic_operations": round(synapses * rate),
            "membrane_updates": round(self._updates() * rate),
            "spikes": round(self._spikes / frames * rate),
            "yamnet_multiplies": [low, high],
            "seconds": round(self._frames / rate, 2),
            "footprint_bytes": footprint_bytes(self._model),
            "connection_sparsity": round(connection_sparsity(self._model), 4),
        }
        return {**figures, "activation_sparsity": round(activation_sparsity(figures), 4)}

    def _updates(self) -> float:
        """Membranes that are updated in a frame; those of a fine look are in some frames only."""
        front_end = self._model.front_end
        fine = front_end.fine.fibres if front_end.fine else 0
        return front_end.fibres - fine + fine / front_end.fine_hops + self._model.neurons
