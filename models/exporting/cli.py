"""`spiccato export`: a finished model for spiking toolkits, chips, ONNX. Knows its options and how a report looks."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.cli import SHIPPED_MODEL

EXTRA = "this export needs the chips extra ({missing} is not installed): pip install 'spiccato[chips]'"
PROFILES = ("r", "folded", "snntorch", "chip")


def export(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="Model file; without it, the one that is shipped.")
    ] = None,
    nir: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a NIR graph there, and the plain form beside it as NAME.plain.nir."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one step with its state as ONNX there.")
    ] = None,
    engine: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the model itself there, with --profile chip in the chip's numbers."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="`r`: weights as they are; `folded`: for toolkits that ignore r; `snntorch`: for its importer;"
            " `chip`: int8 weights, decays of 1 - 2^-k."
        ),
    ] = "r",
    sound: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare on this sound, at most 2 minutes of it. [default: one built in]"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="With --profile chip: measure its accuracy there, as `evaluate` does."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of --data, at most N clips of each instrument.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report there.")] = None,
) -> None:
    """Write a model for other machines, run what was written on a sound, and count the spikes that differ.

    **Examples**

    - `spiccato export --nir orchestra.nir`
    - `spiccato export mine.safetensors --nir mine.nir --profile folded --sound violin.wav --json report.json`
    - `spiccato export --profile chip --engine chip.safetensors --data recordings/`
    - `spiccato export --onnx orchestra.onnx`
    """
    if profile not in PROFILES:
        raise typer.BadParameter(f"--profile {profile!r} is not one of {', '.join(PROFILES)}")
    if not (nir or onnx or engine):
        raise typer.BadParameter("nothing to write: give --nir, --onnx or --engine FILE")
    if data is not None and profile != "chip":
        raise typer.BadParameter("--data: only with --profile chip, the others hear as the model does")
    if nir is not None and not nir.suffix:
        raise typer.BadParameter(f"--nir {nir}: the name needs an ending, such as .nir")
    for option, file in (("--nir", nir), ("--onnx", onnx), ("--engine", engine), ("--json", json_file)):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise typer.BadParameter(f"{option} {file}: " + ("is a folder" if file.is_dir() else "no such folder"))
    from engine.weights import ModelError, load

    try:
        from models.data.recording import CorpusError
        from models.evaluation.sound import Unreadable
        from models.exporting import files
        from models.exporting.graph import ExportError

        if onnx is not None:
            import onnxruntime  # noqa: F401  # the step is written and run

            from models.exporting import onnx_step  # noqa: F401
    except ModuleNotFoundError as error:
        raise typer.BadParameter(EXTRA.format(missing=error.name)) from error
    try:
        wish = files.Wish(profile, nir, onnx, engine, sound, data, limit)
        report = files.export(load(model or SHIPPED_MODEL), wish)
        if json_file is not None:
            json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except Unreadable as error:
        raise typer.BadParameter(f"{sound}: {error}") from error
    except (ModelError, ExportError, CorpusError) as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror or error}") from error
    show(Console(highlight=False), report)


def show(out: Console, report: dict[str, Any]) -> None:
    out.print(f"{report['model']}, profile {report['profile']}, {report['seconds']:g} s of sound ({report['sound']})")
    table = Table("", "layer", "neurons", "spikes", "exported", "cells that differ", box=None, header_style="dim")
    chip = report.get("chip", {})
    compared = [(f"{Path(one['file']).name} ({one['form']})", one) for one in report["files"]]
    compared += [(name.replace("_", " "), chip[name]) for name in chip if name != "accuracy"]
    for name, one in compared:
        for row in one["layers"]:
            share = f"{row['cells_differing']} of {row['cells']}"
            counts = (str(row[key]) for key in ("neurons", "spikes_engine", "spikes_exported"))
            table.add_row(name, row["layer"], *counts, share)
            name = ""
        if (difference := one.get("evidence_largest_difference")) is not None:
            table.add_row("", "evidence", "", "", "", f"by at most {difference:.3g}")
    out.print(table)
    if accuracy := chip.get("accuracy"):
        moments = Table("balanced accuracy", *accuracy, box=None, header_style="dim")
        for ms in accuracy["original"].get("balanced_accuracy_at_ms", {}):
            shares = (accuracy[name]["balanced_accuracy_at_ms"][ms] for name in accuracy)
            moments.add_row(f"{ms} ms", *("-" if share is None else f"{100 * share:.1f} %" for share in shares))
        out.print(moments)
        for name, one in accuracy.items():
            rate = one["false_onsets"]["per_hour_and_label"]
            told = "no negatives" if rate is None else f"{rate:g} false onsets an hour for each label"
            out.print(f"{name}: {one['clips']} clips, {told}")
