"""What can dream: a network that hears a picture of sound, with gradients, and sound itself, as it is served.

A picture is a spectrogram in dB, (rows, bands), a row each `hop` samples. Knows no network; `spiking.py` and
`convolving.py` are the two kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

RATE_HZ = 16_000
QUIETEST_DB, LOUDEST_DB = -80.0, 0.0  # of a picture


class DreamError(ValueError):
    """A sentence about what cannot be dreamt of: a model, a layer, a neuron."""


@dataclass(frozen=True)
class Layer:
    """units: how many neurons or filters. unit: what one is called. of: what its activation is measured in."""

    units: int
    unit: str
    of: str
    names: tuple[str, ...] = ()  # of the units, where they have any


class Subject(Protocol):
    rows: int | None  # that a picture must have; None: any
    bands: int
    hop: int  # samples from row to row
    layers: Mapping[str, Layer]

    def hear(self, picture: Tensor) -> dict[str, Tensor]:
        """Of each layer, each unit's mean activation over the picture, (units,), with gradients."""

    def heard(self, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """The same for sound at 16 kHz, through the very code that serves."""

    def seen(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The picture of a sound."""

    def sound(self, picture: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        """A sound at 16 kHz whose picture is as near as can be, by Griffin-Lim; its level may be another."""


def find(subject: Subject, layer: str, unit: str | None) -> tuple[str, int | None]:
    """A layer's name and a unit's number as they were meant. Raises DreamError, telling what there is."""
    if layer not in subject.layers:
        told = ", ".join(f"{name} ({each.units} {each.unit}s)" for name, each in subject.layers.items())
        raise DreamError(f"--layer {layer!r} is not one of {told}")
    if unit is None:
        return layer, None
    which = subject.layers[layer]
    if unit in which.names:
        return layer, which.names.index(unit)
    if not unit.isdigit() or int(unit) >= which.units:
        names = f" or {', '.join(which.names)}" if which.names else ""
        raise DreamError(f"{which.unit} {unit!r} of {layer} is not one of 0..{which.units - 1}{names}")
    return layer, int(unit)
