"""A linear layer without bias that learns the DFT of random noise. Knows frames of samples; nothing of sound or labels.

The layer's n outputs are the independent numbers of the DFT of n real samples: the real parts of bins 0 to n/2, then
the imaginary parts of bins 1 to n/2 - 1. It is told those numbers for white noise and lowers the mean square of

    log(x @ W) - log(DFT(x))        log(y) = sign(y) * log(1 + |y|)

by gradient descent. The noise has the power 1 / n, so that the DFT's numbers are about 1: the logarithm is then nearly
straight, and all weights are learned equally fast whatever n.

Learned in double precision, used in single: `rounding_bound` says how far such a layer may then be from the DFT.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

STEP = 0.8  # of gradient descent, in frame lengths: the curvature is 1 / n for noise of power 1 / n
MOMENTUM = 0.3
FRAMES_EACH_STEP = 4  # in frame lengths
STEPS = 100
UNIT = 2.0**-24  # float32's rounding


def learn(frame_samples: int, seed: int, steps: int = STEPS) -> tuple[NDArray[np.float32], list[float]]:
    """The layer, (frame_samples, frame_samples) float32, and the loss of each step.

    Raises ValueError unless frame_samples is even and at least 4.
    """
    if frame_samples < 4 or frame_samples % 2:
        raise ValueError(f"frame_samples={frame_samples} is not even and at least 4")
    torch.set_num_threads(1)
    n = frame_samples
    generator = torch.Generator().manual_seed(seed)

    def noise(rows: int) -> Any:
        return torch.randn(rows, n, generator=generator, dtype=torch.float64)

    weight = torch.nn.Parameter(noise(n) * 0.1 / n**0.5)
    descent = torch.optim.SGD([weight], lr=STEP * n, momentum=MOMENTUM)
    losses = []
    for _ in range(steps):
        frames = noise(FRAMES_EACH_STEP * n) / n**0.5
        bins = torch.fft.rfft(frames)
        target = torch.cat([bins.real, bins.imag[:, 1:-1]], dim=1)
        loss = (_log(frames @ weight) - _log(target)).square().sum(dim=1).mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(float(loss.detach()) / n)
    return weight.detach().numpy().astype(np.float32), losses


def _log(x: Any) -> Any:
    return torch.sign(x) * torch.log1p(x.abs())


def dft(frames: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """What the layer is to say, by the FFT in double precision. frames: (any, n). Returns (any, n)."""
    bins = np.fft.rfft(frames.astype(np.float64))
    return np.concatenate([bins.real, bins.imag[:, 1:-1]], axis=1)


def rounding_bound(frames: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """How far single precision may carry the exact DFT layer from the DFT, for each frame. frames: (any, n).

    A weight rounded to float32 is off by at most UNIT, since no weight is above 1; a sum of n products, in any order,
    by n * UNIT / (1 - n * UNIT) of the sum of their magnitudes. Source: Higham, Accuracy and Stability of Numerical
    Algorithms, 3.1.
    """
    terms = frames.shape[1] + 1
    return terms * UNIT / (1.0 - terms * UNIT) * np.abs(frames.astype(np.float64)).sum(axis=1)
