"""A tiny corpus made of formulas, in the shape of the real one: for tests that train."""

import csv
from pathlib import Path

import numpy as np
import soundfile

from tests.synth import tone

FIELDS = ("path", "instrument", "source", "group", "licence")


def write_corpus(folder: Path) -> Path:
    """Two instruments and noise, from a training and a validation library each; a manifest of the real one's shape."""
    rows = []
    rng = np.random.default_rng(0)
    for library in ("philharmonia", "vsco2_tonejs", "speech_commands_bg", "esc50"):
        for instrument, hz in (("flute", 1500.0), ("cello", 150.0), ("noise", 0.0)):
            if (instrument == "noise") != (library in ("speech_commands_bg", "esc50")):
                continue
            for index in range(4):
                if hz:
                    sound = tone(hz * (1 + 0.1 * index), 0.8)
                else:
                    sound = 0.1 * rng.standard_normal(8_000).astype(np.float32)
                name = f"audio/{instrument}/{library}__{index}.ogg"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / name, sound, 16_000, format="OGG", subtype="VORBIS")
                rows.append((name, instrument, library, f"{library}/{index}", "made from formulas"))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows(rows)
    return folder
