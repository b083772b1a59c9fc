"""`spiccato listen`: a microphone of this machine, live in the terminal or as JSON lines, heard here or by a server.

Heard here, it is a `server.source.Source`, the same as the server's own microphones. Knows where messages are shown and
when to stop; nothing of how they come about.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from client import stream as client
from engine.pipeline import default_settings
from engine.weights import Model
from server import commands as c
from server import protocol as p
from server.detect import Mistaken, applied
from server.hub import TELEMETRY
from server.reader import Input, Reader, ReadError
from server.session import Out
from server.settings import Settings
from server.source import EMIT, SESSION_KINDS, Source
from server.watchdog import Watchdog
from spiccato.lanes import Lanes, summary_table
from spiccato.model import warmed
from spiccato.recording import Recording
from spiccato.trouble import fail

Message = dict[str, Any]
Show = Callable[[Message], None]

SOURCE = "microphone"


def run(
    settings: Settings,
    input: Input,
    *,
    labels: list[str],
    save: Path | None,
    server: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Listen until Ctrl-C, here or at `server`. wait: for a device that is not there yet.

    Raises ReadError, StreamError, ModelError, Refusal.
    """
    logging.getLogger("spiccato").addHandler(logging.NullHandler())  # what the log would say, the view says
    detect = {"labels": labels} if labels else {}
    model = warmed(settings) if server is None else None
    if model is not None:
        _check(model, detect)
    try:
        recording = None if save is None else Recording(save)
    except OSError as error:
        fail(f"{save} cannot be written: {(error.strerror or str(error)).lower()}")
    view = lines if as_json or not sys.stdout.isatty() else screen
    try:
        with view() as show:
            if model is not None:
                work = here(model, settings.limits, show, input, detect=detect, recording=recording, wait=wait)
            else:
                assert server is not None
                token = None if settings.token is None else settings.token.get_secret_value()
                work = there(server, show, input, token=token, detect=detect, recording=recording, wait=wait)
            asyncio.run(work)
    finally:
        if recording is not None:
            recording.close()
            for path in recording.paths:
                print(f"kept in {path}", file=sys.stderr)


async def here(
    model: Model,
    limits: p.Limits,
    show: Show,
    input: Input,
    *,
    detect: Message,
    recording: Recording | None,
    wait: bool,
) -> None:
    """Listen with this process's engine until Ctrl-C. A device that goes away is waited for.

    Raises ReadError if it cannot be opened at all, and is not to be waited for.
    """
    never_heard = not wait

    def publish(out: Out) -> None:
        nonlocal never_heard
        if isinstance(out, bytes):
            return
        if out["type"] == "source":
            never_heard = never_heard and out["state"] != "healthy"
            if out["state"] == "failed" or (never_heard and out["state"] == "lost"):
                source.stop()
                return
        show(out)

    tap = recording.take if recording is not None else None
    source = Source(SOURCE, model, limits, publish, input, detect=detect, tap=tap)
    with _stopping(source.stop):
        await source.run()
    if source.state.state == "failed" or (never_heard and source.state.state == "lost"):
        raise ReadError("device_failed", source.state.detail)


async def there(
    url: str,
    show: Show,
    input: Input,
    *,
    token: str | None,
    detect: Message,
    recording: Recording | None,
    wait: bool,
) -> None:
    """Send what is read to the service at `url` until Ctrl-C or its end. Raises ReadError, StreamError."""
    stop = asyncio.Event()
    with _stopping(stop.set):
        reader = await _opened(input, stop, show if wait else None)
        if reader is None:
            return
        try:
            opened = reader.opened
            async with client.connect(
                url,
                sample_rate=opened.sample_rate,
                encoding=opened.encoding,
                channels=opened.channels,
                source={"name": SOURCE, "kind": SESSION_KINDS[input.kind]},
                detect=detect,
                token=token,
                emit={**EMIT, "frames_hz": 0},
            ) as stream:
                show(stream.started)
                detail = f"{opened.name} at {opened.sample_rate} Hz, heard by {url}"
                show(p.dumped(p.SourceState(state="healthy", detail=detail)))
                sending = asyncio.create_task(_send(reader, stream, stop, recording))
                try:
                    async for message in stream:
                        if isinstance(message, dict):
                            show(message)
                finally:
                    stop.set()
                    await sending
        finally:
            await reader.close()


async def _opened(input: Input, stop: asyncio.Event, waiting: Show | None) -> Reader | None:
    """With `waiting`, which is told of each failure, it is tried until it is there; None: `stop` came before."""
    dog = Watchdog(input.watch)
    while not stop.is_set():
        opening = asyncio.ensure_future(input.open())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                return opening.result()
        except ReadError as error:
            told = dog.lost(error, 0.0)
            if waiting is None or told.retry_in_ms is None:
                raise
            waiting(p.dumped(told))
            await asyncio.wait({stopping}, timeout=told.retry_in_ms / 1000)
        finally:
            for task in (opening, stopping):
                task.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)
    return None


async def _send(reader: Reader, stream: client.Stream, stop: asyncio.Event, recording: Recording | None) -> None:
    """Blocks from the reader to the server until `stop` or the device's end; then the stream is stopped."""
    stopping = asyncio.create_task(stop.wait())
    reading = asyncio.ensure_future(reader.read())
    try:
        while not stop.is_set():
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                break
            if (block := reading.result()) is None:
                break
            reading = asyncio.ensure_future(reader.read())
            if recording is not None:
                recording.take(reader.opened, block)
            if block.lost:
                await stream.command("gap", samples=block.lost, reason=block.reason)
            await stream.send(block.pcm)
    finally:
        stopping.cancel()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # a device that is gone was told, or is not missed
        await stream.stop()


def _check(model: Model, detect: Message) -> None:
    try:
        applied(model, default_settings(model), c.Detect.model_validate(detect))
    except Mistaken as error:
        fail("; ".join(mistake.message for mistake in error.mistakes))


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


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop` instead of ending the process."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
