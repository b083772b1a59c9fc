"""A folded network as the engine's model, and the engine's model as a network again. Knows both sides; trains nothing.

A hidden neuron of a trained layer is driven by `(1 - beta) * (W s + b)` against a threshold of 1. The file holds the
same neuron with membrane and threshold divided by `1 - beta`, so that slow and fast neurons share the layer's grid.
"""

from typing import Any

import numpy as np
import snntorch
import torch
from torch import Tensor

from engine.config import FrontEnd
from engine.weights import Layer, Model
from models.data.ontology import LABELS
from models.networks import OUTPUT_SCALE, SpikingLayer, SpikingNetwork

OUTPUT_SHIFT = -round(np.log2(OUTPUT_SCALE))


def layer_of(layer: SpikingLayer) -> Layer:
    """Raises ValueError if the layer is not folded."""
    if layer.shift is None:
        raise ValueError("the layer is not on a grid yet: fold() it first")
    with torch.no_grad():
        weight = torch.round(layer.grid_weight() * 2.0**layer.shift).numpy().astype(np.int8)
        bias = torch.round(layer.grid_bias() * 2.0**layer.shift).numpy().astype(np.int32)
        beta = layer.neuron.beta.clamp(0, 1).numpy().astype(np.float32)
    threshold = np.ones_like(beta) if layer.is_output else np.float32(1.0) / (np.float32(1.0) - beta)
    return Layer(
        weight=weight,
        bias=bias,
        shift=layer.shift + (OUTPUT_SHIFT if layer.is_output else 0),
        beta=beta,
        threshold=threshold,
        reset="none" if layer.is_output else "subtract",
    )


def model_of(
    network: SpikingNetwork,
    front_end: FrontEnd,
    *,
    name: str,
    version: str,
    on: tuple[float, ...] | None = None,
    off: tuple[float, ...] | None = None,
    trained: dict[str, Any] | None = None,
) -> Model:
    """The engine's model. Without thresholds every label turns on at 0.5 and off at 0.3."""
    return Model(
        name=name,
        version=version,
        labels=tuple(LABELS),
        families=tuple(LABELS.values()),
        front_end=front_end,
        layers=tuple(layer_of(layer) for layer in network.layers),
        on=on or (0.5,) * len(LABELS),
        off=off or (0.3,) * len(LABELS),
        trained=trained or {},
    )


class SnnTorchModel(torch.nn.Module):
    """A model file's network as plain snntorch: Linear on the grid and Leaky, stepped frame by frame."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.linears = torch.nn.ModuleList()
        self.neurons = torch.nn.ModuleList()
        for layer in model.layers:
            linear = torch.nn.Linear(*layer.weight.shape)
            linear.weight.data = torch.from_numpy(layer.real_weight().T.copy())
            linear.bias.data = torch.from_numpy(layer.real_bias())
            self.linears.append(linear)
            self.neurons.append(
                snntorch.Leaky(
                    beta=torch.from_numpy(layer.beta.copy()),
                    threshold=torch.from_numpy(layer.threshold.copy()),
                    reset_mechanism=layer.reset,
                    reset_delay=layer.reset_delay,
                )
            )

    def forward(self, spikes: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """spikes: (time, batch, fibres). Returns each layer's spikes and membranes, (time, batch, width)."""
        all_spikes, all_membranes = [], []
        for linear, neuron in zip(self.linears, self.neurons, strict=True):
            v = torch.zeros(spikes.shape[1], linear.out_features)
            out, membranes = [], []
            for current in linear(spikes):
                s, v = neuron(current, v)
                out.append(s)
                membranes.append(v)
            spikes = torch.stack(out)
            all_spikes.append(spikes)
            all_membranes.append(torch.stack(membranes))
        return all_spikes, all_membranes
