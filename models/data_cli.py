"""`spiccato data`: what a corpus holds and what is wrong with it, and scores rendered from it. Knows its options.

What a command needs is imported when it runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from models.cli import TRAIN_EXTRA

if TYPE_CHECKING:
    from models.data.check import Finding

SHOWN = 5  # names of a finding; all of them are in the JSON

app = typer.Typer(name="data", help="Look at corpora, and make some.", no_args_is_help=True)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="A corpus; several are checked as one.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything there.")] = None,
) -> None:
    """Say what corpora hold and what is wrong with them. The exit status is 1 if there is an error.

    A corpus is a folder of folders, one for each instrument; NSynth (examples.json and audio/); the Philharmonia's
    samples; or a manifest CSV. Which one is recognised.

    **Examples**

    - `spiccato data check recordings/`
    - `spiccato data check nsynth-train/ recordings/ --json report.json`
    """
    try:
        from models.data.check import check as checked_all
        from models.data.contents import contents
        from models.data.loaders import load
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    import json
    from dataclasses import asdict

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        corpora = [load(path) for path in paths]
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    with bars(err) as progress:
        reading, comparing = progress.add_task("reading", total=None), progress.add_task("comparing", total=None)
        checked = checked_all(
            corpora,
            lambda done, total: progress.update(reading, completed=done, total=total),
            lambda done, total: progress.update(comparing, completed=done, total=total),
        )
    held = contents(checked)
    _print(out, {str(corpus.path): corpus.kind for corpus in corpora}, held, checked.findings)
    if json_file is not None:
        report = {
            "corpora": [{"path": str(corpus.path), "kind": corpus.kind} for corpus in corpora],
            "contents": held,
            "findings": [asdict(finding) for finding in checked.findings],
        }
        json_file.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if any(finding.level == "error" for finding in checked.findings):
        raise typer.Exit(1)


def bars(console: Console) -> Progress:
    """Progress bars on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print(out: Console, kinds: dict[str, str], held: dict[str, Any], findings: "list[Finding]") -> None:
    for path, kind in kinds.items():
        out.print(f"{path}: {kind}", markup=False, soft_wrap=True)
    numbers = ("clips", "seconds", "libraries", "groups", "train", "calibrate", "report")
    for title in ("labels", "left_out", "families"):
        if held[title]:
            table = Table(title.replace("_", " "), box=None, header_style="dim")
            for name in numbers:
                table.add_column(name, justify="right")
            for name, row in held[title].items():
                table.add_row(name, *(f"{row[number]:g}" for number in numbers))
            out.print(table)
            out.print()
    out.print(f"{held['clips']} clips, {held['hours']:.2f} h, {len(held['libraries'])} libraries")
    for title, unit in (("rates_hz", "Hz"), ("channels", "channels")):
        out.print(", ".join(f"{value} {unit}: {count}" for value, count in held[title].items()))
    for finding in findings:
        shown = finding.names[:SHOWN]
        more = len(finding.names) - len(shown)
        out.print(
            f"\n{finding.level} {finding.what} ({len(finding.names)}): {finding.message}", markup=False, soft_wrap=True
        )
        for name in shown:
            out.print(f"    {name}", markup=False, soft_wrap=True)
        if more:
            out.print(f"    and {more} more")
