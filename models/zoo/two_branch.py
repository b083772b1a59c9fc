"""A spectrogram through convolutions, 20 measured features through a perceptron, joined. Knows one network.

Three groups of two 3x3 convolutions with 32 filters, each group followed by a 3x3 pooling. The source's spectrogram is
560 x 256; here it is 31 x 80, mel bands of pairs of frames, so that two cores can train it: a fifty-eighth of the work.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.zoo.data import Data
from models.zoo.measures import NAMES, measures
from models.zoo.spectra import filters, power_frames, shaded
from models.zoo.system import Run, System, Tensors
from models.zoo.training import NetworkSettings, as_bytes
from models.zoo.windowed import Windowed, examples_of, learned, restored, viewed

FILTERS = 32
LIMIT = 5.0  # standard deviations beyond which a feature counts no more


@dataclass(frozen=True, kw_only=True)
class TwoBranchSettings(NetworkSettings):
    epochs: int = 8
    hidden: int = 64  # of the perceptron
    joined: int = 128
    dropout: float = 0.3


class TwoBranch(nn.Module):
    """(batch, frames, bands) and (batch, features) to (batch, labels)."""

    def __init__(self, labels: int, settings: TwoBranchSettings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for _ in range(3):
            for _ in range(2):
                layers += [nn.Conv2d(before, FILTERS, 3, padding=1, bias=False), nn.BatchNorm2d(FILTERS), nn.ReLU()]
                before = FILTERS
            layers.append(nn.MaxPool2d(3, ceil_mode=True))
        self.convolutions = nn.Sequential(*layers)
        self.register_buffer("mean", torch.zeros(len(NAMES)))
        self.register_buffer("deviation", torch.ones(len(NAMES)))
        self.perceptron = nn.Sequential(
            nn.Linear(len(NAMES), settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, settings.hidden), nn.ReLU()
        )
        with torch.inference_mode():
            self.convolutions.eval()
            size = self.convolutions(torch.zeros(1, 1, *PICTURE)).numel()
        self.join = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(size + settings.hidden, settings.joined),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.joined, labels),
        )

    def standardise(self, features: NDArray[np.float32]) -> None:
        """By what was measured of the training windows, (n, features)."""
        self.mean = torch.from_numpy(features.mean(axis=0))
        self.deviation = torch.from_numpy(features.std(axis=0) + np.float32(1e-6))

    def forward(self, picture: Tensor, features: Tensor) -> Tensor:
        maps = self.convolutions(picture[:, None]).flatten(1)
        standard = ((features - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        out: Tensor = self.join(torch.cat([maps, self.perceptron(standard)], dim=1))
        return out


PICTURE = (31, 80)


def view(window: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    power = power_frames(window)
    bands = np.asarray(power @ filters(), np.float32)[1:]
    return as_bytes(shaded(bands.reshape(PICTURE[0], 2, PICTURE[1]).mean(axis=1))), measures(window, power)


def network_of(settings: TwoBranchSettings, labels: int) -> TwoBranch:
    torch.manual_seed(settings.seed)
    return TwoBranch(labels, settings).to(memory_format=torch.channels_last)


def train(settings: TwoBranchSettings, data: Data, run: Run) -> Windowed:
    examples = examples_of(data, settings)[0]
    network = network_of(settings, len(examples.labels))
    network.standardise(viewed(examples.windows[:4_000], view)[1])
    return learned(network, view, settings, data, run)


def restore(settings: TwoBranchSettings, about: dict[str, Any], tensors: Tensors) -> Windowed:
    return restored(network_of(settings, len(about["labels"])), view, about, tensors)


SYSTEM = System(
    "two-branch",
    "a convolutional branch on the spectrogram beside a perceptron on 20 features of time and frequency, joined before"
    " the softmax",
    TwoBranchSettings,
    train,
    restore,
    notes="spectrogram of 31 x 80 instead of 560 x 256",
)
