"""The network alone, in the engine and in every rival, on the same spikes, in turn in the same rounds."""

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from tests.bench import c_loop, inside
from tests.bench.missing import Missing
from tests.bench.rivals import STEPPERS
from tests.bench.timing import Run, Times, compete

C_LOOPS = {"C, -O3": c_loop.PLAIN, "C, -O3 -march=native": c_loop.NATIVE}
SLOW_FRAMES = 300  # for rivals that take tens of microseconds a frame


def measure(model: Model, spikes: NDArray[np.uint8], rounds: int, missing: Missing) -> dict[str, Times]:
    """Rival to the time of one frame. Raises ValueError for resets that the rivals do not have."""
    if any(layer.reset == "zero" or not layer.reset_delay for layer in model.layers):
        raise ValueError(f"{model.name}: rivals reset by delayed subtraction or not at all")
    r, rows = inside.records(model), inside.spike_rows(spikes)
    runs = {"engine": Run(lambda: inside.step_all(r.net, r.state, r.scratch, rows), len(rows))}
    for name, flags in C_LOOPS.items():
        if c_loop.compiler():
            runs[name] = Run(c_loop.CLoop(model, spikes, flags).run, len(spikes))
        else:
            missing[name] = "not measured (no C compiler)"
    for name, make in STEPPERS.items():
        few = spikes[:SLOW_FRAMES]
        stepper = missing.attempt(name, lambda make=make, few=few: make(model, few))  # type: ignore[misc]
        if stepper:
            runs[name] = Run(lambda stepper=stepper: stepper.run(None), len(few))  # type: ignore[misc]
    return compete(runs, rounds)
