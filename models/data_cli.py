"""`spiccato data`: what a corpus holds and what is wrong with it, and scores rendered from it. Knows its options.

What a command needs is imported when it runs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.cli import TRAIN_EXTRA, bars

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
        from models.data.recording import CorpusError
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    import json
    from dataclasses import asdict

    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        corpora = [load(path) for path in paths]
    except (FileNotFoundError, CorpusError) as error:
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


@app.command()
def render(
    notes: Annotated[list[Path], typer.Option("--notes", metavar="DIR", help="Corpora of notes; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    scores: Annotated[
        str, typer.Option(metavar="PATH", help="MIDI or MusicXML: a file, a folder, or music21's `corpus`.")
    ] = "corpus",
    seed: Annotated[int, typer.Option(help="The same notes, scores and seed give the same bytes.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Pieces.")] = 50,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each piece.")] = 20.0,
    least: Annotated[int, typer.Option("--min", min=1, help="Instruments at once, at least.")] = 2,
    most: Annotated[int, typer.Option("--max", min=1, help="And at most.")] = 4,
    part: Annotated[
        str | None, typer.Option(metavar="PART", help="Only notes of train, calibrate or report; without it, all.")
    ] = None,
    snr: Annotated[float | None, typer.Option("--snr", metavar="DB", help="Noise this far below the music.")] = None,
    pool: Annotated[int, typer.Option(min=1, help="Scores that are drawn and read.")] = 60,
) -> None:
    """Play scores with recorded notes: polyphonic pieces and, to 10 ms, which instruments sound when.

    Writes FLAC files, truth.csv (path, onset_s, offset_s, label) and parts.csv, which tells who plays what.

    **Examples**

    - `spiccato data render --notes recordings/ --out pieces/`
    - `spiccato data render --scores song.mid --notes recordings/ --part report --out pieces/ --snr 20`
    """
    try:
        from models.data.corpus import read_corpora
        from models.data.ensemble import Ensemble
        from models.data.recording import CorpusError
        from models.data.rendition import render as rendered
        from models.data.scores import find_scores
        from models.data.shelf import some_scores
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    if part not in (None, "train", "calibrate", "report"):
        raise typer.BadParameter(f"--part {part}: train, calibrate or report")
    if least > most:
        raise typer.BadParameter(f"--min {least} is more than --max {most}")
    err = Console(stderr=True, highlight=False)
    with bars(err) as progress:

        def bar(name: str) -> Callable[[int, int], None]:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        try:
            clips = [clip for clip in read_corpora(notes, progress=bar("notes")) if part in (None, clip.part)]
            ensemble = Ensemble(clips, some_scores(find_scores(scores), pool, seed, bar("scores"), err.print))
            rendered(
                ensemble, out, count=count, seconds=seconds, least=least, most=most, seed=seed, snr_db=snr,
                progress=bar("pieces"),
            )  # fmt: skip
        except (FileNotFoundError, CorpusError) as error:
            raise typer.BadParameter(str(error)) from error
        except ModuleNotFoundError as error:
            raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    typer.echo(f"wrote {count} pieces to {out}")


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
