"""A folder with a `manifest.csv` as clips in memory. Knows files and names; nothing of spectra or labels in time."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.data import split
from models.data.ontology import label_of

RATE_HZ = 16_000


@dataclass(frozen=True, eq=False)
class Clip:
    """One recording: a note, a phrase, or a stretch of noise."""

    name: str
    label: str  # of the ontology, or a negative
    library: str
    group: str  # the physical instrument, player or speaker
    part: split.Part
    licence: str
    samples: NDArray[np.int16]  # (n,) at RATE_HZ


def read_folder(folder: Path, parts: Iterable[split.Part] = ("train", "calibrate", "report")) -> list[Clip]:
    """The clips of `folder/manifest.csv` that have a label, in the manifest's order.

    Raises FileNotFoundError if there is no manifest, ValueError if a file is not 16 kHz mono.
    """
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [(label, row) for row in csv.DictReader(file) if (label := label_of(row["instrument"]))]
    held_out = split.halves(
        (label, row["group"], row["path"]) for label, row in rows if split.validates(row["source"], row["group"])
    )
    wanted = set(parts)
    clips = []
    for label, row in rows:
        part: split.Part = held_out.get(row["path"], "train")
        if part in wanted:
            samples = read_sound(folder / row["path"])
            clips.append(Clip(row["path"], label, row["source"], row["group"], part, row["licence"], samples))
    return clips


def read_sound(path: Path) -> NDArray[np.int16]:
    samples, rate = soundfile.read(path, dtype="int16")
    if rate != RATE_HZ or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, {samples.ndim} channels; expected {RATE_HZ} Hz mono")
    return np.asarray(samples, np.int16)
