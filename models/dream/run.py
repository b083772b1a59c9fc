"""`spiccato dream` from a model file to sounds, pictures and figures in a folder. Knows files and the order."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from engine.weights import load
from models.dream.ascent import Dream, ascend, start
from models.dream.convolving import Convolving
from models.dream.sheet import Tile, write_sheet
from models.dream.spiking import Spiking
from models.dream.subject import RATE_HZ, DreamError, Subject, find
from models.zoo import file as zoo_file
from models.zoo.windowed import Windowed

PEAK = 0.5  # of what is written


def subject_of(path: Path) -> Subject:
    """Raises ModelError or ZooError for a file that is no model, DreamError for one that cannot dream."""
    if not zoo_file.is_zoo(path):
        return Spiking(load(path))
    kept = zoo_file.load(path)
    if not isinstance(kept.trained, Windowed):
        raise DreamError(f"{path} is {kept.system.name}: only spiking models and networks on mel pictures can dream")
    return Convolving(kept.trained)


def run(
    subject: Subject,
    layer: str,
    units: Sequence[str | None],
    out: Path,
    dream: Dream,
    seconds: float,
    source: NDArray[np.float32] | None,
    report: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Dream of each unit (None: the whole layer); write `before.wav`, a WAV for each, `dreams.png`, `dreams.json`.

    source: sound at 16 kHz to begin with; None: noise. Returns the figures of each dream. Raises DreamError.
    """
    wanted = [find(subject, layer, unit) for unit in units]
    if source is None:
        rows = subject.rows or max(1, round(seconds * RATE_HZ / subject.hop))
        first = start(rows, subject.bands, dream.seed)
        before = level(subject.sound(first, dream.seed))
    else:
        if subject.rows is None:
            source = source[: round(seconds * RATE_HZ)]
        before = level(source)
        first = subject.seen(before)
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / "before.wav", before, RATE_HZ, subtype="PCM_16")
    heard_before = subject.heard(before)[layer]
    what, tiles, figures = subject.layers[layer], [Tile("before", first)], []
    for name, unit in wanted:
        title = name if unit is None else f"{name} {what.names[unit] if what.names else unit}"
        climb: list[float] = []
        picture = ascend(subject, first, layer, unit, dream, climb.append)
        after = level(subject.sound(picture, dream.seed))
        path = out / f"{title.replace(' ', '-').replace('.', '-')}.wav"
        soundfile.write(path, after, RATE_HZ, subtype="PCM_16")
        was, now = (_of(heard, unit) for heard in (heard_before, subject.heard(after)[layer]))
        report(f"{title}: {was:.2f} -> {now:.2f} {what.of} in {path.name}" + ("" if now > was else ", no rise"))
        tiles.append(Tile(f"{title}: {was:.1f} -> {now:.1f}", picture))
        row = {"layer": layer, "unit": unit, "name": title, "file": path.name, "measure": what.of}
        figures.append(row | {"before": was, "after": now, "picture_before": climb[0], "picture_after": climb[-1]})
    write_sheet(out / "dreams.png", tiles, subject.hop / RATE_HZ, what.of)
    told = {"settings": asdict(dream), "begins_with": "noise" if source is None else "a sound", "dreams": figures}
    (out / "dreams.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return figures


def level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """As it is written and heard: its peak at PEAK, in steps of 16 bits."""
    peak = float(np.abs(samples).max(initial=0.0))
    scaled = samples * np.float32(PEAK / peak) if peak else samples
    return np.asarray(np.round(scaled * 32_768.0) / 32_768.0, np.float32)


def _of(units: NDArray[np.float64], unit: int | None) -> float:
    return round(float(units.mean() if unit is None else units[unit]), 3)
