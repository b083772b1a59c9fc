"""A VGG-like network on mel spectrograms of one second, its sizes found by a search. Knows one network.

Groups of 3x3 convolutions, each group followed by a pooling by two in time and frequency and with twice the filters of
the one before; then means and maxima over what is left. Kept small, for two cores: `greatest_operations`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.zoo.data import Data
from models.zoo.search import Choice, searched
from models.zoo.spectra import BANDS, FRAMES, mel_picture
from models.zoo.system import Run, System, Tensors
from models.zoo.training import NetworkSettings, as_bytes, multiplies
from models.zoo.windowed import Windowed, examples_of, learned, restored


@dataclass(frozen=True, kw_only=True)
class MelCnnSettings(NetworkSettings):
    groups: int = 4
    convolutions: int = 1  # in a group
    filters: int = 16  # of the first group
    dropout: float = 0.3
    epochs: int = 8
    trials: int = 24  # of the search; 0: the sizes above are taken as they are
    trial_examples: int = 4_000
    trial_epochs: int = 4
    greatest_operations: int = 20_000_000  # multiply-accumulates of one window; larger trials are not trained


CHOICES = {
    "groups": Choice((3, 4)),
    "convolutions": Choice((1, 2)),
    "filters": Choice((8, 12, 16, 24, 32)),
    "dropout": Choice(low=0.0, high=0.5),
    "rate": Choice(low=5e-4, high=8e-3, log=True),
}


class Vgg(nn.Module):
    """(batch, FRAMES, BANDS) to (batch, labels)."""

    def __init__(self, labels: int, settings: MelCnnSettings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for group in range(settings.groups):
            filters = settings.filters * 2**group
            for _ in range(settings.convolutions):
                layers += [nn.Conv2d(before, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
                before = filters
            layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(2 * before, labels)

    def forward(self, picture: Tensor) -> Tensor:
        maps = self.convolutions(picture[:, None]).flatten(2)
        out: Tensor = self.out(self.dropout(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)))
        return out


def view(window: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    return (as_bytes(mel_picture(window)),)


def network_of(settings: MelCnnSettings, labels: int) -> Vgg:
    torch.manual_seed(settings.seed)
    return Vgg(labels, settings).to(memory_format=torch.channels_last)


def train(settings: MelCnnSettings, data: Data, run: Run) -> Windowed:
    chosen = settings
    trials: list[dict[str, Any]] = []
    if settings.trials:
        chosen, trials = searched(settings, CHOICES, network_of, view, data, run, too_large)
    labels = examples_of(data, chosen)[0].labels
    sizes = {name: getattr(chosen, name) for name in CHOICES}
    trained = learned(network_of(chosen, len(labels)), view, chosen, data, run)
    trained.more = {"chosen": sizes, "trials": trials}
    return trained


def restore(settings: MelCnnSettings, about: dict[str, Any], tensors: Tensors) -> Windowed:
    chosen = replace(settings, **about["chosen"])
    return restored(network_of(chosen, len(about["labels"])), view, about, tensors)


def too_large(settings: MelCnnSettings) -> bool:
    operations = multiplies(network_of(settings, 1), [torch.zeros(1, FRAMES, BANDS)])
    return operations > settings.greatest_operations


SYSTEM = System(
    "mel-cnn",
    "a VGG-like network on mel spectrograms of one second with searched sizes, as student projects on NSynth and the"
    " Philharmonia's samples describe it (80.5 % on both, 94.9 % on the Philharmonia's alone)",
    MelCnnSettings,
    train,
    restore,
    notes="sizes searched within 20 million operations a window",
)
