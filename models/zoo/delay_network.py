"""A small spiking network that hears its past: each synapse has a delay, and which delays count is learned.

    hidden:  I[t] = sum_c sum_d W[c, d] s_c[t - d] + b        LIF, reset by subtraction, decay learned
    output:  I[t] = (1 - beta) * (V h[t] + a)                 LIF without reset: found while its membrane is above 0

A hidden neuron fires when the spikes of a pattern arrive together, each held back by its own delay; that is the same at
any phase. The output neuron holds what was found until the next period confirms it. Knows spike trains; nothing of
where they come from. `forward` hears whole trains to learn, `Stream` one step at a time, with the same spikes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.lif_scan import lif_scan

SLOWEST = 0.995  # an output neuron's decay at most: a memory of 2 s at 10 ms a step


class DelayNetwork(nn.Module):
    def __init__(self, channels: int, delays: int, hidden: int, outputs: int, output_beta: float) -> None:
        """delays: of 0 to delays - 1 steps, at each synapse."""
        super().__init__()
        self.channels, self.delays = channels, delays
        self.taps = nn.Parameter(torch.randn(channels * delays, hidden) * 0.1 + 0.1)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.beta = nn.Parameter(torch.full((hidden,), 0.3))
        self.out = nn.Linear(hidden, outputs)
        self.out_beta = nn.Parameter(torch.full((outputs,), output_beta))

    def forward(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """spikes: (time, batch, channels) of 0 and 1. Returns the outputs' membranes, (time, batch, outputs), and the
        hidden spikes."""
        hidden, _ = lif_scan(self.delayed(spikes) @ self.taps + self.bias, self.beta)
        beta = self.out_beta.clamp(0.0, SLOWEST)
        _, membranes = lif_scan((1.0 - beta) * self.out(hidden), beta, reset="none")
        return membranes, hidden

    def delayed(self, spikes: Tensor) -> Tensor:
        """(time, batch, channels) to (time, batch, channels * delays): each train 0, 1, 2 ... steps late."""
        steps, batch, channels = spikes.shape
        past = torch.cat([spikes.new_zeros(self.delays - 1, batch, channels), spikes])
        return past.unfold(0, self.delays, 1).flip(-1).reshape(steps, batch, channels * self.delays)

    def keep_in_range(self) -> None:
        self.beta.data.clamp_(0.0, 0.95)
        self.out_beta.data.clamp_(0.5, SLOWEST)


class Stream:
    """One train, a step at a time: `feed` gives the outputs' membranes after each step."""

    def __init__(self, network: DelayNetwork) -> None:
        self.network = network
        self.reset()

    def reset(self) -> None:
        network = self.network
        self.past = torch.zeros(network.channels, network.delays)  # newest first
        self.v = torch.zeros(len(network.bias))  # hidden membranes
        self.spikes = torch.zeros(len(network.bias))
        self.out = torch.zeros(len(network.out_beta))  # output membranes

    @torch.no_grad()
    def feed(self, spikes: NDArray[np.float32]) -> NDArray[np.float32]:
        """spikes: (steps, channels) of 0 and 1. Returns (steps, outputs)."""
        network = self.network
        beta, out_beta = network.beta.clamp(0, 1), network.out_beta.clamp(0.0, SLOWEST)
        membranes = []
        for now in torch.from_numpy(np.asarray(spikes, np.float32)):
            self.past = torch.cat([now[:, None], self.past[:, :-1]], dim=1)
            self.v = beta * self.v + self.past.reshape(-1) @ network.taps + network.bias - self.spikes
            self.spikes = (self.v > 1.0).float()
            self.out = out_beta * self.out + (1.0 - out_beta) * network.out(self.spikes)
            membranes.append(self.out)
        return torch.stack(membranes).numpy() if membranes else np.zeros((0, len(network.out_beta)), np.float32)
