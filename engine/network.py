"""Layers of LIF neurons, driven by events: a spike adds its weight row, silence costs nothing.

Knows weights and spikes; nothing of sound or labels. Weights and biases lie on a power-of-two grid for each layer,
so every sum is exact in float32 and its order does not matter: that is what makes the membranes equal to a matrix
product's, bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.lif import lif_step


@kernel
def spike_current(
    spikes: NDArray[np.uint8],
    first: int,
    count: int,
    weight: NDArray[np.float32],
    weight_at: int,
    bias: NDArray[np.float32],
    bias_at: int,
    current: NDArray[np.float32],
    width: int,
) -> None:
    """current = bias + sum of the weight rows of the neurons that spiked.

    spikes: uint8, read in `first .. first + count`. weight: flat float32, row `i` at `weight_at + i * width`.
    bias: flat float32, at `bias_at`. current: float32, `width` values written.
    """
    for j in range(width):
        current[j] = bias[bias_at + j]
    for i in range(count):
        if spikes[first + i]:
            row = weight_at + i * width
            for j in range(width):
                current[j] += weight[row + j]


@kernel
def network_step(
    inputs: NDArray[np.uint8],
    widths: NDArray[np.int64],
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    beta: NDArray[np.float32],
    threshold: NDArray[np.float32],
    reset: NDArray[np.int64],
    delayed: NDArray[np.uint8],
    v: NDArray[np.float32],
    spikes: NDArray[np.uint8],
    current: NDArray[np.float32],
) -> None:
    """Advance every layer by one frame; spikes pass through all of them within the frame, as in snntorch.

    inputs: (widths[0],) uint8. widths: (layers + 1,). weight: flat, layer after layer, (in, out) rows. bias, beta,
    threshold: (neurons,) float32. reset, delayed: (layers,). v, spikes: (neurons,), updated. current: scratch.
    """
    layers = widths.shape[0] - 1
    neuron = 0
    at = 0
    for layer in range(layers):
        fan_in = widths[layer]
        width = widths[layer + 1]
        if layer == 0:
            spike_current(inputs, 0, fan_in, weight, at, bias, neuron, current, width)
        else:
            spike_current(spikes, neuron - fan_in, fan_in, weight, at, bias, neuron, current, width)
        lif_step(current, beta, threshold, reset[layer], delayed[layer], v, spikes, neuron, width)
        neuron += width
        at += fan_in * width
