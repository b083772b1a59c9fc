"""Pictures of the figures: the confusion matrix, and accuracy against time. Needs matplotlib; knows figures only."""

from pathlib import Path
from typing import Any

import numpy as np


def draw(figures: dict[str, Any], labels: tuple[str, ...], folder: Path) -> None:
    """Write confusion.png and accuracy.png to `folder`, which is made if it is not there."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(figures["confusion"], key=lambda name: labels.index(name) if name in labels else len(labels))
    if not names:
        return
    counts = np.array([[figures["confusion"][name].get(label, 0) for label in labels] for name in names], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    picture = Figure(figsize=(2.5 + 0.32 * len(labels), 2.0 + 0.32 * len(names)), layout="constrained")
    axes = picture.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    picture.colorbar(image, label="share of the clips")
    picture.savefig(folder / "confusion.png", dpi=120)

    picture = Figure(figsize=(5.0, 3.5), layout="constrained")
    axes = picture.subplots()
    points = figures["balanced_accuracy_at_ms"]
    axes.plot([float(ms) for ms in points], [100 * value for value in points.values()], "o-")
    axes.axhline(100 / len(labels), color="0.6", linestyle=":", label="guessing")
    axes.set_xscale("log")
    axes.set_xticks([float(ms) for ms in points], points)
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("ms since the onset")
    axes.set_ylabel("balanced accuracy, %")
    axes.legend()
    picture.savefig(folder / "accuracy.png", dpi=120)
