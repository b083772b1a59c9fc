"""A label system whose network hears one second at a time: windows in, a softmax out, a row each tenth of a second.

Knows networks and windows; the systems give the network and what it sees of a window.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.zoo.data import Data
from models.zoo.examples import WINDOW, Examples, drawn, heard
from models.zoo.system import Labeller, Run, Tensors
from models.zoo.training import Inputs, NetworkSettings, count, fit, multiplies, probabilities, put, taken, tensors_of

HOP = 1_600
View = Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]]  # a window (WINDOW,) -> what the network takes of it


class Windowed(Labeller):
    """The network with what it sees; see `Labeller`."""

    hop_samples = HOP

    def __init__(self, network: nn.Module, view: View, labels: tuple[str, ...]) -> None:
        self.network, self.view, self.labels = network, view, labels
        self.more: dict[str, Any] = {}  # what `about` tells besides the labels

    @property
    def parameters(self) -> int:
        return count(self.network)

    def tensors(self) -> Tensors:
        return tensors_of(self.network)

    def about(self) -> dict[str, Any]:
        return {"labels": list(self.labels), **self.more}

    def scores(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = len(samples) // HOP
        if rows == 0:
            return np.zeros((0, len(self.labels)), np.float32)
        padded = np.concatenate([np.zeros(WINDOW - HOP, np.float32), samples[: rows * HOP]])
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        return probabilities(self.network, viewed(windows, self.view))

    @property
    def operations_per_s(self) -> int:
        inputs = taken(viewed(np.zeros((1, WINDOW), np.float32), self.view), np.arange(1))
        return multiplies(self.network, inputs) * 16_000 // HOP


def viewed(windows: NDArray[Any], view: View) -> Inputs:
    """What the network takes of each window, stacked. int16 windows are scaled to full scale 1."""
    scale = np.float32(1 / 32768 if windows.dtype == np.int16 else 1)
    seen = [view(window.astype(np.float32) * scale) for window in windows]
    return tuple(np.stack(part) for part in zip(*seen, strict=True))


def examples_of(data: Data, settings: NetworkSettings) -> tuple[Examples, Examples]:
    """To learn from, and to stop early by; drawn once for equal settings."""

    def make() -> tuple[Examples, Examples]:
        training = drawn(data.part("train"), data.labels, settings.examples, settings.seed, data.plain)
        return training, heard(data.part("calibrate"), data.labels)

    return data.once(("examples", settings.examples, settings.seed), make)


def learned(network: nn.Module, view: View, settings: NetworkSettings, data: Data, run: Run, log: str = "") -> Windowed:
    """The network trained on the examples of `data`."""
    training, calibrate = examples_of(data, settings)
    run.report(f"{len(training)} windows to learn from, {len(calibrate)} to stop early by")
    fit(
        network,
        viewed(training.windows, view),
        training.answers,
        viewed(calibrate.windows, view),
        calibrate.answers,
        settings,
        run,
        log=log,
    )
    return Windowed(network, view, training.labels)


def restored(network: nn.Module, view: View, about: dict[str, Any], tensors: Tensors) -> Windowed:
    put(network, tensors)
    windowed = Windowed(network, view, tuple(about["labels"]))
    windowed.more = {name: value for name, value in about.items() if name != "labels"}
    return windowed
