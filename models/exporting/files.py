"""Writes what `spiccato export` was asked for, reads it back, runs it, tells how much differs. Prints nothing."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model, save
from models.evaluation.run import evaluate
from models.evaluation.sound import Unreadable, pieces
from models.exporting.chip import chip_model, whole_numbers
from models.exporting.compare import built_in_sound, compared, graph_differences, played

COSTS = ("clips", "balanced_accuracy_at_ms", "balanced_accuracy", "family_accuracy", "event_f1", "false_onsets")


@dataclass(frozen=True)
class Wish:
    """What to write; None: not."""

    profile: str = "r"  # one of `graph.PROFILES`, or chip
    nir: Path | None = None
    onnx: Path | None = None
    engine: Path | None = None
    sound: Path | None = None  # None: the built-in one
    data: Path | None = None  # what the chip profile's accuracy is measured on
    limit: int | None = None


def export(model: Model, wish: Wish) -> dict[str, Any]:
    """The report, as JSON. Raises Unreadable for the sound, CorpusError for the data, OSError for a file."""
    samples = _sound(model, wish.sound)
    reference = played(model, samples)
    report: dict[str, Any] = {
        "model": model.id,
        "profile": wish.profile,
        "sound": str(wish.sound) if wish.sound else "built in",
        "seconds": round(len(reference.cochlea) * model.front_end.hop_s, 2),
        "files": [],
    }
    if wish.profile == "chip":
        original, before = model, reference
        model = chip_model(original)
        reference = played(model, samples)
        report["chip"] = {
            "beside_the_original": compared(before, reference.layers, reference.evidence),
            "in_whole_numbers": compared(reference, *whole_numbers(model, reference.cochlea)),
        }
        if wish.data is not None:
            report["chip"]["accuracy"] = {
                name: {key: figures[key] for key in COSTS if key in figures}
                for name, one in (("original", original), ("chip", model))
                if (figures := evaluate(one, wish.data, limit=wish.limit))
            }
    if wish.engine is not None:
        save(model, wish.engine)
    if wish.nir is not None:
        report["files"] += [graph_differences(path, reference) for path in write_graphs(model, wish.nir, wish.profile)]
    if wish.onnx is not None:
        from models.exporting.onnx_step import onnx_step, run_step

        data = onnx_step(model).SerializeToString()
        wish.onnx.write_bytes(data)
        report["files"].append(
            {"file": str(wish.onnx), "form": "onnx", **compared(reference, *run_step(data, reference.cochlea))}
        )
    return report


def write_graphs(model: Model, path: Path, profile: str) -> list[Path]:
    """`path`, and beside it the plain form as NAME.plain.nir; snntorch reads no other, and has it as `path`."""
    import nir

    from models.exporting.graph import graph_of

    if profile == "snntorch":
        wanted = {"plain": path}
    else:
        wanted = {"exact": path, "plain": path.with_suffix(f".plain{path.suffix}")}
    for form, file in wanted.items():
        nir.write(file, graph_of(model, form, "r" if profile == "chip" else profile))
    return list(wanted.values())


def _sound(model: Model, path: Path | None) -> NDArray[np.float32]:
    rate_hz = model.front_end.sample_rate_hz
    if path is None:
        return built_in_sound(rate_hz)
    first = list(islice(pieces(path, rate_hz), 1))
    if not first or len(first[0]) < model.front_end.hop_samples:
        raise Unreadable(f"it is shorter than one hop, {1000 * model.front_end.hop_s:g} ms")
    return first[0]
