"""A picture of a run's log: loss and its parts, accuracy on libraries left out, spike rates, rate and gradient.

Knows the log's names; nothing of training.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.runlog import rows

CURVES = "curves.png"


def draw(folder: Path, best: int | None) -> Path:
    """`curves.png` in the run's folder, from its log. best: the epoch to mark."""
    log = rows(folder)
    steps = [row for row in log if row["kind"] == "step"]
    epochs = [row for row in log if row["kind"] == "epoch"]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, title, prefixes in (
        (axes[0][0], "training loss", ("loss",)),
        (axes[1][0], "spikes a neuron and frame", ("spike_rate",)),
        (axes[1][1], "learning rate, gradient norm", ("learning_rate", "gradient_norm")),
    ):
        for name in _names(steps, prefixes):
            own = [row for row in steps if name in row]
            axis.plot([row["step"] for row in own], [row[name] for row in own], label=name, linewidth=1)
        axis.set(title=title, xlabel="step")
        if steps:
            axis.legend(fontsize="small")
    axes[1][1].set_yscale("log")
    axis = axes[0][1]
    for name in _names(epochs, ("validation",)):
        if name != "validation_loss":
            axis.plot([row["epoch"] for row in epochs], [row[name] for row in epochs], marker="o", label=name)
    if best is not None:
        axis.axvline(best, color="grey", linestyle=":", label=f"best epoch, {best}")
    axis.set(title="frames of libraries left out, 0 to 1", xlabel="epoch")
    if axis.lines:
        axis.legend(fontsize="small")
    path = folder / CURVES
    figure.savefig(path, dpi=100)
    return path


def _names(log: list[dict[str, Any]], prefixes: tuple[str, ...]) -> list[str]:
    return sorted({name for row in log for name in row if name.startswith(prefixes)})
