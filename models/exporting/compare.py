"""An exported file, run on what the engine's cochlea hears, beside the engine: how many spikes differ, layer by layer.

Knows the engine's trace and the two readers; writes nothing. A cell is one neuron in one frame.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from engine.latch import log_odds
from engine.pipeline import Pipeline
from engine.weights import Model
from models.exporting.graph import told
from models.exporting.simulate import Simulator
from models.hearing import listen


@dataclass(frozen=True)
class Played:
    """What the engine did with a sound."""

    cochlea: NDArray[np.uint8]  # (frames, fibres)
    layers: list[NDArray[np.uint8]]  # of each layer its spikes, (frames, neurons)
    evidence: NDArray[np.float32]  # (frames, labels), membranes of the last layer
    above: NDArray[np.uint8]  # (frames, labels), 1 where the evidence is above `on`


def built_in_sound(rate_hz: int) -> NDArray[np.float32]:
    """3.5 s of notes with harmonics that begin and end, noise and silence; the same each time."""
    random = np.random.default_rng(7)
    n = round(0.5 * rate_hz)
    time_s = np.arange(n) / rate_hz
    shape = np.minimum(1.0, time_s / 0.02) * np.exp(-3.0 * time_s)
    notes = [
        sum(np.sin(2 * np.pi * hz * k * time_s) / k**slope for k in range(1, 9) if hz * k < rate_hz / 2) * shape
        for hz, slope in ((196.0, 1.0), (440.0, 2.0), (98.0, 0.7), (880.0, 1.3), (262.0, 0.5))
    ]
    sound = np.concatenate([np.zeros(n // 2), *notes, 0.2 * random.standard_normal(n), np.zeros(n // 2)])
    return (0.1 * sound).astype(np.float32)


def played(model: Model, samples: NDArray[np.float32]) -> Played:
    """samples: (n,) float32 at the model's rate, whole hops are heard."""
    hop = model.front_end.hop_samples
    cochlea, spikes = [], []

    def watch(rows: NDArray[Any]) -> None:
        cochlea.append(rows["cochlea"].copy())
        spikes.append(rows["spikes"].copy())

    evidence, _ = listen(Pipeline(model), samples[: len(samples) // hop * hop], watch)
    ends = np.cumsum([layer.weight.shape[1] for layer in model.layers])[:-1]
    on = np.array([log_odds(score) for score in model.on], np.float32)
    above = (evidence > on).astype(np.uint8)
    return Played(np.concatenate(cochlea), np.split(np.concatenate(spikes), ends, axis=1), evidence, above)


def graph_differences(path: Path, reference: Played) -> dict[str, Any]:
    """The file at `path`, read back and run. Cells that differ: of a hidden layer its spikes, of the labels where the
    graph's last node fires and where the engine's evidence is above `on`.
    """
    graph = nir.read(path)
    about = told(graph)
    said = Simulator(graph, about["dt_s"]).run(reference.cochlea)
    rows = [_row(f"layer {i}", engine, said[f"spikes{i}"]) for i, engine in enumerate(reference.layers[:-1])]
    rows.append(_row("labels", reference.above, said["labels"]))
    report = {"file": str(path), "form": about["form"], "profile": about["profile"], **summed(rows, reference)}
    if "evidence" in said:
        report["evidence_largest_difference"] = largest(said["evidence"], reference.evidence)
    return report


def summed(rows: list[dict[str, Any]], reference: Played) -> dict[str, Any]:
    return {
        "frames": len(reference.cochlea),
        "layers": rows,
        "cells_differing": sum(row["cells_differing"] for row in rows),
    }


def compared(reference: Played, layers: list[NDArray[Any]], evidence: NDArray[np.float32]) -> dict[str, Any]:
    """The same report for a reader that tells every layer's spikes and the evidence."""
    rows = [
        _row(f"layer {i}", engine, other)
        for i, (engine, other) in enumerate(zip(reference.layers, layers, strict=True))
    ]
    return {**summed(rows, reference), "evidence_largest_difference": largest(evidence, reference.evidence)}


def largest(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))


def _row(name: str, engine: NDArray[Any], other: NDArray[Any]) -> dict[str, Any]:
    return {
        "layer": name,
        "neurons": int(engine.shape[1]),
        "spikes_engine": int(engine.sum()),
        "spikes_exported": int(other.sum()),
        "cells": int(engine.size),
        "cells_differing": int((engine != other).sum()),
    }
