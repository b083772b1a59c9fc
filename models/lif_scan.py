"""A LIF layer over a whole sequence in one call, forward and backward, for training. Knows currents and membranes.

Gives the spikes and gradients of stepping `snntorch.Leaky` frame by frame (the tests hold it to that), about four
times as fast: the loop over time runs in numba, not in Python. Same equations as `engine.lif`:

    v[t] = (beta * v[t-1] + I[t]) - s[t-1] * threshold      s[t] = 1 where v[t] - threshold > 0
    v[t] = beta * ((1 - s[t-1]) * v[t-1]) + I[t]            with reset to zero

Backward, with snntorch's detached reset and its ATan surrogate of slope a (r is 1 - s[t] with reset to zero, else 1):

    dL/dv[t] = dL/ds[t] * (a / 2) / (1 + (pi / 2 * a * (v[t] - threshold))**2) + beta * r * dL/dv[t+1]
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.jit import kernel
from engine.lif import RESETS, SUBTRACT, ZERO

f32 = np.float32


@kernel
def _forward(
    current: NDArray[np.float32],
    beta: NDArray[np.float32],
    threshold: np.float32,
    reset: int,
    v: NDArray[np.float32],
    spikes: NDArray[np.float32],
) -> None:
    """current, v, spikes: (time, batch, neurons) float32, the last two written. beta: (neurons,) float32."""
    steps, batch, neurons = current.shape
    subtract = reset == SUBTRACT
    for t in range(steps):
        for b in range(batch):
            if reset == ZERO:  # a loop of its own: with a branch inside, the others' would be slower
                for n in range(neurons):
                    value = current[t, b, n]
                    if t > 0:
                        value = beta[n] * ((f32(1.0) - spikes[t - 1, b, n]) * v[t - 1, b, n]) + value
                    v[t, b, n] = value
                    spikes[t, b, n] = f32(1.0) if value - threshold > f32(0.0) else f32(0.0)
                continue
            for n in range(neurons):
                value = current[t, b, n]
                if t > 0:
                    value = beta[n] * v[t - 1, b, n] + value
                    if subtract:
                        value = value - spikes[t - 1, b, n] * threshold
                v[t, b, n] = value
                spikes[t, b, n] = f32(1.0) if value - threshold > f32(0.0) else f32(0.0)


@kernel
def _backward(
    grad_spikes: NDArray[np.float32],
    grad_v: NDArray[np.float32],
    v: NDArray[np.float32],
    beta: NDArray[np.float32],
    threshold: np.float32,
    slope: np.float32,
    reset: int,
    grad_current: NDArray[np.float32],
    grad_beta: NDArray[np.float32],
) -> None:
    """grad_*, v: (time, batch, neurons) float32, grad_current written. grad_beta: (neurons,), added to."""
    steps, batch, neurons = v.shape
    half_pi_slope = f32(1.5707963267948966) * slope
    half_slope = f32(0.5) * slope
    for back in range(steps):
        t = steps - 1 - back
        for b in range(batch):
            if reset == ZERO:
                for n in range(neurons):
                    u = half_pi_slope * (v[t, b, n] - threshold)
                    g = grad_v[t, b, n] + grad_spikes[t, b, n] * (half_slope / (f32(1.0) + u * u))
                    if t + 1 < steps and not v[t, b, n] - threshold > f32(0.0):
                        g = g + beta[n] * grad_current[t + 1, b, n]
                    grad_current[t, b, n] = g
                    if t > 0 and not v[t - 1, b, n] - threshold > f32(0.0):
                        grad_beta[n] += g * v[t - 1, b, n]
                continue
            for n in range(neurons):
                u = half_pi_slope * (v[t, b, n] - threshold)
                g = grad_v[t, b, n] + grad_spikes[t, b, n] * (half_slope / (f32(1.0) + u * u))
                if t + 1 < steps:
                    g = g + beta[n] * grad_current[t + 1, b, n]
                grad_current[t, b, n] = g
                if t > 0:
                    grad_beta[n] += g * v[t - 1, b, n]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, beta: Tensor, threshold: float, reset: int, slope: float
    ) -> tuple[Tensor, Tensor]:
        current = current.contiguous()
        v = torch.empty_like(current)
        spikes = torch.empty_like(current)
        _forward(
            current.detach().numpy(), beta.detach().numpy(), np.float32(threshold), reset, v.numpy(), spikes.numpy()
        )
        ctx.save_for_backward(v, beta)
        ctx.threshold, ctx.slope, ctx.reset = threshold, slope, reset
        return spikes, v

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        v, beta = ctx.saved_tensors
        grad_spikes, grad_v = grads
        grad_current = torch.empty_like(v)
        grad_beta = torch.zeros_like(beta)
        _backward(
            grad_spikes.contiguous().numpy(),
            grad_v.contiguous().numpy(),
            v.numpy(),
            beta.detach().numpy(),
            np.float32(ctx.threshold),
            np.float32(ctx.slope),
            ctx.reset,
            grad_current.numpy(),
            grad_beta.numpy(),
        )
        return grad_current, grad_beta, None, None, None


def lif_scan(
    current: Tensor, beta: Tensor, threshold: float = 1.0, reset: str = "subtract", slope: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Spikes and membranes, both (time, batch, neurons), of one LIF layer that starts from rest.

    current: (time, batch, neurons) float32. beta: (neurons,) float32, used within 0..1. reset: subtract, zero or
    none, one step late. slope: of the ATan surrogate, snntorch's default 2. Raises ValueError on another reset.
    """
    if reset not in RESETS:
        raise ValueError(f"reset={reset!r} is not one of {', '.join(RESETS)}")
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold} is not finite")
    spikes, v = _Scan.apply(current, beta.clamp(0, 1), threshold, RESETS[reset], slope)
    return spikes, v
