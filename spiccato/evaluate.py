"""`spiccato evaluate`: a model judged on a folder or a table, as tables, JSON, CSV and pictures.

Knows files to write and how figures look; how a clip is judged is in `models.evaluation`.
"""

import csv
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.weights import Model
from models.cli import bars
from models.data.recording import CorpusError
from models.evaluation import mixtures
from models.evaluation.run import evaluate, named
from spiccato.trouble import fail

SHOWN = 12  # reasons why something was left out; all of it is in the JSON


@dataclass(frozen=True)
class Outputs:
    """What to write beside the tables; None: not."""

    json: Path | None = None
    confusion: Path | None = None
    plots: Path | None = None

    def check(self) -> None:
        """Before the work is done, not after it."""
        for option, file in (("--json", self.json), ("--confusion", self.confusion)):
            if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
                fail(f"{option} {file}: " + ("is a folder" if file.is_dir() else "there is no such folder"))
        if self.plots is not None and importlib.util.find_spec("matplotlib") is None:
            fail("--plots needs matplotlib, which is not installed: pip install matplotlib")

    def only_json(self, table: Path) -> None:
        for option, file in (("--confusion", self.confusion), ("--plots", self.plots)):
            if file is not None:
                fail(f"{option} is for recordings of one instrument each; {table} tells who sounds when")

    def write(self, figures: dict[str, Any], labels: tuple[str, ...]) -> None:
        try:
            if self.json is not None:
                self.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            if self.confusion is not None:
                with self.confusion.open("w", newline="", encoding="utf-8") as file:
                    rows = csv.writer(file)
                    rows.writerow(["", *labels])
                    rows.writerows(
                        [name, *(row.get(label, 0) for label in labels)] for name, row in figures["confusion"].items()
                    )
            if self.plots is not None:
                from models.evaluation.plots import draw

                draw(figures, labels, self.plots)
        except OSError as error:
            fail(f"{error.filename}: {(error.strerror or str(error)).lower()}")


def run(model: Model, path: Path, outputs: Outputs, *, sweeps: bool, limit: int | None, seed: int) -> None:
    """Judge, write, print. Ends with status 1 if there was nothing to judge."""
    table = mixtures.table_of(path)
    if table is not None:
        outputs.only_json(table)
        if sweeps:
            fail(f"--sweeps is for recordings of one instrument each; {table} tells who sounds when")
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    with bars(err) as progress:
        task = progress.add_task("clips", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        try:
            if table is not None:
                figures = {"path": str(path), "model": named(model), **mixtures.judge(model, table, limit, advance)}
            else:
                figures = evaluate(model, path, sweeps=sweeps, limit=limit, seed=seed, progress=advance)
        except CorpusError as error:
            fail(str(error))
    outputs.write(figures, model.labels)
    if table is not None:
        show_mixtures(out, figures)
        if not figures["files"]:
            fail(f"{path}: nothing could be judged, {len(figures['left_out'])} left out")
        return
    show(out, figures)
    if not figures["clips"] and not figures["negatives"]:
        fail(f"{path}: nothing could be judged, {len(figures['left_out'])} left out")


def show_mixtures(out: Console, figures: dict[str, Any]) -> None:
    out.print(f"{figures['files']} files, {figures['seconds']:g} s")
    table = Table("F1", "macro", "all", "precision", "recall", box=None, header_style="dim")
    rows = {"labels of a file": figures["file_labels"]}
    rows |= {f"segments of {size} s": row for size, row in figures["segments"].items()}
    for ms, row in figures["event_f1"].items():
        rows |= {f"onsets, collar {ms} ms": row["onset"], f"with offsets, {ms} ms": row["onset_offset"]}
    for name, row in rows.items():
        table.add_row(name, *(percent(row[key]) for key in ("macro_f1", "f1", "precision", "recall")))
    out.print(table)
    labels = Table("segments of 1 s, %", "precision", "recall", "F1", box=None, header_style="dim")
    for label, row in figures["segments"]["1"]["labels"].items():
        labels.add_row(label, *(f"{100 * row[key]:.1f}" for key in ("precision", "recall", "f1")))
    out.print()
    out.print(labels)
    left_out(out, figures["left_out"])


def show(out: Console, figures: dict[str, Any]) -> None:
    if figures["clips"]:
        _headline(out, figures)
        _labels(out, figures)
    if figures["false_onsets"]["hours"]:
        false = figures["false_onsets"]
        most = sorted(false["labels"].items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{label} {rate:g}" for label, rate in most)
        out.print(
            f"\nfalse onsets: {false['per_hour_and_label']:g} an hour for each label (most: {told}),"
            f" on {false['hours'] * 60:.1f} minutes without an instrument"
        )
    if figures["clips"]:
        work = figures["operations_per_s"]
        low, high = (f"{value / 1e6:.0f}" for value in work["yamnet_multiplies"])
        effective, dense = (f"{work[key] / 1e6:.3g}" for key in ("effective_accumulates", "dense_synaptic_operations"))
        out.print(
            f"operations a second of sound: {effective} M accumulates ({dense} M if dense),"
            f" {work['membrane_updates'] / 1e3:.3g} k membrane updates; YAMNet: {low} to {high} M multiply-accumulates"
        )
    left_out(out, figures["left_out"])


def left_out(out: Console, rows: list[dict[str, str]]) -> None:
    """One line for each reason, the commonest first."""
    names: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        names.setdefault((row["instrument"], row["reason"]), []).append(row["path"])
    if not names:
        return
    out.print(f"\nleft out: {len(rows)}")
    common = sorted(names.items(), key=lambda item: -len(item[1]))
    for (instrument, reason), paths in common[:SHOWN]:
        which = paths[0] if len(paths) == 1 else f"{len(paths)} of {instrument}, {paths[0]} ..."
        line = f"    {which}: {reason}".encode(errors="replace").decode()  # a file's name may be no text
        out.print(line, markup=False, soft_wrap=True)
    if len(common) > SHOWN:
        out.print(f"    and {sum(len(paths) for _, paths in common[SHOWN:])} more")


def _headline(out: Console, figures: dict[str, Any]) -> None:
    table = Table("since onset", "balanced accuracy", box=None, header_style="dim")
    for ms, value in figures["balanced_accuracy_at_ms"].items():
        table.add_row(f"{ms} ms", percent(value))
    low, high = figures["balanced_accuracy_interval95"]
    table.add_row("95 % interval, 1000 ms", f"{percent(low)} to {percent(high)}")
    table.add_row("random pieces of 300 ms", percent(figures["balanced_accuracy_300_ms_pieces"]))
    table.add_row("the right family, 1000 ms", percent(figures["family_accuracy"]))
    for sweep, row in figures["sweeps"].items():
        name, _, unit = sweep.rpartition("_")
        for condition, value in row.items():
            table.add_row(f"{name.replace('_', ' ')} {condition} {unit}", percent(value))
    out.print(f"{figures['clips']} clips, {len(figures['targets'])} instruments, {figures['negatives']} negatives")
    out.print(table)
    times = figures["onset_to_event_ms"]
    if times["events"]:
        out.print(f"note to event: median {times['median']:g} ms, 95 % within {times['p95']:g} ms")
    for ms, row in figures["event_f1"].items():
        out.print(
            f"event F1, collar {ms} ms: onsets {percent(row['onset']['f1'])},"
            f" with offsets {percent(row['onset_offset']['f1'])}"
        )


def _labels(out: Console, figures: dict[str, Any]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("%", no_wrap=True, min_width=15)
    for name in ("clips", "right", "recall", "precision", "F1", "AP"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("taken for", no_wrap=True)
    for name, row in figures["targets"].items():
        label = figures["labels"].get(name, {})
        shares = [row["accuracy"], *(label.get(key) for key in ("recall", "precision", "f1", "average_precision"))]
        taken = "\n".join(f"{other} {count}" for other, count in list(figures["confusion"][name].items())[:2])
        cells = ("-" if share is None else f"{100 * share:.1f}" for share in shares)
        table.add_row(name, str(row["clips"]), *cells, taken)
    out.print()
    out.print(table)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
