"""`spiccato archive`: lists, hears what is not yet in the results, tells what is there. Knows how that looks.

The list is `listing.py`, the work `local.py` or `cluster.py`, the results `results.py`.
"""

import os
import sys
from collections.abc import Generator
from contextlib import closing, redirect_stdout
from pathlib import Path

from rich.console import Console

from engine.weights import Model
from models.cli import bars
from spiccato.archive import ArchiveError, local
from spiccato.archive.listing import Entry, Listing, listed
from spiccato.archive.results import Results
from spiccato.archive.work import Row

SHOWN = 12  # files that could not be heard; all of them are in the results


def run(model: Model, source: Path, out: Path, *, cluster: str | None, jobs: int | None, retry: bool) -> bool:
    """Returns whether every file was heard. Raises ArchiveError."""
    console, err = Console(highlight=False), Console(stderr=True, highlight=False)
    listing = listed(source)
    with Results(out, model) as results:
        if retry:
            results.forget_bad()
        todo = [entry for entry in listing.entries if entry.name not in results.done]
        there = len(listing.entries) - len(todo)
        with bars(err) as progress, closing(_heard(model, todo, cluster, jobs)) as rows:
            task = progress.add_task("files", total=len(listing.entries), completed=there)
            try:
                for row in rows:
                    results.add(row)
                    progress.advance(task)
            except KeyboardInterrupt:
                raise ArchiveError("stopped; the same command goes on") from None
    _show(console, err, listing, results, there)
    return not results.bad


def _heard(model: Model, todo: list[Entry], cluster: str | None, jobs: int | None) -> Generator[Row, None, None]:
    if not todo:
        return
    if cluster is None:
        yield from local.heard(model, todo, jobs or cores())
    else:
        from spiccato.archive import cluster as on_ray

        with redirect_stdout(sys.stderr):  # where Ray tells of processes that ended
            yield from on_ray.heard(model, todo, cluster, jobs)


def _show(out: Console, err: Console, listing: Listing, results: Results, there: int) -> None:
    bad = sorted(results.bad.items())
    for file, (_, message) in bad[:SHOWN]:
        err.print(f"spiccato: {file}: {message}", markup=False, soft_wrap=True)
    if len(bad) > SHOWN:
        err.print(f"spiccato: and {len(bad) - SHOWN} more: the column `message` of the results")
    for count, what in ((listing.others, "no sound by their names"), (listing.repeated, "named again")):
        if count:
            err.print(f"spiccato: left aside: {count} {what}")
    told = f"{len(listing.entries)} files"
    if there:
        told += f", {there} of them done before"
    hours = results.audio_ms / 3_600_000
    told += f"; {results.folder} holds {len(results.done)}, {hours:.2f} h heard, {len(bad)} bad"
    out.print(told, markup=False, soft_wrap=True)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
