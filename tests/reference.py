"""The engine once more, slow and obvious, in float64 numpy and plain loops: what the kernels are tested against."""

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.weights import Layer


def power_frames(samples: NDArray[np.float32], config: FrontEnd) -> NDArray[np.float64]:
    """Power spectra of every complete hop, (frames, frame / 2 + 1), by numpy's rfft."""
    n, hop = config.frame_samples, config.hop_samples
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    hann /= np.sqrt(np.sum(hann**2))
    padded = np.concatenate([np.zeros(n), samples.astype(np.float64)])
    ends = [n + (k + 1) * hop for k in range(len(samples) // hop)]
    return np.array([np.abs(np.fft.rfft(hann * padded[end - n : end])) ** 2 for end in ends])


def features(samples: NDArray[np.float32], config: FrontEnd) -> NDArray[np.float64]:
    """Normalised band energies, (frames, bands)."""
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (config.low_hz, config.high_hz)), config.bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bin_hz = config.sample_rate_hz / config.frame_samples
    bins = np.arange(config.frame_samples // 2 + 1) * bin_hz
    filters = np.zeros((config.bands, len(bins)))
    for j in range(config.bands):
        below = max(edges[j + 1] - edges[j], bin_hz)
        above = max(edges[j + 2] - edges[j + 1], bin_hz)
        filters[j] = np.maximum(0, np.minimum(1 - (edges[j + 1] - bins) / below, 1 - (bins - edges[j + 1]) / above))
        filters[j] /= filters[j].sum()
    floor = 10 ** (config.gate_dbfs / 10)
    release = 1 - np.exp(-config.hop_s / config.gain_release_s)
    envelope = 0.0
    rows = []
    for power in power_frames(samples, config):
        energy = filters @ power
        level = energy.mean()
        envelope = max(envelope + release * (level - envelope), level / 4)
        rows.append((energy / max(envelope, floor)) ** 0.25)
    return np.array(rows)


def lif_layer(
    current: NDArray[np.float32], layer: Layer, v: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One frame of one layer, neuron by neuron, in float32: (spikes, membranes)."""
    one = np.float32(1)
    spikes = np.zeros(len(v), np.uint8)
    after = np.zeros_like(v)
    for n in range(len(v)):
        beta, threshold = layer.beta[n], layer.threshold[n]
        due = np.float32(v[n] > threshold)
        if layer.reset == "subtract":
            value = (beta * v[n] + current[n]) - due * threshold
        elif layer.reset == "zero":
            value = beta * ((one - due) * v[n]) + current[n]
        else:
            value = beta * v[n] + current[n]
        spikes[n] = value > threshold
        if not layer.reset_delay:
            change = np.float32(spikes[n]) - due
            if layer.reset == "subtract":
                value = value - change * threshold
            elif layer.reset == "zero":
                value = value - change * value
        after[n] = value
    return spikes, after
