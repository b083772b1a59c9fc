"""Networks of the zoo that hear a mel picture of one second (`models/zoo/windowed.py`) as subjects.

A picture is the network's own input in dB, so a gradient goes straight into it. What a filter says is its mean over the
picture, after the normalisation that follows it, before the rectifier. Knows modules and their outputs.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bands import mel
from models.dream.griffin_lim import between, sound_of
from models.dream.subject import DreamError, Layer
from models.zoo.spectra import BANDS, FRAME, FRAMES, RANGE_DB, STEP, WINDOW, mel_picture
from models.zoo.windowed import Windowed, viewed

LOW_HZ, HIGH_HZ = 50.0, 8_000.0  # of the bands


class Convolving:
    """See `Subject`."""

    rows: int | None = FRAMES
    bands = BANDS
    hop = STEP

    def __init__(self, trained: Windowed) -> None:
        """Raises DreamError for a network that takes anything but the mel picture."""
        taken = viewed(np.zeros((1, WINDOW), np.float32), trained.view)
        if [part.shape for part in taken] != [(1, FRAMES, BANDS)]:
            raise DreamError(f"this network takes {[part.shape[1:] for part in taken]}, not one mel picture alone")
        self.network = trained.network.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self._places: dict[str, nn.Module] = {}
        layers: dict[str, Layer] = {}
        modules = list(self.network.named_modules())
        for (name, module), (_, following) in zip(modules, [*modules[1:], ("", None)], strict=True):
            if isinstance(module, nn.Conv2d):
                self._places[name] = following if isinstance(following, nn.BatchNorm2d) else module
                layers[name] = Layer(module.out_channels, "filter", "mean output")
            elif isinstance(module, nn.Linear):
                self._places[name] = module
                layers[name] = Layer(module.out_features, "neuron", "output")
        if not layers:
            raise DreamError("this network has neither filters nor neurons that can be named")
        last = list(layers)[-1]
        if layers[last].units == len(trained.labels):
            layers["labels"] = Layer(layers[last].units, "neuron", "log-odds", trained.labels)
            del layers[last]
            self._places["labels"] = self._places.pop(last)
        self.layers: Mapping[str, Layer] = layers

    def hear(self, picture: Tensor) -> dict[str, Tensor]:
        told: dict[str, Tensor] = {}

        def keep(name: str) -> object:
            def hook(module: nn.Module, given: object, out: Tensor) -> None:
                told[name] = out[0].mean(dim=(1, 2)) if out.ndim == 4 else out[0]

            return hook

        hooks = [module.register_forward_hook(keep(name)) for name, module in self._places.items()]
        try:
            self.network((1.0 + (picture - picture.max()) / RANGE_DB).clamp(min=0.0)[None])
        finally:
            for hook in hooks:
                hook.remove()
        return told

    def heard(self, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        with torch.inference_mode():
            told = self.hear(torch.from_numpy(self.seen(samples)))
        return {name: units.numpy().astype(np.float64) for name, units in told.items()}

    def seen(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of the last second; silence before what is shorter."""
        second = np.zeros(WINDOW, np.float32)
        own = samples[-WINDOW:]
        second[WINDOW - len(own) :] = own
        return (mel_picture(second) - np.float32(1.0)) * np.float32(RANGE_DB)

    def sound(self, picture: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        low, high = mel(LOW_HZ), mel(HIGH_HZ)
        centres = np.linspace(low, high, BANDS + 2)[1:-1]  # of triangles, whose feet are the neighbours' centres
        power = 10.0 ** (picture.astype(np.float64) / 10.0) @ between(centres, FRAME, low, high).T
        return sound_of(np.sqrt(power), FRAME, STEP, seed)
