"""The training loop: scenes in, folded network out; the same seed and data give the same weights.

Frame by frame each label's membrane, a log-odds, is pulled to the truth by binary cross-entropy; where one
instrument plays alone, cross-entropy over the labels also asks that it be the greatest. The last fifth trains on the
int8 grid. Knows banks and networks; nothing of files or thresholds.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.config import FrontEnd
from models.data.bank import Bank
from models.data.ontology import LABELS
from models.data.scenes import ANY, ON
from models.networks import SpikingNetwork

Report = Callable[[str], None]


# no lateral inhibition: it cost three points on libraries left out (docs/decisions.md)
FRONT_END = FrontEnd(fibre_gains=(0.5, 1.0, 2.0), inhibition=0.0, change_gain=4.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, besides the data."""

    front_end: FrontEnd = FRONT_END
    hidden: tuple[int, ...] = (256, 128)
    output_beta: float = 0.95
    scenes: int = 28_000
    score_share: float = 0.0  # of them that are bars of a real score
    stretch_share: float = 0.0  # of their notes that are stretched in time
    epochs: int = 9
    batch: int = 64
    rate: float = 5e-3  # AdamW's greatest step, reached after a tenth of the steps, then down a cosine to zero
    weight_decay: float = 0.01
    dropout: float = 0.1
    positive_weight: float = 5.0  # of an instrument that plays against one that does not
    choice_weight: float = 0.5  # of the cross-entropy over labels against the binary one
    rate_weight: float = 0.5  # of keeping each hidden layer's mean spike rate within RATE_RANGE
    clip_norm: float = 1.0
    grid_share: float = 0.2  # last part of the steps, trained on the int8 grid
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


RATE_RANGE = (0.01, 0.20)


def fit(bank: Bank, recipe: Recipe, report: Report = lambda line: None) -> SpikingNetwork:
    """Train on `bank`. Returns the network folded onto its grid, in evaluation mode. `report` is given a line an epoch.

    One torch thread: two made a step several times slower, and their sums depend on the machine.
    """
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    order = np.random.default_rng((recipe.seed, 1))
    network = SpikingNetwork(bank.fibres, recipe.hidden, len(LABELS), recipe.output_beta, recipe.dropout)
    per_epoch = len(bank) // recipe.batch
    if per_epoch == 0:
        raise ValueError(f"batch={recipe.batch} is more than the {len(bank)} scenes")
    steps = per_epoch * recipe.epochs
    fold_at = min(round(steps * (1.0 - recipe.grid_share)), steps - 1)
    optimiser = _optimiser(network, recipe)
    step = 0
    for epoch in range(recipe.epochs):
        total = 0.0
        for rows in order.permutation(len(bank))[: per_epoch * recipe.batch].reshape(per_epoch, recipe.batch):
            if step == fold_at:
                network.fold()
                network.dropout.p = 0.0
                optimiser = _optimiser(network, recipe)
            spikes, truth = bank.batch(rows)
            membranes, hidden = network(torch.from_numpy(spikes))
            loss = loss_of(membranes, torch.from_numpy(truth), recipe)
            loss = loss + recipe.rate_weight * _rate_penalty(hidden)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            rate = recipe.rate * schedule(step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
            optimiser.step()
            for layer in network.layers:
                layer.keep_beta_in_range()
            total += loss.item()
            step += 1
        report(f"epoch {epoch + 1}/{recipe.epochs}: loss {total / per_epoch:.4f}")
    return network.eval()


def loss_of(membranes: Tensor, truth: Tensor, recipe: Recipe) -> Tensor:
    """membranes: (time, batch, labels). truth: (time, batch, labels) uint8 of OFF, ON and ANY."""
    playing = (truth == ON).float()
    asked = (truth != ANY).float()
    weight = asked * (1.0 + (recipe.positive_weight - 1.0) * playing)
    binary = functional.binary_cross_entropy_with_logits(membranes, playing, weight, reduction="sum")
    binary = binary / asked.sum().clamp(min=1.0) * truth.shape[2] / 8.0
    alone = (playing.sum(dim=2) == 1.0) & (asked.sum(dim=2) == truth.shape[2])
    if not bool(alone.any()):
        return binary
    choice = functional.cross_entropy(membranes[alone], playing[alone].argmax(dim=1))
    return binary + recipe.choice_weight * choice


def schedule(progress: float) -> float:
    """Share of the greatest rate: linear to 1 over the first tenth, then a cosine to 0."""
    if progress < 0.1:
        return 0.05 + 0.95 * progress / 0.1
    return 0.5 * (1.0 + math.cos(math.pi * (progress - 0.1) / 0.9))


def _rate_penalty(hidden: list[Tensor]) -> Tensor:
    low, high = RATE_RANGE
    rates = torch.stack([spikes.mean() for spikes in hidden])
    return (functional.relu(low - rates) + functional.relu(rates - high)).sum()


def _optimiser(network: SpikingNetwork, recipe: Recipe) -> torch.optim.AdamW:
    """Weights decay; norms, biases and the neurons' betas do not, and betas move a tenth as fast."""
    weights, betas, others = [], [], []
    for name, parameter in network.named_parameters():
        if name.endswith("neuron.beta"):
            betas.append(parameter)
        elif name.endswith(".weight") and parameter.ndim == 2:
            weights.append(parameter)
        else:
            others.append(parameter)
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": recipe.weight_decay, "share": 1.0},
            {"params": others, "weight_decay": 0.0, "share": 1.0},
            {"params": betas, "weight_decay": 0.0, "share": 0.1},
        ],
        lr=recipe.rate,
    )
