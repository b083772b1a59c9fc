"""Listener: an echoic memory of gammatone spectra, and an autoencoder whose code is an embedding of the moment.

    samples -> gammatone bands -> echoic memory: 8 rows, 1, 2, 4 ... 128 back -> encoder -> 250 numbers
        -> decoder -> the 8 rows again             what the code is learned by, without labels
        -> a small classifier -> 24 labels         on the finished code, which no longer changes

Encoder and decoder are each a linear map and an LSTM, added. The maps begin as the principal components of the views,
the LSTMs at nothing: they learn what a linear code of the same size leaves over.

Knows the network and what it says; `listener_training.py` teaches it. The bands and the memory are the engine's blocks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.echoic import EchoicMemory
from engine.gammatone import GammatoneEar, GammatoneFrontEnd
from models.zoo.data import Data
from models.zoo.system import Labeller, Run, Settings, System, Tensors
from models.zoo.training import count, put, tensors_of

HOP = 160  # of the bands
ROW_HOPS = 2  # an embedding, and a row of scores, each so many
AT_ONCE = 512  # moments


@dataclass(frozen=True, kw_only=True)
class ListenerSettings(Settings):
    bands: int = 100
    steps: int = 8  # back, in the echoic memory
    factor: float = 2.0  # by which they grow
    code: int = 250  # numbers that a moment is told in: 8 * 100 / 250 is a compression of 3.2
    hidden: int = 256  # of the classifier
    dropout: float = 0.3
    notes: int = 4_000  # for the autoencoder, up to 2.4 s each
    updates: int = 1_200  # of the autoencoder
    code_rate: float = 5e-4  # of them: faster ones first lose what the components know
    examples: int = 6_000  # seconds of sound for the classifier
    batch: int = 256
    rate: float = 2e-3  # of the classifier
    epochs: int = 30
    weight_decay: float = 0.02

    @property
    def compression(self) -> float:
        return self.steps * self.bands / self.code


class Autoencoder(nn.Module):
    """Sequence to sequence: nothing but the code goes from the one side to the other."""

    def __init__(self, settings: ListenerSettings) -> None:
        super().__init__()
        self.steps, self.bands = settings.steps, settings.bands
        self.inwards = nn.Linear(settings.steps * settings.bands, settings.code)
        self.encoder = nn.LSTM(settings.bands, settings.code, batch_first=True)
        self.encoded = nn.Linear(settings.code, settings.code, bias=False)
        self.outwards = nn.Linear(settings.code, settings.steps * settings.bands)
        self.decoder = nn.LSTM(settings.code, settings.code, batch_first=True)
        self.decoded = nn.Linear(settings.code, settings.bands, bias=False)

    @torch.no_grad()
    def begin(self, mean: Tensor, directions: Tensor) -> None:
        """As a linear code. mean: (steps * bands,). directions: (steps * bands, code), orthonormal."""
        self.inwards.weight.copy_(directions.T)
        self.inwards.bias.copy_(-(mean @ directions))
        self.outwards.weight.copy_(directions)
        self.outwards.bias.copy_(mean)
        nn.init.zeros_(self.encoded.weight)
        nn.init.zeros_(self.decoded.weight)

    def encode(self, views: Tensor) -> Tensor:
        """(batch, steps, bands) to (batch, code)."""
        _, (state, _) = self.encoder(views)
        code: Tensor = self.inwards(views.flatten(1)) + self.encoded(state[-1])
        return code

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """The views again, and their code."""
        code = self.encode(views)
        states, _ = self.decoder(code[:, None, :].expand(-1, self.steps, -1))
        linear = self.outwards(code).unflatten(1, (self.steps, self.bands))
        return linear + self.decoded(states), code


class Classifier(nn.Sequential):
    """(batch, code) to (batch, labels)."""

    def __init__(self, settings: ListenerSettings, labels: int) -> None:
        super().__init__(
            nn.BatchNorm1d(settings.code, affine=False),
            nn.Linear(settings.code, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, labels),
        )


class Listener(Labeller):
    """Both networks behind the engine's ear and memory; see `Labeller`."""

    hop_samples = ROW_HOPS * HOP

    def __init__(self, settings: ListenerSettings, labels: tuple[str, ...]) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.labels = settings, labels
        self.networks = nn.ModuleDict(
            {"autoencoder": Autoencoder(settings), "classifier": Classifier(settings, len(labels))}
        )
        self.autoencoder, self.classifier = self.networks["autoencoder"], self.networks["classifier"]
        self.ear = GammatoneEar(GammatoneFrontEnd(bands=settings.bands, hop_samples=HOP))
        self.memory = EchoicMemory(settings.bands, settings.steps, settings.factor)

    @property
    def parameters(self) -> int:
        return count(self.networks)

    def tensors(self) -> Tensors:
        return tensors_of(self.networks)

    def about(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}

    @property
    def operations_per_s(self) -> int:
        """Of encoder and classifier; the bands take 16 more for each band and sample."""
        encoder = self.settings.steps * _weights(self.autoencoder.encoder)
        rest = _weights(self.autoencoder.inwards, self.autoencoder.encoded, self.classifier)
        return (encoder + rest) * 16_000 // self.hop_samples

    def bands(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """samples: (n,) at 16 kHz. Returns the ear's rows, (n // HOP, bands), as of a stream that begins with them."""
        self.ear.reset()
        return self.ear.feed(samples)

    def views(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is in the memory after each ROW_HOPS hops: (n // hop_samples, steps, bands)."""
        self.memory.reset()
        return self.memory.feed(self.bands(samples))[ROW_HOPS - 1 :: ROW_HOPS]

    def embeddings(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The moment's code each 20 ms: (n // hop_samples, code)."""
        return self.code(self.views(samples))

    def code(self, views: NDArray[np.float32]) -> NDArray[np.float32]:
        return _in_parts(self.autoencoder.encode, views, (self.settings.code,))

    def decoded(self, views: NDArray[np.float32]) -> NDArray[np.float32]:
        """The views as they come back from their code."""
        return _in_parts(lambda part: self.autoencoder(part)[0], views, views.shape[1:])

    def scores(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.named(self.embeddings(samples))

    def named(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, code) to (n, labels)."""
        return _in_parts(lambda part: torch.softmax(self.classifier(part), dim=1), codes, (len(self.labels),))

    def further(self, data: Data, run: Run) -> dict[str, Any]:
        """How well the code tells what was in the memory, on the report part."""
        from models.zoo.reconstruction import reconstruction

        told = reconstruction(self, data.part("report"), data.part("train"))
        if "listener" not in told:
            return {"reconstruction": told}
        mine = told["listener"]
        ours = f"{mine['within_1_db']} % of the values within 1 dB; {mine['loudest_band']} % of the rows' loudest bands"
        what = f"its memory, from a code {told['compression']} times smaller"
        return {"reconstruction": told, "headline": [{"what": what, "ours": ours, "to_beat": "42 %"}]}


def _weights(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters() if p.ndim == 2)


def _in_parts(network: Any, rows: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    out = np.empty((len(rows), *shape), np.float32)
    with torch.inference_mode():
        for start in range(0, len(rows), AT_ONCE):
            part = torch.from_numpy(rows[start : start + AT_ONCE])
            out[start : start + AT_ONCE] = network(part).numpy()
    return out


def train(settings: ListenerSettings, data: Data, run: Run) -> Listener:
    from models.zoo.listener_training import taught

    return taught(settings, data, run)


def restore(settings: ListenerSettings, about: dict[str, Any], tensors: Tensors) -> Listener:
    listener = Listener(settings, tuple(about["labels"]))
    put(listener.networks, tensors)
    return listener


SYSTEM = System(
    "listener",
    "an echoic memory of gammatone spectra seen through growing steps, told by a sequence-to-sequence LSTM autoencoder",
    ListenerSettings,
    train,
    restore,
    notes="linear maps beside the LSTMs; the classifier sees the code alone, which was learned without labels",
)
