"""Gradient ascent on a picture of sound: changed a little, again and again, where that excites a unit or a layer most.

Octaves: the change is drawn coarsely first, over many rows and bands at once, then finer, each on top of the last.
Jitter: each step hears the picture moved by a random few rows and bands, so that what excites it is not one exact spot.
Source: Mordvintsev, Olah and Tyka 2015, "Inceptionism: going deeper into neural networks"; Olah, Mordvintsev and
Schubert 2017, "Feature visualization". Knows pictures and subjects; nothing of files.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.dream.subject import LOUDEST_DB, QUIETEST_DB, Subject

START_DB, START_SPREAD_DB = -30.0, 6.0  # of the noise that a dream begins with
SMALLEST = 4  # rows and bands of the coarsest octave, at least


@dataclass(frozen=True, kw_only=True)
class Dream:
    """How to climb."""

    steps: int = 60  # in each octave
    rate_db: float = 0.5  # mean change of a picture's points in one step
    octaves: int = 3
    scale: float = 2.0  # from octave to octave
    jitter: int = 2  # rows, and half as many bands
    seed: int = 1


def start(rows: int, bands: int, seed: int) -> NDArray[np.float32]:
    """The picture of noise, (rows, bands)."""
    noise = np.random.default_rng(seed).standard_normal((rows, bands))
    return np.asarray(START_DB + START_SPREAD_DB * noise, np.float32)


def activation(subject: Subject, picture: Tensor, layer: str, unit: int | None) -> Tensor:
    """Of a unit, or, without one, the layer's mean."""
    units = subject.hear(picture)[layer]
    return units.mean() if unit is None else units[unit]


def ascend(
    subject: Subject,
    picture: NDArray[np.float32],
    layer: str,
    unit: int | None,
    dream: Dream,
    stepped: Callable[[float], None] = lambda reached: None,
) -> NDArray[np.float32]:
    """The picture that excites more. `stepped` is told the activation before each step."""
    random = np.random.default_rng((dream.seed, 7))
    below = torch.from_numpy(np.array(picture, np.float32))
    for octave in range(dream.octaves - 1, -1, -1):
        size = [max(SMALLEST, round(n / dream.scale**octave)) for n in below.shape]
        change = torch.zeros(size, requires_grad=True)
        for _ in range(dream.steps):
            whole = (below + enlarged(change, below)).clamp(QUIETEST_DB, LOUDEST_DB)
            reached = activation(subject, moved(whole, dream.jitter, random), layer, unit)
            (slope,) = torch.autograd.grad(reached, change)
            stepped(float(reached.detach()))
            with torch.no_grad():
                change += dream.rate_db * slope / (slope.abs().mean() + 1e-12)
        below = (below + enlarged(change, below)).clamp(QUIETEST_DB, LOUDEST_DB).detach()
    return np.asarray(below.numpy())


def enlarged(change: Tensor, picture: Tensor) -> Tensor:
    """To the picture's size, points between points on straight lines."""
    if change.shape == picture.shape:
        return change
    return functional.interpolate(change[None, None], size=list(picture.shape), mode="bilinear", align_corners=False)[
        0, 0
    ]


def moved(picture: Tensor, jitter: int, random: np.random.Generator) -> Tensor:
    """By up to `jitter` rows and half as many bands, either way; the edges are repeated."""
    if jitter == 0:
        return picture
    rows, bands = picture.shape
    at = int(random.integers(2 * jitter + 1))
    band = int(random.integers(2 * (jitter // 2) + 1))
    wide = functional.pad(picture[None, None], [jitter // 2, jitter // 2, jitter, jitter], mode="replicate")[0, 0]
    return wide[at : at + rows, band : band + bands]
