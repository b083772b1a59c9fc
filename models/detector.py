"""The block of neurons that hears one added label, learned while the model around it stays as it is. Knows spikes.

    new hidden neuron:  reads all of the layer before, old neurons and the block's own
    output neuron:      reads the last hidden layer, old and new

The old neurons' spikes are computed once, by the engine's network, and only the block is stepped in training.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.weights import Model
from models.data.scenes import ANY, ON
from models.export import OUTPUT_SHIFT, layer_of
from models.graft import Block
from models.networks import SpikingLayer, fused
from models.others import unpacked
from models.train import optimiser_of, schedule


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides the block's weights, besides the sound."""

    width: int = 32  # new neurons in each hidden layer
    layers: int = 2  # how many of the last hidden layers get some
    scenes: int = 1000  # of the notes
    synthetic: int = 100  # scenes of noise, tones and clicks
    epochs: int = 8
    batch: int = 32
    rate: float = 5e-3
    weight_decay: float = 0.01
    positive_weight: float = 2.0
    grid_share: float = 0.25  # of the steps, the last ones, on the int8 grid
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Examples:
    """Scenes as the block sees them."""

    spikes: NDArray[np.uint8]  # (scenes, frames, bytes) cochlea, packed
    hidden: NDArray[np.uint8]  # (scenes, frames, bytes) all old neurons, layer after layer, packed
    truth: NDArray[np.uint8]  # (scenes, frames)


class Detector(nn.Module):
    def __init__(self, model: Model, plan: Plan) -> None:
        super().__init__()
        self.widths = [model.front_end.fibres, *(layer.weight.shape[1] for layer in model.layers)]  # old, per layer
        hidden = len(model.layers) - 1
        own = [plan.width if index >= hidden - plan.layers else 0 for index in range(hidden)]
        self.own = [0, *own, 1]
        self.output_shift = model.layers[-1].shift
        beta = float(np.median(model.layers[-1].beta))
        self.layers = nn.ModuleList(
            SpikingLayer(self.widths[i] + self.own[i], self.own[i + 1], beta if i == hidden else None)
            if self.own[i + 1]
            else nn.Identity()
            for i in range(hidden + 1)
        )

    def forward(self, old: Sequence[Tensor]) -> Tensor:
        """old: for each layer the spikes that it is given, (time, batch, width). Returns (time, batch) log-odds."""
        own: Tensor | None = None
        for layer, spikes in zip(self.layers, old, strict=True):
            if not isinstance(layer, SpikingLayer):
                continue
            spikes = spikes if own is None else torch.cat([spikes, own], dim=2)
            own, membranes = fused(layer.current(spikes), layer.neuron)
        return membranes[..., 0]

    def fold(self) -> None:
        for layer in self.layers:
            if isinstance(layer, SpikingLayer):
                layer.fold()
        # the old labels' grid: all of a layer share it
        self.layers[-1].shift = self.output_shift - OUTPUT_SHIFT

    def blocks(self) -> list[Block]:
        """What `graft.with_label` takes. Raises ValueError if it is not folded."""
        made = []
        for index, layer in enumerate(self.layers):
            if isinstance(layer, SpikingLayer):
                one = layer_of(layer)
                made.append(Block(one.weight, one.bias, one.shift, one.beta, one.threshold))
            else:
                nothing = np.zeros(0, np.float32)
                empty = np.zeros((self.widths[index], 0), np.int8)
                made.append(Block(empty, np.zeros(0, np.int32), 0, nothing, nothing))
        return made


def fit(
    model: Model, examples: Examples, rows: NDArray[np.int64], plan: Plan, step_done: Callable[[], None] = lambda: None
) -> Detector:
    """Learn from the scenes `rows`. Returns the folded block. One torch thread, as in `train.py`."""
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    order = np.random.default_rng((plan.seed, 2))
    detector = Detector(model, plan)
    fibres = model.front_end.fibres
    hidden_widths = detector.widths[1:-1]
    steps = steps_of(len(rows), plan)
    per_epoch = steps // plan.epochs
    fold_at = min(round(steps * (1.0 - plan.grid_share)), steps - 1)
    optimiser = optimiser_of(detector, plan.weight_decay, plan.rate)
    step = 0
    for _ in range(plan.epochs):
        shuffled = order.permutation(rows)[: per_epoch * plan.batch]
        for index in shuffled.reshape(per_epoch, -1) if per_epoch else []:
            if step == fold_at:
                detector.fold()
                optimiser = optimiser_of(detector, plan.weight_decay, plan.rate)
            cochlea = _time_first(unpacked(examples.spikes[index], fibres))
            old = _time_first(unpacked(examples.hidden[index], sum(hidden_widths)))
            membranes = detector([cochlea, *torch.split(old, hidden_widths, dim=2)])
            truth = torch.from_numpy(np.ascontiguousarray(examples.truth[index].T))
            loss = loss_of(membranes, truth, plan)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
            rate = plan.rate * schedule(step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
            optimiser.step()
            for layer in detector.layers:
                if isinstance(layer, SpikingLayer):
                    layer.keep_beta_in_range()
            step += 1
            step_done()
    return detector.eval()


def steps_of(scenes: int, plan: Plan) -> int:
    """Steps that `fit` takes. Raises ValueError where there are too few scenes for one."""
    if scenes < plan.batch:
        raise ValueError(f"batch={plan.batch} is more than the {scenes} scenes")
    return scenes // plan.batch * plan.epochs


def loss_of(membranes: Tensor, truth: Tensor, plan: Plan) -> Tensor:
    """Binary cross-entropy over the frames that count. membranes, truth: (time, batch)."""
    playing = (truth == ON).float()
    asked = (truth != ANY).float()
    weight = asked * (1.0 + (plan.positive_weight - 1.0) * playing)
    loss = functional.binary_cross_entropy_with_logits(membranes, playing, weight, reduction="sum")
    return loss / asked.sum().clamp(min=1.0)


def _time_first(bits: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits.transpose(1, 0, 2))).float()
