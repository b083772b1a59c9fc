"""LSTM over frames: the mel spectrogram of a second, frame by frame, and the last state's answer. Knows one network.

Three views of a sound may go in, alone or joined: `spectrum`, `envelope` (how the level rises, falls, holds and fades:
four levels a frame) and `samples` (the frame's own waveform).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.zoo.data import Data
from models.zoo.spectra import BANDS, FRAMES, STEP, mel_picture, shaded
from models.zoo.system import Run, System, Tensors, ZooError
from models.zoo.training import NetworkSettings, as_bytes
from models.zoo.windowed import View, Windowed, examples_of, learned, restored

LEVELS = 4  # of a frame's newest samples
SIZES = {"spectrum": BANDS, "envelope": LEVELS, "samples": STEP}


@dataclass(frozen=True, kw_only=True)
class LstmSettings(NetworkSettings):
    views: tuple[str, ...] = ("spectrum", "envelope")
    cells: int = 160
    layers: int = 2
    dropout: float = 0.3


class Lstm(nn.Module):
    """(batch, FRAMES, features) to (batch, labels)."""

    def __init__(self, features: int, labels: int, settings: LstmSettings) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, settings.cells, settings.layers, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.out = nn.Linear(2 * settings.cells, labels)

    def forward(self, frames: Tensor) -> Tensor:
        states, _ = self.lstm(frames)
        both = torch.cat([states[:, -1], states.mean(dim=1)], dim=1)
        out: Tensor = self.out(self.dropout(both))
        return out


def view_of(settings: LstmSettings) -> View:
    """Raises ZooError for a view that is not there."""
    if wrong := [name for name in settings.views if name not in SIZES] or not settings.views:
        raise ZooError(f"lstm: views={wrong or '()'} is not one or more of {', '.join(SIZES)}")

    def view(window: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        parts = {"spectrum": mel_picture, "envelope": envelope, "samples": waveform}
        return (as_bytes(np.concatenate([parts[name](window) for name in settings.views], axis=1)),)

    return view


def _newest(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """(FRAMES, STEP): the samples that each frame is the first to see."""
    return window[-FRAMES * STEP :].reshape(FRAMES, STEP)


def envelope(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """(FRAMES, LEVELS) in dB below the loudest, 0 to 1."""
    return shaded(np.mean(np.square(_newest(window)).reshape(FRAMES, LEVELS, -1), axis=2))


def waveform(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """(FRAMES, STEP), 0 to 1: zero is a half, the window's peak is 0 or 1."""
    peak = float(np.abs(window).max(initial=0.0))
    return 0.5 + _newest(window) * np.float32(0.5 / max(peak, 1e-9))


def network_of(settings: LstmSettings, labels: int) -> Lstm:
    torch.manual_seed(settings.seed)
    return Lstm(sum(SIZES[name] for name in settings.views), labels, settings)


def train(settings: LstmSettings, data: Data, run: Run) -> Windowed:
    view = view_of(settings)
    labels = examples_of(data, settings)[0].labels
    return learned(network_of(settings, len(labels)), view, settings, data, run)


def restore(settings: LstmSettings, about: dict[str, Any], tensors: Tensors) -> Windowed:
    return restored(network_of(settings, len(about["labels"])), view_of(settings), about, tensors)


SYSTEM = System(
    "lstm",
    "recurrent classifiers of instrument notes over spectral frames; the three views are those of acoustics textbooks",
    LstmSettings,
    train,
    restore,
)
