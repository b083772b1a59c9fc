"""Power spectrum to mel bands, then one gain that all bands share. Knows spectra; nothing of spikes.

The shared gain keeps the spectral envelope (timbre) and drops the level: features are the same at every input level,
to the bit for levels a power of two apart. A gain for each band (PCEN) would flatten the envelope as well.
Only + * / sqrt, so the same bits come out on every CPU.
"""

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.jit import inlined

f32 = np.float32
usize = nb.uintp


@dataclass(frozen=True)
class BandTable:
    """Sparse triangular filters: band `j` is `sum(weight[offset[j] + i] * power[first[j] + i])` for `i < count[j]`."""

    first: NDArray[np.int32]  # (bands,) first bin
    count: NDArray[np.int32]  # (bands,) bins
    offset: NDArray[np.int32]  # (bands,) where the band's weights start
    weight: NDArray[np.float32]  # (non-zeros,)
    centre_hz: NDArray[np.float64]  # (bands,)


def mel(hz: float) -> float:
    """Hertz to mel. Source: O'Shaughnessy 1987, 2595 log10(1 + f / 700)."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def mel_table(config: FrontEnd) -> BandTable:
    """Triangles equally spaced in mel, each with weights that sum to one.

    Where a triangle would be narrower than a bin, its flanks are widened to one bin, so that no band is empty.
    """
    edges_mel = np.linspace(mel(config.low_hz), mel(config.high_hz), config.bands + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bin_hz = config.sample_rate_hz / config.frame_samples
    bins = np.arange(config.frame_samples // 2 + 1) * bin_hz
    first: list[int] = []
    weights: list[NDArray[np.float64]] = []
    for j in range(config.bands):
        centre = edges[j + 1]
        below = max(centre - edges[j], bin_hz)
        above = max(edges[j + 2] - centre, bin_hz)
        triangle = np.minimum(1.0 - (centre - bins) / below, 1.0 - (bins - centre) / above)
        used = np.flatnonzero(triangle > 0.0)
        first.append(int(used[0]))
        weights.append(triangle[used[0] : used[-1] + 1] / triangle[used].sum())
    count = np.array([len(w) for w in weights], np.int32)
    return BandTable(
        first=np.array(first, np.int32),
        count=count,
        offset=np.cumsum(count, dtype=np.int32) - count,
        weight=np.concatenate(weights).astype(np.float32),
        centre_hz=edges[1:-1],
    )


@inlined
def band_energies(
    power: NDArray[np.float32],
    first: NDArray[np.int32],
    count: NDArray[np.int32],
    offset: NDArray[np.int32],
    weight: NDArray[np.float32],
    energy: NDArray[np.float32],
) -> None:
    """energy[j] = sum_i weight[j, i] * power[first[j] + i], summed from the lowest bin up.

    power: (frame / 2 + 1,) float32. energy: (bands,) float32, written.
    """
    for j in range(energy.shape[0]):
        total = f32(0.0)
        a = usize(first[j])
        w = usize(offset[j])
        for i in range(usize(count[j])):
            total += weight[w + i] * power[a + i]
        energy[j] = total


@inlined
def mean_energy(energy: NDArray[np.float32]) -> np.float32:
    """Mean over the bands, summed from the lowest band up. For white noise: its mean square."""
    total = f32(0.0)
    for j in range(energy.shape[0]):
        total += energy[j]
    return total / f32(energy.shape[0])


@inlined
def follow_level(envelope: np.float32, mean: np.float32, release: np.float32) -> np.float32:
    """The envelope that sets the gain: M' = max(M + s (P - M), P / 4).

    A rise of more than 6 dB over the smoothed level is followed at once (the second term), a fall with time constant
    `hop / s`. envelope, mean: power. release: s, 0..1. In silence it ends at 0, not at a denormal number, which some
    CPUs handle slowly: below 1e-30 nothing can be heard, the noise gate is at 1e-12 or more.
    Source: our own, after divisive normalisation (Schwartz and Simoncelli 2001) and broadband AGC.
    """
    level = max(envelope + release * (mean - envelope), f32(0.25) * mean)
    return level if level > f32(1e-30) else f32(0.0)


@inlined
def normalise(
    energy: NDArray[np.float32], envelope: np.float32, floor: np.float32, feature: NDArray[np.float32]
) -> None:
    """feature[j] = (energy[j] / max(envelope, floor)) ** (1 / 4), by two square roots.

    floor: power of the noise gate; below it the gain stays and quiet sound gives small features.
    """
    scale = max(envelope, floor)
    for j in range(energy.shape[0]):
        feature[j] = np.sqrt(np.sqrt(energy[j] / scale))
