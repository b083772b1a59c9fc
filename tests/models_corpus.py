"""Tiny corpora made of formulas, each in the shape of a real one: for tests that train, and for the loaders."""

import csv
import json
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


def write_note(path: Path, hz: float = 440.0, seconds: float = 0.5, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """A decaying tone; its overtones differ with its pitch, so that no two look alike."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = sum(np.sin(2 * np.pi * k * hz * time_s + k * hz) / k for k in (1, 2, 3)) * np.exp(-3.0 * time_s)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.4 * np.repeat(sound[:, None], channels, axis=1), rate_hz)
    return path


def write_nsynth(folder: Path, notes: dict[str, tuple[str, str]], suffix: str = ".wav") -> Path:
    """notes: NSynth's name of a note, `brass_acoustic_006-060-100`, -> its family and origin."""
    examples = {}
    for name, (family, origin) in notes.items():
        instrument, pitch, velocity = name.rsplit("-", 2)
        write_note(folder / "audio" / f"{name}{suffix}", 440.0 * 2 ** ((int(pitch) - 69) / 12))
        examples[name] = {
            "instrument_str": instrument,
            "instrument_family_str": family,
            "instrument_source_str": origin,
            "pitch": int(pitch),
            "velocity": int(velocity),
            "qualities_str": [],
        }
    (folder / "examples.json").write_text(json.dumps(examples))
    return folder
