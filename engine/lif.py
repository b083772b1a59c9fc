"""The leaky integrate-and-fire step, exactly as snntorch's Leaky since 0.8. Knows neurons; nothing of layers or sound.

    s = 1 where v > threshold, strictly: the reset due from the step before
    subtract: v' = (beta * v + I) - s * threshold
    zero:     v' = beta * ((1 - s) * v) + I
    none:     v' = beta * v + I
    spike where v' > threshold

The order of operations is part of the definition: with it, and without fused multiply-add, float32 membranes equal
snntorch's bit for bit. Before 0.8 snntorch computed `beta * (v - s * threshold) + I`: not what runs here.
Source: Eshraghian et al. 2023, "Training spiking neural networks using lessons from deep learning"; snntorch 1.0.0.
"""

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.jit import inlined

f32 = np.float32
usize = nb.uintp

SUBTRACT, ZERO, NONE = 0, 1, 2
RESETS = {"subtract": SUBTRACT, "zero": ZERO, "none": NONE}


@inlined
def lif_step(
    current: NDArray[np.float32],
    beta: NDArray[np.float32],
    threshold: NDArray[np.float32],
    reset: int,
    delayed: bool,
    v: NDArray[np.float32],
    spikes: NDArray[np.uint8],
    first: int,
    count: int,
) -> None:
    """Advance the `count` neurons of one layer by one frame, in place.

    current, beta (0..1), threshold: (count,) or longer, float32. reset: SUBTRACT, ZERO or NONE. delayed: snntorch's
    reset_delay. v: (neurons,) float32, updated, and spikes: (neurons,) uint8, written, both from `first` on.
    """
    for i in range(usize(count)):
        n = usize(first) + i
        due = f32(1.0) if v[n] - threshold[i] > f32(0.0) else f32(0.0)
        if reset == SUBTRACT:
            value = (beta[i] * v[n] + current[i]) - due * threshold[i]
        elif reset == ZERO:
            value = beta[i] * ((f32(1.0) - due) * v[n]) + current[i]
        else:
            value = beta[i] * v[n] + current[i]
        fired = f32(1.0) if value - threshold[i] > f32(0.0) else f32(0.0)
        if not delayed:
            # snntorch takes back the reset already made and makes the new one: so must we, to the bit
            if reset == SUBTRACT:
                value = value - (fired - due) * threshold[i]
            elif reset == ZERO:
                value = value - (fired - due) * value
        v[n] = value
        spikes[n] = np.uint8(fired)
