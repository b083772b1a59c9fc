"""What `spiccato listen` shows: lanes in a terminal, lines of JSON in a pipe or a file. Messages in, text out."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from server.subscriber import TELEMETRY
from spiccato.lanes import Lanes, summary_table

Message = dict[str, Any]
Show = Callable[[Message], None]


@contextmanager
def view(as_json: bool, out: Path | None) -> Iterator[Show]:
    """Lanes where stdout is a terminal, else lines; a file gets its lines beside. Raises OSError."""
    with kept(out) as keep, lines() if as_json or not sys.stdout.isatty() else screen() as show:

        def both(message: Message) -> None:
            keep(message)
            show(message)

        yield both


@contextmanager
def kept(out: Path | None) -> Iterator[Show]:
    """Append each message that is not telemetry to a file, as a line of JSON. Raises OSError."""
    if out is None:
        yield lambda _: None
        return
    with out.open("a", encoding="utf-8") as file:

        def keep(message: Message) -> None:
            if message["type"] not in TELEMETRY:
                file.write(json.dumps(message) + "\n")
                file.flush()

        yield keep


@contextmanager
def lines() -> Iterator[Show]:
    """Show each message that is not telemetry as one line of JSON on stdout."""

    def show(message: Message) -> None:
        if message["type"] in TELEMETRY:
            return
        try:
            print(json.dumps(message), flush=True)
        except BrokenPipeError:  # `| head` has what it wanted: nothing more is written, and we end as with Ctrl-C
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            signal.raise_signal(signal.SIGINT)

    yield show


@contextmanager
def screen() -> Iterator[Show]:
    """Show lanes in the terminal, and a summary at the end."""
    console = Console()
    lanes = Lanes()
    summaries: list[Message] = []
    with Live(lanes, console=console, auto_refresh=False, transient=True) as live:

        def show(message: Message) -> None:
            if message["type"] == "summary":
                summaries.append(message)
            if lanes.feed(message):
                live.refresh()

        yield show
    for summary in summaries:
        console.print(summary_table(summary))
