"""The engine once more, slow and obvious, in numpy and plain loops: what the kernels are tested against."""

import numpy as np
from numpy.typing import NDArray

from engine.cochlea import derived_beta
from engine.config import FrontEnd
from engine.weights import Layer

Array = NDArray[np.floating]


def filters(config: FrontEnd) -> NDArray[np.float64]:
    """Mel triangles, (bands, bins)."""
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (config.low_hz, config.high_hz)), config.bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bin_hz = config.sample_rate_hz / config.frame_samples
    bins = np.arange(config.frame_samples // 2 + 1) * bin_hz
    rows = np.zeros((config.bands, len(bins)))
    for j in range(config.bands):
        below = max(edges[j + 1] - edges[j], bin_hz)
        above = max(edges[j + 2] - edges[j + 1], bin_hz)
        rows[j] = np.maximum(0, np.minimum(1 - (edges[j + 1] - bins) / below, 1 - (bins - edges[j + 1]) / above))
        rows[j] /= rows[j].sum()
    return rows


class Listener:
    """Samples to features in float64, with numpy's rfft. `feed` takes whole hops and goes on where it stopped."""

    def __init__(self, config: FrontEnd) -> None:
        self.config = config
        self.filters = filters(config)
        n = np.arange(config.frame_samples)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / config.frame_samples)
        self.window = hann / np.sqrt(np.sum(hann**2))
        self.history = np.zeros(config.frame_samples - config.hop_samples)
        self.envelope = 0.0

    def power(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Power spectra of every complete hop, (frames, frame / 2 + 1)."""
        config = self.config
        sound = np.concatenate([self.history, samples.astype(np.float64)])
        self.history = sound[len(sound) - len(self.history) :]
        frames = np.lib.stride_tricks.sliding_window_view(sound, config.frame_samples)[:: config.hop_samples]
        return np.abs(np.fft.rfft(self.window * frames)) ** 2

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Normalised band energies, (frames, bands)."""
        config = self.config
        energy = self.power(samples) @ self.filters.T
        floor = 10 ** (config.gate_dbfs / 10)
        release = 1 - np.exp(-config.hop_s / config.gain_release_s)
        scale = []
        for level in energy.mean(axis=1).tolist():
            self.envelope = max(self.envelope + release * (level - self.envelope), level / 4)
            scale.append(max(self.envelope, floor))
        return (energy / np.array(scale)[:, None]) ** 0.25


def features(samples: NDArray[np.float32], config: FrontEnd) -> NDArray[np.float64]:
    """Normalised band energies of a whole sound, (frames, bands)."""
    return Listener(config).feed(samples[: len(samples) // config.hop_samples * config.hop_samples])


class Cochlea:
    """Features to spikes, in the precision of the features given: float64, or float32 in the engine's own order."""

    def __init__(self, config: FrontEnd, dtype: type) -> None:
        self.config = config
        self.dtype = dtype
        self.before = np.zeros(config.bands, dtype)
        self.v = np.zeros(config.fibres, dtype)

    def drive(self, features: Array) -> Array:
        """Lateral inhibition: each band less its neighbours, an edge continued beyond itself. (frames, bands)."""
        reach = self.config.inhibition_reach
        halving = 0.5 ** np.arange(reach)
        flank = (-0.5 * self.config.inhibition * halving / halving.sum()).astype(self.dtype)
        padded = np.pad(features, ((0, 0), (reach, reach)), mode="edge")
        total = features.copy()
        bands = features.shape[1]
        for d in range(1, reach + 1):
            below, above = padded[:, reach - d :][:, :bands], padded[:, reach + d :][:, :bands]
            total += flank[d - 1] * (below + above)
        return np.maximum(total, self.dtype(0))

    def currents(self, features: Array) -> Array:
        """What each fibre is given, (frames, fibres)."""
        drive = self.drive(features)
        rows = [self.dtype(gain) * drive for gain in self.config.fibre_gains]
        rise = np.diff(features, axis=0, prepend=self.before[None])
        self.before = features[-1]
        if self.config.change_gain:
            gain = self.dtype(self.config.change_gain)
            rows += [gain * np.maximum(rise, self.dtype(0)), gain * np.maximum(-rise, self.dtype(0))]
        return np.concatenate(rows, axis=1)

    def feed(self, features: Array) -> NDArray[np.uint8]:
        """v' = beta * (0 if v > 1 else v) + current; spike where v' > 1. (frames, fibres)."""
        beta = self.dtype(self.config.cochlea_beta or derived_beta(self.config.hop_s))
        spikes = np.zeros((len(features), self.config.fibres), np.uint8)
        for t, current in enumerate(self.currents(features)):
            self.v = beta * (self.v * (self.v <= 1)) + current
            spikes[t] = self.v > 1
        return spikes


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
