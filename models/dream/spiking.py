"""The engine's spiking networks as subjects: a copy of the front end, from bands on, that gradients pass through.

A picture's point is the power density of the sound at one band's centre in one hop. Of a sound with random phases the
expected energy of any band in any frame is a sum over such points: `look` has the weights, once for the short frame and
once for the long one. What follows is the engine's own arithmetic in torch: the shared gain, the fourth root,
inhibition, change, and LIF layers with snntorch's surrogate gradients. What it says of a finished sound it lets the
engine itself say.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.bands import mel, mel_table
from engine.cochlea import derived_beta, inhibition_kernel
from engine.config import FrontEnd
from engine.pipeline import TRACE_FRAMES, Pipeline
from engine.stft import window
from engine.weights import Model
from models.dream.griffin_lim import analysed, between, sound_of
from models.dream.subject import RATE_HZ, DreamError, Layer
from models.lif_scan import lif_scan

BANDS = 128  # of a picture
GRID = 2_048  # samples of the frame whose bins stand for the frequency axis
TINY = 1e-12  # added to an energy over the gain: the fourth root of nothing has no slope
FRAME = 1_024  # of the sound made: between the short look and the long one
UNIT = 8.0 / 3.0 / FRAME  # of a Hann frame's power to that of a window of unit energy


@dataclass(frozen=True)
class Look:
    """How one frame length sees a picture."""

    config: FrontEnd
    every: int  # hops from frame to frame
    bands: Tensor  # (its bands, BANDS): density at the picture's centres to energies
    past: Tensor  # (hops,) of the frame, the oldest first; sums to 1


class Spiking:
    """An engine model; see `Subject`."""

    rows: int | None = None
    bands = BANDS

    def __init__(self, model: Model) -> None:
        """Raises DreamError for a rate that is not 16 kHz or a reset without delay, which training has none of."""
        front = model.front_end
        if front.sample_rate_hz != RATE_HZ:
            raise DreamError(f"{model.id} hears {front.sample_rate_hz} Hz: only models of {RATE_HZ} Hz can dream")
        if not all(layer.reset_delay for layer in model.layers):
            raise DreamError(f"{model.id} has a layer without reset delay, which has no gradient here")
        self.model = model
        self.hop = front.hop_samples
        self._looks = [look(front, 1)] + ([look(front.fine, front.fine_hops)] if front.fine else [])
        self._weights = [
            (torch.from_numpy(layer.real_weight()), torch.from_numpy(layer.real_bias())) for layer in model.layers
        ]
        self._betas = [torch.from_numpy(layer.beta.copy()) for layer in model.layers]
        self._thresholds = [torch.from_numpy(layer.threshold.copy()) for layer in model.layers]
        hidden = {
            f"hidden{i + 1}": Layer(layer.weight.shape[1], "neuron", "spikes a second")
            for i, layer in enumerate(model.layers[:-1])
        }
        self.layers: Mapping[str, Layer] = {
            "cochlea": Layer(front.fibres, "neuron", "spikes a second"),
            **hidden,
            "labels": Layer(len(model.labels), "neuron", "log-odds", model.labels),
        }

    def hear(self, picture: Tensor) -> dict[str, Tensor]:
        density = 10.0 ** (picture / 10.0)
        fibres = torch.cat([silent_between(cochlea(energies(one, density), one.config), one, len(picture))
                            for one in self._looks], dim=1)  # fmt: skip
        return self.network(fibres)

    def network(self, fibres: Tensor) -> dict[str, Tensor]:
        """fibres: (rows, fibres) of 0 and 1. Returns what `hear` does."""
        per_second = RATE_HZ / self.hop
        told = {"cochlea": fibres.mean(dim=0) * per_second}
        steps = fibres[:, None, :]
        for index, layer in enumerate(self.model.layers):
            weight, bias = self._weights[index]
            last = index == len(self.model.layers) - 1
            scale = torch.ones_like(bias) if last else self._thresholds[index]
            steps, membranes = lif_scan((steps @ weight + bias) / scale, self._betas[index], 1.0, layer.reset)
            if last:
                told["labels"] = membranes[:, 0].mean(dim=0)
            else:
                told[f"hidden{index + 1}"] = steps[:, 0].mean(dim=0) * per_second
        return told

    def heard(self, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        pipeline = Pipeline(self.model)
        sums: dict[str, NDArray[np.float64]] = {}
        block = TRACE_FRAMES // 2 * self.hop
        for start in range(0, len(samples), block):
            before = pipeline.frames
            pipeline.feed(samples[start : start + block])
            trace = pipeline.trace[np.arange(before, pipeline.frames) % TRACE_FRAMES]
            for name in ("cochlea", "spikes", "evidence"):
                sums[name] = sums.get(name, 0.0) + trace[name].sum(axis=0, dtype=np.float64)
        frames = max(1, pipeline.frames)
        per_second = RATE_HZ / self.hop / frames
        told = {"cochlea": sums["cochlea"] * per_second}
        first = 0
        for index, layer in enumerate(self.model.layers[:-1]):
            width = layer.weight.shape[1]
            told[f"hidden{index + 1}"] = sums["spikes"][first : first + width] * per_second
            first += width
        return told | {"labels": sums["evidence"] / frames}

    def seen(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        before = (FRAME - self.hop) // 2
        padded = np.pad(samples.astype(np.float64), [before, FRAME - self.hop - before])
        power = UNIT * np.abs(analysed(padded, FRAME, self.hop)) ** 2
        centres = spread(self.model.front_end, FRAME)
        energy = power @ (centres / np.maximum(centres.sum(axis=0), 1e-9))
        return np.asarray(10.0 * np.log10(np.maximum(energy, 1e-8)), np.float32)

    def sound(self, picture: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        power = 10.0 ** (picture.astype(np.float64) / 10.0) @ spread(self.model.front_end, FRAME).T
        samples = sound_of(np.sqrt(power / UNIT), FRAME, self.hop, seed)
        before = (FRAME - self.hop) // 2  # a row's frame reaches so far before its own hop
        return samples[before : before + len(picture) * self.hop]


def look(config: FrontEnd, every: int) -> Look:
    """The weights by which frames of `config` see a picture; `every`: hops of the picture from frame to frame."""
    n = config.frame_samples
    shape = window(n).astype(np.float64)
    lobe = np.abs(np.fft.fft(shape, GRID)) ** 2
    lobe /= lobe.sum()  # of a tone's power, the share that falls so many grid bins from it
    bins, grid = np.arange(n // 2 + 1) * (GRID // n), np.arange(GRID // 2 + 1)
    smear = lobe[(bins[:, None] - grid[None, :]) % GRID]
    table = mel_table(config)
    triangles = np.zeros((config.bands, n // 2 + 1))
    for band in range(config.bands):
        first, count, offset = table.first[band], table.count[band], table.offset[band]
        triangles[band, first : first + count] = table.weight[offset : offset + count]
    weights = triangles @ smear @ spread(config, GRID)
    hop = config.hop_samples // every
    past = np.add.reduceat(shape[::-1] ** 2, np.arange(0, n, hop))[::-1]
    return Look(config, every, torch.from_numpy(weights).float(), torch.from_numpy(past.copy()).float())


def spread(config: FrontEnd, frame: int) -> NDArray[np.float64]:
    """(frame // 2 + 1, BANDS): a bin's density from that at BANDS centres, from the front end's lowest to highest."""
    low, high = mel(config.low_hz), mel(config.high_hz)
    return between(np.linspace(low, high, BANDS), frame, low, high)


def energies(one: Look, density: Tensor) -> Tensor:
    """(frames, bands) that the look's frames have in a sound of random phases. density: (rows, BANDS)."""
    wide = functional.pad((density @ one.bands.T).T[:, None], [len(one.past) - 1, 0])  # silence before the first
    return functional.conv1d(wide, one.past[None, None])[:, 0].T[one.every - 1 :: one.every]


def cochlea(energy: Tensor, config: FrontEnd) -> Tensor:
    """Band energies (frames, bands) to spikes (frames, fibres): `engine.bands` and `engine.cochlea`."""
    feature = (energy / gain(energy, config)[:, None] + TINY).sqrt().sqrt()
    drive = inhibited(feature, config)
    currents = [level * drive for level in config.fibre_gains]
    if config.change_gain:
        rise = torch.diff(feature, dim=0, prepend=torch.zeros_like(feature[:1]))
        currents += [config.change_gain * rise.clamp(min=0.0), config.change_gain * (-rise).clamp(min=0.0)]
    current = torch.cat(currents, dim=1)
    beta = torch.full((current.shape[1],), config.cochlea_beta or derived_beta(config.hop_s))
    spikes, _ = lif_scan(current[:, None, :], beta, 1.0, "zero")
    return spikes[:, 0]


def silent_between(spikes: Tensor, one: Look, rows: int) -> Tensor:
    """(rows, fibres): a look's spikes in the hops that have a frame of its own, nothing in the others."""
    at = torch.arange(one.every - 1, rows, one.every)
    return torch.zeros(rows, spikes.shape[1]).index_copy(0, at, spikes)


def gain(energy: Tensor, config: FrontEnd) -> Tensor:
    """The level, at least the gate's, that each frame is divided by, (frames,): `engine.bands.follow_level`."""
    release = 1.0 - float(np.exp(-config.hop_s / config.gain_release_s))
    level = torch.zeros(())
    levels = []
    for mean in energy.mean(dim=1):
        level = torch.maximum(level + release * (mean - level), 0.25 * mean)
        levels.append(level)
    return torch.stack(levels).clamp(min=10.0 ** (config.gate_dbfs / 10.0))


def inhibited(feature: Tensor, config: FrontEnd) -> Tensor:
    """(frames, bands): `engine.cochlea.inhibit`."""
    if not config.inhibition:
        return feature
    flank = torch.from_numpy(inhibition_kernel(config.inhibition, config.inhibition_reach))
    kernel = torch.cat([flank.flip(0), torch.ones(1), flank])
    wide = functional.pad(feature[:, None], [len(flank), len(flank)], mode="replicate")
    return functional.conv1d(wide, kernel[None, None])[:, 0].clamp(min=0.0)
