"""Features to spikes: lateral inhibition, then one LIF neuron for each band and fibre gain, which learns nothing.

Knows hearing and bands; nothing of instruments. The auditory nerve carries a band in fibres of high, medium and low
sensitivity (Liberman 1978); `fibre_gains` are theirs. The drive is analogue, the output is binary.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined

f32 = np.float32
usize = nb.uintp

FAINTEST_DRIVE = 0.15  # scaled drive of the faintest audible 800 Hz tone in one step of 2 ms
REACTION_S = 0.064  # within which such a tone must cause a spike
STEP_S = 0.002


def derived_beta(hop_s: float) -> float:
    """Decay of a cochlea neuron in one hop of `hop_s` seconds, derived from hearing.

    A constant drive I charges the neuron to `I (beta ** n - 1) / (beta - 1)` in n steps. The faintest audible tone
    must reach the threshold 1 within 64 ms, that is in 32 steps of 2 ms: `1 = 0.15 (b ** 32 - 1) / (b - 1)`, solved
    by bisection (b = 0.850854). The membrane's time constant does not depend on the step, so in one hop it decays by
    `b ** (hop / 2 ms)`: 0.446 for 10 ms.
    """
    steps = round(REACTION_S / STEP_S)
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(200):
        middle = 0.5 * (low + high)
        reached = FAINTEST_DRIVE * (1.0 - middle**steps) / (1.0 - middle)
        low, high = (middle, high) if reached < 1.0 else (low, middle)
    return float((0.5 * (low + high)) ** (hop_s / STEP_S))


def inhibition_kernel(strength: float, reach: int) -> NDArray[np.float32]:
    """Weights of the neighbours at distances 1..reach, (reach,) float32, negative, halving with distance.

    Both sides together sum to `-strength`: a flat spectrum is turned down by `1 - strength`, a lone peak not at all.
    """
    decay = 0.5 ** np.arange(reach)
    return (-0.5 * strength * decay / decay.sum()).astype(np.float32)


@inlined
def inhibit(
    feature: NDArray[np.float32], flank: NDArray[np.float32], padded: NDArray[np.float32], drive: NDArray[np.float32]
) -> None:
    """drive[j] = max(0, feature[j] + sum_d flank[d - 1] * (feature[j - d] + feature[j + d])).

    A neighbour beyond the edge counts as the edge band, so that edges are inhibited like the rest.
    feature, drive: (bands,) float32. flank: (reach,) float32 of `inhibition_kernel`. padded: (bands + 2 reach,),
    scratch.
    """
    bands, reach = usize(feature.shape[0]), usize(flank.shape[0])
    for j in range(reach):
        padded[j] = feature[0]
        padded[bands + reach + j] = feature[bands - usize(1)]
    for j in range(bands):
        padded[reach + j] = feature[j]
    for j in range(bands):
        total = padded[reach + j]
        for d in range(usize(1), reach + usize(1)):
            total += flank[d - usize(1)] * (padded[reach + j - d] + padded[reach + j + d])
        drive[j] = total if total > f32(0.0) else f32(0.0)


@inlined
def change(feature: NDArray[np.float32], before: NDArray[np.float32], rise: NDArray[np.float32]) -> None:
    """rise[j] = feature[j] - before[j], then before = feature: how each band changed since the last frame.

    All (bands,) float32. The cochlear nucleus has cells for onsets (Rhode and Smith 1986) and for the ends of sounds.
    """
    for j in range(feature.shape[0]):
        rise[j] = feature[j] - before[j]
        before[j] = feature[j]


@inlined
def fire(
    drive: NDArray[np.float32],
    gains: NDArray[np.float32],
    rise: NDArray[np.float32],
    change_gain: np.float32,
    beta: np.float32,
    v: NDArray[np.float32],
    spikes: NDArray[np.uint8],
    first: int,
) -> None:
    """One step of the cochlea's LIF layer: snntorch's Leaky, threshold 1, reset to zero one step late.

    v' = beta * (0 if v > 1 else v) + gain * drive; spike where v' > 1.
    drive, rise: (bands,) float32. gains: (fibre gains,) float32. change_gain: with 0 there are no fibres for `rise`,
    else a row for max(0, rise) and one for max(0, -rise). v: (fibres,) float32, updated. spikes: the same shape,
    uint8, written. first: index of the first of these neurons in both.
    Source: snntorch.Leaky (since 0.8) with reset_mechanism="zero".
    """
    bands = drive.shape[0]
    for f in range(gains.shape[0]):
        for j in range(bands):
            _integrate(gains[f] * drive[j], beta, v, spikes, first + f * bands + j)
    if change_gain > f32(0.0):
        row = first + gains.shape[0] * bands
        for j in range(bands):
            _integrate(change_gain * max(rise[j], f32(0.0)), beta, v, spikes, row + j)
            _integrate(change_gain * max(-rise[j], f32(0.0)), beta, v, spikes, row + bands + j)


@inlined
def _integrate(
    current: np.float32, beta: np.float32, v: NDArray[np.float32], spikes: NDArray[np.uint8], n: int
) -> None:
    kept = f32(0.0) if v[n] > f32(1.0) else v[n]
    v[n] = beta * kept + current
    spikes[n] = v[n] > f32(1.0)
