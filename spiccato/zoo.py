"""`spiccato evaluate` with the file of a zoo system: judged on a folder or a table, or asked about one sound file.

Knows how figures look; what is judged is in `models.zoo`.
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.cli import TRAIN_EXTRA, bars
from models.data.recording import SUFFIXES, CorpusError
from spiccato.evaluate import Outputs, left_out, percent
from spiccato.trouble import fail


def run(model: Path, path: Path, outputs: Outputs, *, sweeps: bool, limit: int | None, seed: int) -> None:
    """Judge or predict, write, print. Ends with status 1 if there is nothing to judge or the file is of no use."""
    if sweeps or outputs.plots is not None:
        fail(f"--sweeps and --plots are for models that are served; {model} is a system of the literature")
    try:
        from models.zoo import file, folder
        from models.zoo.system import Labeller, Solver, ZooError
    except ModuleNotFoundError as error:
        fail(TRAIN_EXTRA.format(missing=error.name))
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        kept = file.load(model)
        trained = kept.trained
        if path.is_file() and path.suffix.lower() in SUFFIXES:
            told: Any = folder.predict(trained, path) if isinstance(trained, Labeller) else _asked(trained, path)
            _write(outputs.json, {"path": str(path), "system": kept.system.name, "predicted": told})
            out.print_json(data=told) if isinstance(trained, Solver) else _seconds(out, told)
            return
        if not isinstance(trained, Labeller):
            fail(f"{kept.system.name} names no instruments: PATH must be a sound file, its own figures are in {model}")
        with bars(err) as progress:
            task = progress.add_task("clips", total=None)
            figures = folder.evaluate(
                trained, path, limit, seed, lambda done, total: progress.update(task, completed=done, total=total)
            )
    except ModuleNotFoundError as error:
        fail(TRAIN_EXTRA.format(missing=error.name))
    except (CorpusError, ZooError) as error:
        fail(str(error))
    figures["system"] = kept.system.name
    outputs.write(figures, trained.labels)
    _show(out, figures)
    if not figures["clips"]:
        fail(f"{path}: nothing could be judged, {len(figures['left_out'])} left out")


def _asked(trained: Any, path: Path) -> Any:
    from models.evaluation.sound import Unreadable, pieces
    from models.zoo.system import ZooError

    try:
        return trained.predict(next(pieces(path, 16_000)))
    except (StopIteration, Unreadable) as error:
        raise ZooError(f"{path}: {error or 'holds no sound'}") from error


def _write(file: Path | None, told: Any) -> None:
    if file is not None:
        try:
            file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"{file}: {(error.strerror or str(error)).lower()}")


def _seconds(out: Console, told: list[dict[str, Any]]) -> None:
    table = Table("from", "most likely", box=None, header_style="dim")
    for row in told:
        table.add_row(f"{row['at_s']:g} s", ", ".join(f"{name} {percent(p)}" for name, p in row["labels"].items()))
    out.print(table)


def _show(out: Console, figures: dict[str, Any]) -> None:
    if figures["clips"]:
        out.print(f"{figures['system']}: {figures['clips']} clips, {len(figures['targets'])} instruments")
        table = Table("since onset", "balanced accuracy", box=None, header_style="dim")
        for ms, value in figures["balanced_accuracy_at_ms"].items():
            table.add_row(f"{ms} ms", percent(value))
        out.print(table)
        labels = Table("", "clips", "right", "taken for", box=None, header_style="dim")
        for name, row in figures["targets"].items():
            taken = ", ".join(f"{other} {count}" for other, count in list(figures["confusion"][name].items())[:2])
            labels.add_row(name, str(row["clips"]), percent(row["accuracy"]), taken)
        out.print(labels)
    left_out(out, figures["left_out"])
