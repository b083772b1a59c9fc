"""Kernels over the whole frequency range, no pooling over frequency: where on the axis a partial lies is never lost.

The fix that the authors of `mel-cnn` could only propose. Kernels of several lengths in time see all bands at once; what
they find is followed in time by further convolutions, and only time is pooled. Knows one network.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.zoo.data import Data
from models.zoo.mel_cnn import view
from models.zoo.spectra import BANDS
from models.zoo.system import Run, System, Tensors
from models.zoo.training import NetworkSettings
from models.zoo.windowed import Windowed, examples_of, learned, restored


@dataclass(frozen=True, kw_only=True)
class TallSettings(NetworkSettings):
    lengths: tuple[int, ...] = (1, 5, 15)  # of the kernels, in frames of 15 ms
    filters: int = 64  # of each length
    then: int = 128  # filters of the two convolutions over time that follow
    dropout: float = 0.4


class Tall(nn.Module):
    """(batch, FRAMES, BANDS) to (batch, labels). The bands are the channels of convolutions over time."""

    def __init__(self, labels: int, settings: TallSettings) -> None:
        super().__init__()
        self.tall = nn.ModuleList(
            nn.Conv2d(1, settings.filters, (length, BANDS), padding=(length // 2, 0), bias=False)
            for length in settings.lengths
        )
        found = settings.filters * len(settings.lengths)
        self.norm = nn.BatchNorm2d(found)
        self.then = nn.Sequential(
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(found, settings.then, (3, 1), padding=(1, 0), bias=False),
            nn.BatchNorm2d(settings.then),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(settings.then, settings.then, (3, 1), padding=(1, 0), bias=False),
            nn.BatchNorm2d(settings.then),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(2 * settings.then, labels)

    def forward(self, picture: Tensor) -> Tensor:
        found = torch.cat([kernel(picture[:, None]) for kernel in self.tall], dim=1)
        maps = self.then(torch.relu(self.norm(found))).flatten(2)
        out: Tensor = self.out(self.dropout(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)))
        return out


def network_of(settings: TallSettings, labels: int) -> Tall:
    torch.manual_seed(settings.seed)
    return Tall(labels, settings)


def train(settings: TallSettings, data: Data, run: Run) -> Windowed:
    labels = examples_of(data, settings)[0].labels
    return learned(network_of(settings, len(labels)), view, settings, data, run)


def restore(settings: TallSettings, about: dict[str, Any], tensors: Tensors) -> Windowed:
    return restored(network_of(settings, len(about["labels"])), view, about, tensors)


SYSTEM = System(
    "tall-kernel-cnn",
    "what the authors of mel-cnn proposed and did not build: kernels over the whole frequency range, as Pons and others"
    " argue for timbre (EUSIPCO 2017)",
    TallSettings,
    train,
    restore,
)
