"""The contact sheet: every dream's picture in one image. Knows pictures and their titles."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 4
COLOURS = 64  # of the file: noise is dear in more
RANGE_DB = 60.0  # that is shown, below each picture's loudest


@dataclass(frozen=True)
class Tile:
    title: str
    picture: NDArray[np.float32]  # (rows, bands) in dB


def write_sheet(path: Path, tiles: Sequence[Tile], row_s: float, measure: str) -> None:
    """A PNG. row_s: seconds from row to row. measure: what the titles' numbers are."""
    columns = min(COLUMNS, len(tiles))
    lines = math.ceil(len(tiles) / columns)
    figure = Figure(figsize=(2.6 * columns, 2.0 * lines + 0.4), dpi=80, layout="constrained")
    figure.suptitle(f"mel bands over time; {measure}, before -> after", fontsize=9)
    for index, tile in enumerate(tiles):
        axes = figure.add_subplot(lines, columns, index + 1)
        top = float(tile.picture.max())
        seconds, bands = len(tile.picture) * row_s, tile.picture.shape[1]
        axes.imshow(
            tile.picture.T, origin="lower", aspect="auto", cmap="magma", vmin=top - RANGE_DB, vmax=top,
            extent=(0.0, seconds, 0.0, float(bands)), interpolation="nearest",
        )  # fmt: skip
        axes.set_title(tile.title, fontsize=8)
        axes.tick_params(labelsize=6)
        axes.set_xlabel("s", fontsize=6)
        axes.set_yticks([])
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, format="PNG", optimize=True)
