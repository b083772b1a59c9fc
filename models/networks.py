"""The network that learns: layers of `snntorch.Leaky`, from cochlea spikes to one membrane for each label.

    hidden:  I = (1 - beta) * BatchNorm(W s)          Leaky, reset by subtraction, beta learned for each neuron
    output:  I = OUTPUT_SCALE * (W s + b)             Leaky without reset: its membrane is the label's log-odds

`fold` turns the normalised layers into plain ones on an int8 grid that training then goes on with (quantisation-aware)
and that `export.py` writes as they are. Knows spikes; nothing of sound, labels or files.
"""

import itertools
import math
from collections.abc import Callable

import snntorch
import torch
from torch import Tensor, nn

from models.lif_scan import lif_scan

OUTPUT_SCALE = 2.0**-4  # a power of two, so that it moves into the grid exactly
SHORTEST_FRAMES, LONGEST_FRAMES = 2.0, 50.0  # time constants of hidden neurons, at the start and as limits
START_GAMMA = 5.0  # a hidden current's standard deviation, in thresholds, for a neuron without memory
WEIGHT_LIMIT = 127  # int8
SHIFTS = range(-8, 17)
VARIANTS = ("shared", "bank")

Step = Callable[[Tensor, snntorch.Leaky], tuple[Tensor, Tensor]]


def fused(current: Tensor, neuron: snntorch.Leaky) -> tuple[Tensor, Tensor]:
    """All frames in one numba call. current: (time, batch, neurons). Returns spikes and membranes."""
    return lif_scan(current, neuron.beta, float(neuron.threshold), neuron.reset_mechanism)


def by_snntorch(current: Tensor, neuron: snntorch.Leaky) -> tuple[Tensor, Tensor]:
    """Frame by frame through snntorch itself: the reference for `fused`."""
    v = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for frame in current:
        s, v = neuron(frame, v)
        spikes.append(s)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


def products_on(device: str) -> str:
    """The type that spikes and weights are multiplied in until they are on the grid, from then on float32: `bfloat16`
    on a CPU with instructions for it, which is four times as fast. A spike is exact in it."""
    return "bfloat16" if device == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16") else "float32"


def step_on(device: str) -> Step:
    """The numba loop is for CPUs; on any other device snntorch's own."""
    return fused if device == "cpu" else by_snntorch


class SpikingLayer(nn.Module):
    """Fully connected LIF layer. Before `fold` normalised and in float, after it on the grid of `2 ** -shift`."""

    def __init__(
        self,
        fan_in: int,
        width: int,
        output_beta: float | None = None,
        blocks: int = 1,
        rare: tuple[int, int] | None = None,
    ) -> None:
        """blocks: equal parts of inputs and neurons; a neuron hears only the inputs of its own part. rare: (first,
        every): inputs from `first` on spike in each `every`-th frame only, and cost nothing in the others."""
        super().__init__()
        self.rare = rare
        self.is_output = output_beta is not None
        self.weight = nn.Parameter(torch.randn(fan_in, width) / math.sqrt(fan_in // blocks))
        self.register_buffer("mask", block_mask(fan_in, width, blocks) if blocks > 1 else None, persistent=False)
        if self.mask is not None:
            self.weight.data *= self.mask
        self.bias = nn.Parameter(torch.zeros(width))
        if output_beta is None:
            frames = SHORTEST_FRAMES * (LONGEST_FRAMES / SHORTEST_FRAMES) ** torch.rand(width)
            self.norm: nn.BatchNorm1d | None = nn.BatchNorm1d(width, momentum=0.05)
            nn.init.constant_(self.norm.weight, START_GAMMA)
            self.neuron = snntorch.Leaky(beta=torch.exp(-1.0 / frames), learn_beta=True, reset_mechanism="subtract")
        else:
            self.norm = None
            beta = torch.full((width,), output_beta)
            self.neuron = snntorch.Leaky(beta=beta, learn_beta=False, reset_mechanism="none")
        self.shift: int | None = None
        self.coarse = False  # multiply in bfloat16 while learning in float

    def current(self, spikes: Tensor) -> Tensor:
        """(time, batch, fan in) to (time, batch, width)."""
        if self.shift is None:
            current = self._product(spikes, self._wired(self.weight))
            if self.norm is not None:
                current = self.norm(current.flatten(0, 1)).view_as(current)
            current = current + self.bias
        else:
            current = self._product(spikes, self.grid_weight()) + self.grid_bias()
        return current * (OUTPUT_SCALE if self.is_output else 1.0 - self.neuron.beta.clamp(0, 1))

    def _product(self, spikes: Tensor, weight: Tensor) -> Tensor:
        times = _coarsely if self.coarse and self.training and self.shift is None else torch.matmul
        if self.rare is None:
            return times(spikes, weight)
        first, every = self.rare
        product = times(spikes[:, :, :first], weight[:first])
        product[every - 1 :: every] += times(spikes[every - 1 :: every, :, first:], weight[first:])
        return product

    def fold(self, shift_decays: bool = False) -> None:
        """Move the normalisation into weight and bias and go on the grid that loses least.

        shift_decays: also move each beta to the nearest `1 - 2 ** -k`, where it stays.
        """
        if shift_decays:
            self.neuron.beta.data = nearest_shift_decay(self.neuron.beta.data)
            self.neuron.beta.requires_grad_(False)
        if self.norm is not None:
            gain = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            self.bias.data = (self.norm.bias - gain * self.norm.running_mean + self.bias).detach()
            self.weight.data = (self.weight * gain).detach()
            self.norm = None
        errors = {
            shift: float((_on_grid(self.weight.data, shift) - self.weight.data).square().sum()) for shift in SHIFTS
        }
        self.shift = min(errors, key=errors.__getitem__)

    def grid_weight(self) -> Tensor:
        """The weight on the grid; its gradient passes straight through."""
        assert self.shift is not None
        return self._wired(self.weight + (_on_grid(self.weight, self.shift) - self.weight).detach())

    def grid_bias(self) -> Tensor:
        assert self.shift is not None
        step = 2.0**-self.shift
        return self.bias + (torch.round(self.bias / step) * step - self.bias).detach()

    def _wired(self, weight: Tensor) -> Tensor:
        """Without what is not connected: that has no gradient either and stays zero."""
        return weight if self.mask is None else weight * self.mask

    def keep_beta_in_range(self) -> None:
        if not self.is_output and self.neuron.beta.requires_grad:
            self.neuron.beta.data.clamp_(math.exp(-1.0 / SHORTEST_FRAMES), math.exp(-1.0 / LONGEST_FRAMES))


class SpikingNetwork(nn.Module):
    """Cochlea spikes in, log-odds of every label out.

    variant: `shared` hidden layers, or `bank`, a small network for each label, all of them side by side in layers whose
    weights are block-diagonal. Both are the same to the engine.
    """

    def __init__(
        self,
        fibres: int,
        hidden: tuple[int, ...],
        labels: int,
        output_beta: float,
        dropout: float,
        variant: str = "shared",
        shift_decays: bool = False,
        rare: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r} is not one of {', '.join(VARIANTS)}")
        if variant == "bank" and (wrong := [width for width in hidden if width % labels]):
            raise ValueError(f"hidden={wrong[0]} is not a multiple of the {labels} labels of a bank")
        blocks = labels if variant == "bank" else 1
        widths = (fibres, *hidden)
        layers = [
            SpikingLayer(a, b, blocks=blocks if i else 1, rare=None if i else rare)
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        ]
        self.layers = nn.ModuleList([*layers, SpikingLayer(widths[-1], labels, output_beta, blocks)])
        self.dropout = nn.Dropout(dropout)
        self.shift_decays = shift_decays

    @property
    def folded(self) -> bool:
        return self.layers[0].shift is not None

    def forward(self, spikes: Tensor, step: Step = fused) -> tuple[Tensor, list[Tensor]]:
        """spikes: (time, batch, fibres) of 0 and 1. Returns the labels' membranes and the hidden layers' spikes."""
        hidden = []
        membranes = spikes
        for layer in self.layers:
            spikes, membranes = step(layer.current(spikes), layer.neuron)
            if not layer.is_output:
                hidden.append(spikes)
                spikes = spikes * self.dropout(torch.ones_like(spikes[:1]))  # a neuron is missing for a whole scene
        return membranes, hidden

    def fold(self) -> None:
        for layer in self.layers:
            layer.fold(self.shift_decays)


def block_mask(fan_in: int, width: int, blocks: int) -> Tensor:
    """(fan in, width) of 1 where input and neuron are of one block, else 0."""
    own = torch.arange(fan_in)[:, None] // (fan_in // blocks) == torch.arange(width)[None, :] // (width // blocks)
    return own.float()


def nearest_shift_decay(beta: Tensor) -> Tensor:
    """The `1 - 2 ** -k`, k = 1 to 8, whose time constant is nearest by ratio."""
    decays = 1.0 - 2.0 ** -torch.arange(1, 9, dtype=beta.dtype, device=beta.device)
    frames = torch.log(-torch.log(beta.clamp(1e-6, 1 - 1e-6)))
    return decays[(frames[:, None] - torch.log(-torch.log(decays))).abs().argmin(dim=1)]


def _coarsely(spikes: Tensor, weight: Tensor) -> Tensor:
    return (spikes.bfloat16() @ weight.bfloat16()).float()


def _on_grid(weight: Tensor, shift: int) -> Tensor:
    step = 2.0**-shift
    return torch.clamp(torch.round(weight / step), -WEIGHT_LIMIT, WEIGHT_LIMIT) * step
