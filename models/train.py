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
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.config import FrontEnd
from models.data.bank import Bank, Banks
from models.data.ontology import LABELS
from models.data.scenes import ANY, ON
from models.networks import SpikingNetwork, products_on, step_on

Report = Callable[[str], None]


# no lateral inhibition: it cost three points on libraries left out (docs/decisions.md)
FRONT_END = FrontEnd(
    fibre_gains=(0.25, 0.5, 1.0, 2.0, 4.0),
    inhibition=0.0,
    change_gain=4.0,
    fine_samples=2048,
    fine_hops=4,
    fine_bands=128,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, besides the data."""

    front_end: FrontEnd = FRONT_END
    hidden: tuple[int, ...] = (512, 256)
    variant: str = "shared"  # hidden layers of all labels together; or bank: a network for each label, side by side
    shift_decays: bool = False  # betas of the form 1 - 2 ** -k, for chips that decay by shifting
    output_beta: float = 0.95
    scenes: int = 28_000  # in an epoch
    banks: int = 10  # sets of so many scenes that epochs take in turn: more scenes without more memory
    score_share: float = 0.0  # of them that are bars of a real score
    stretch_share: float = 0.0  # of their notes that are stretched in time
    epochs: int = 20
    batch: int = 64
    rate: float = 5e-3  # AdamW's greatest step, reached after a tenth of the steps, then down a cosine to zero
    weight_decay: float = 0.01
    dropout: float = 0.15  # share of hidden neurons that are missing from a scene
    positive_weight: float = 5.0  # of an instrument that plays against one that does not
    choice_weight: float = 0.5  # of the cross-entropy over labels against the binary one
    rate_weight: float = 0.5  # of keeping each hidden layer's mean spike rate within RATE_RANGE
    clip_norm: float = 1.0
    grid_share: float = 0.2  # last part of the steps, trained on the int8 grid
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


RATE_RANGE = (0.01, 0.20)


class Training:
    """Where a run stands: all that a step changes. What `state` gives, `restore` takes, and training goes on as if it
    had never stopped."""

    def __init__(self, network: SpikingNetwork, recipe: Recipe) -> None:
        self.network = network
        self.recipe = recipe
        self.optimiser = optimiser_of(network, recipe.weight_decay, recipe.rate)
        self.step = 0  # steps done
        self.sums: dict[str, float] = {}  # of what each step told, since the epoch's start

    def fold(self) -> None:
        self.network.fold()
        self.network.dropout.p = 0.0
        self.optimiser = optimiser_of(self.network, self.recipe.weight_decay, self.recipe.rate)

    def add(self, told: dict[str, float]) -> None:
        for name, value in {**told, "steps": 1.0}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Of what was added since this was last asked."""
        count = self.sums.pop("steps")
        means = {name: value / count for name, value in self.sums.items()}
        self.sums = {}
        return means

    def state(self) -> dict[str, Any]:
        """The order of the scenes is not in it: it follows from the seed."""
        return {
            "network": self.network.state_dict(),
            "shifts": [layer.shift for layer in self.network.layers],
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "sums": dict(self.sums),
        }

    def restore(self, state: dict[str, Any]) -> None:
        if state["shifts"][0] is not None and not self.network.folded:
            self.fold()
        self.network.load_state_dict(state["network"])
        for layer, shift in zip(self.network.layers, state["shifts"], strict=True):
            layer.shift = shift
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]
        self.sums = dict(state["sums"])


class Watch:
    """Is told how training goes, and may look on, write it down, or end a part of it early. This one does nothing."""

    def begun(self, training: Training) -> None:
        """Before the first step; may `restore` an earlier state."""

    def stepped(self, training: Training, told: dict[str, float]) -> None:
        """After each step. told: loss, its parts, spike rates, learning rate, gradient norm."""

    def epoch_ended(self, training: Training, epoch: int, means: dict[str, float]) -> bool:
        """True: this part of the schedule, in float or on the grid, has given what it can."""
        return False

    def settled(self, training: Training) -> None:
        """After each step and what followed from it: a moment from which `state` goes on."""

    def ended(self, training: Training) -> None:
        """After the last step."""


def fit(
    banks: Bank | Banks,
    recipe: Recipe,
    report: Report = lambda line: None,
    watch: Watch | None = None,
    device: str = "cpu",
) -> SpikingNetwork:
    """Train on a bank, or on several in turn. Returns the network folded onto its grid, in evaluation mode. `report` is
    given a line an epoch.

    One torch thread: two made a step several times slower, and their sums depend on the machine.
    """
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    watch = watch or Watch()
    network = network_of(recipe, banks.fibres).to(device)
    for layer in network.layers:
        layer.coarse = products_on(device) == "bfloat16"
    per_epoch = len(banks) // recipe.batch
    if per_epoch == 0:
        raise ValueError(f"batch={recipe.batch} is more than the {len(banks)} scenes")
    steps = per_epoch * recipe.epochs
    fold_at = min(round(steps * (1.0 - recipe.grid_share)), steps - 1)
    training = Training(network, recipe)
    watch.begun(training)
    while training.step < steps:
        epoch, done = divmod(training.step, per_epoch)
        bank = banks.of(epoch)
        order = _order(recipe.seed, epoch, len(bank))[: per_epoch * recipe.batch].reshape(per_epoch, recipe.batch)
        for index in range(done, per_epoch):
            if training.step == fold_at:
                training.fold()
            told = _step(training, bank, order[index], schedule(training.step / steps), device)
            training.step += 1
            training.add(told)
            watch.stepped(training, told)
            if index == per_epoch - 1:
                means = training.means()
                report(f"epoch {epoch + 1}/{recipe.epochs}: loss {means['loss']:.4f}")
                if watch.epoch_ended(training, epoch, means):
                    training.step = steps if network.folded else fold_at
            watch.settled(training)
    watch.ended(training)
    return network.cpu().eval()


def network_of(recipe: Recipe, fibres: int) -> SpikingNetwork:
    """Untrained."""
    fine = recipe.front_end.fine
    return SpikingNetwork(
        fibres,
        recipe.hidden,
        len(LABELS),
        recipe.output_beta,
        recipe.dropout,
        variant=recipe.variant,
        shift_decays=recipe.shift_decays,
        rare=(fibres - fine.fibres, recipe.front_end.fine_hops) if fine else None,
    )


def _order(seed: int, epoch: int, scenes: int) -> NDArray[np.int64]:
    """The scenes of an epoch, drawn anew from the first epoch on, so that a run which goes on needs nothing but its
    number."""
    random = np.random.default_rng((seed, 1))
    for _ in range(epoch):
        random.permutation(scenes)
    return random.permutation(scenes)


def _step(training: Training, bank: Bank, rows: NDArray[np.int64], share: float, device: str) -> dict[str, float]:
    network, recipe, optimiser = training.network, training.recipe, training.optimiser
    spikes, truth = bank.batch(rows)
    membranes, hidden = network(torch.from_numpy(spikes).to(device), step_on(device))
    parts: dict[str, Tensor] = {}
    loss = loss_of(membranes, torch.from_numpy(truth).to(device), recipe, parts)
    parts["rate_penalty"] = _rate_penalty(hidden)
    loss = loss + recipe.rate_weight * parts["rate_penalty"]
    optimiser.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
    rate = recipe.rate * share
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
    optimiser.step()
    for layer in network.layers:
        layer.keep_beta_in_range()
    told = {"loss": loss.item()}
    told |= {f"loss_{name}": part.item() for name, part in parts.items()}
    told |= {f"spike_rate_{index}": spikes.detach().mean().item() for index, spikes in enumerate(hidden)}
    return told | {"gradient_norm": norm.item(), "learning_rate": rate}


def loss_of(membranes: Tensor, truth: Tensor, recipe: Recipe, parts: dict[str, Tensor] | None = None) -> Tensor:
    """membranes: (time, batch, labels). truth: (time, batch, labels) uint8 of OFF, ON and ANY.

    `parts` is given the loss's parts by name, unweighted.
    """
    parts = {} if parts is None else parts
    playing = (truth == ON).float()
    asked = (truth != ANY).float()
    weight = asked * (1.0 + (recipe.positive_weight - 1.0) * playing)
    binary = functional.binary_cross_entropy_with_logits(membranes, playing, weight, reduction="sum")
    binary = binary / asked.sum().clamp(min=1.0) * truth.shape[2] / 8.0
    parts["binary"] = binary
    alone = (playing.sum(dim=2) == 1.0) & (asked.sum(dim=2) == truth.shape[2])
    if not bool(alone.any()):
        return binary
    choice = functional.cross_entropy(membranes[alone], playing[alone].argmax(dim=1))
    parts["choice"] = choice
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


def optimiser_of(network: torch.nn.Module, weight_decay: float, rate: float) -> torch.optim.AdamW:
    """Weights decay; norms, biases and the neurons' betas do not, and betas move a tenth as fast."""
    weights, betas, others = [], [], []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith("neuron.beta"):
            betas.append(parameter)
        elif name.endswith(".weight") and parameter.ndim == 2:
            weights.append(parameter)
        else:
            others.append(parameter)
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": weight_decay, "share": 1.0},
            {"params": others, "weight_decay": 0.0, "share": 1.0},
            {"params": betas, "weight_decay": 0.0, "share": 0.1},
        ],
        lr=rate,
    )
