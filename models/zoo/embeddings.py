"""Embeddings of labelled recordings as a table (npz or CSV) and as a map. Knows clips and the listener's codes.

The map is the first two principal components, or UMAP's where `umap-learn` is installed and asked for
(McInnes, Healy and Melville 2018).
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.evaluation.onset import onset_frame
from models.hearing import normal_level
from models.zoo.system import ZooError

if TYPE_CHECKING:
    from models.data.corpus import Clip
    from models.zoo.listener import Listener

METHODS = ("pca", "umap")
Projection = Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], str]]


@dataclass(frozen=True)
class Embeddings:
    """One row a moment."""

    codes: NDArray[np.float32]  # (n, code)
    label: list[str]
    clip: list[str]
    library: list[str]
    time_s: list[float]  # since the clip's beginning: the moment's newest sample


def embedded(listener: "Listener", clips: "Sequence[Clip]", each: int) -> Embeddings:
    """Of each clip up to `each` moments, equally far apart from onset to end. Raises ZooError if none is there."""
    out = Embeddings(np.zeros((0, listener.settings.code), np.float32), [], [], [], [])
    rows = [out.codes]
    for clip in clips:
        sound = normal_level(clip.samples.astype(np.float32))
        codes = listener.embeddings(sound)
        first = min(onset_frame(sound, 160) * 160 // listener.hop_samples, len(codes) - 1)
        if first < 0:
            continue
        at = np.unique(np.linspace(first, len(codes) - 1, each).round().astype(int))
        rows.append(codes[at])
        out.label.extend([clip.label] * len(at))
        out.clip.extend([clip.name] * len(at))
        out.library.extend([clip.library] * len(at))
        out.time_s.extend(((at + 1) * listener.hop_samples / 16_000).tolist())
    if not out.label:
        raise ZooError("there is no recording with a label to embed")
    return Embeddings(np.concatenate(rows), out.label, out.clip, out.library, out.time_s)


def write(path: Path, rows: Embeddings) -> None:
    """As its ending says. npz: `codes`, `label`, `clip`, `library`, `time_s`. CSV: the same, c0 ... for the codes.

    Raises ZooError for another ending.
    """
    if path.suffix == ".npz":
        labels, clips, libraries = (np.array(texts) for texts in (rows.label, rows.clip, rows.library))
        np.savez_compressed(
            path, codes=rows.codes, label=labels, clip=clips, library=libraries, time_s=np.array(rows.time_s)
        )
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "clip", "library", "time_s", *(f"c{i}" for i in range(rows.codes.shape[1]))])
            told = zip(rows.label, rows.clip, rows.library, rows.time_s, rows.codes, strict=True)
            for label, clip, library, time_s, code in told:
                writer.writerow([label, clip, library, f"{time_s:.3f}", *(f"{value:.6g}" for value in code)])
    else:
        raise ZooError(f"{path}: needs a name that ends with .npz or .csv")


def projection(method: str) -> Projection:
    """Codes (n, code) to (n, 2) and a title that says what the axes are. Raises ZooError for a method that is none, or
    for UMAP where it is not installed."""
    if method == "pca":
        return by_components
    if method != "umap":
        raise ZooError(f"--method {method!r} is not one of {', '.join(METHODS)}")
    try:
        umap = import_module("umap")
    except ModuleNotFoundError as error:
        raise ZooError("--method umap needs umap-learn: pip install umap-learn") from error
    return lambda codes: (np.asarray(umap.UMAP(n_components=2, random_state=1, n_jobs=1).fit_transform(codes)), "UMAP")


def by_components(codes: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    own = codes.astype(np.float64) - codes.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(own.T @ own / max(1, len(own) - 1))
    share = 100.0 * values[-2:].sum() / max(values.sum(), 1e-12)
    return own @ vectors[:, :-3:-1], f"first two principal components, {share:.0f} % of the variance"


def plot(path: Path, rows: Embeddings, project: Projection) -> None:
    """A PNG, one colour and mark a label."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    places, title = project(rows.codes)
    figure = Figure(figsize=(8.0, 6.0), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    labels = np.array(rows.label)
    for index, label in enumerate(sorted(set(rows.label))):
        own = labels == label
        colour = colormaps["tab20"](index % 20)
        axes.scatter(
            places[own, 0], places[own, 1], s=6, color=colour, marker="o^sD"[index // 20 % 4], linewidths=0, label=label
        )
    axes.set_title(f"the listener's codes: {title}", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=6, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)
