"""`spiccato classify`: sound files to events, one after the other, as tables or JSON lines. A bad file stops no other.

Knows files and how results look; how a file is heard is `server.classify`, the same as for an upload.
"""

import json
import math
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.weights import Model
from server.classify import classify
from server.decode import DecodeLimits
from server.errors import Refusal
from server.ingest import MAX_CHANNELS
from server.protocol import Classified, dumped
from spiccato.lanes import clock, summary_table

# A file of one's own is not an upload: it may take as long as it takes.
LIMITS = DecodeLimits(audio_s=math.inf, channels=MAX_CHANNELS, wall_s=math.inf)


def run(model: Model, files: list[Path], as_json: bool) -> int:
    """Classify each; the number of files that could not be read."""
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    failed = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        for path in files:
            try:
                with progress.open(path, "rb", description=path.name) as file:
                    result = classify(model, file, path.name[:64], LIMITS)
            except (OSError, Refusal) as error:
                failed += 1
                code, message = reason(error)
                err.print(f"spiccato: {path}: {message}", markup=False, soft_wrap=True)
                if as_json:
                    print(json.dumps({"file": str(path), "error": {"code": code, "message": message}}), flush=True)
                continue
            if as_json:
                print(json.dumps({"file": str(path), **dumped(result)}), flush=True)
            else:
                _print(out, path, result)
    return failed


def reason(error: OSError | Refusal) -> tuple[str, str]:
    """Code and sentence."""
    if isinstance(error, Refusal):
        return str(error.code), error.message
    return "unreadable", (error.strerror or str(error)).lower()


def _print(out: Console, path: Path, result: Classified) -> None:
    out.rule(str(path), align="left", style="dim")
    table = Table("from", "to", "instrument", "best score", box=None, header_style="dim")
    for event in result.events:
        offset_ms = event.onset_ms if event.offset_ms is None else event.offset_ms
        table.add_row(clock(event.onset_ms), clock(offset_ms), event.label, f"{event.peak:.2f}")
    if result.events:
        out.print(table)
    out.print(summary_table(dumped(result.summary)))
