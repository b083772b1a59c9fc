"""`spiccato listen --server`: what is heard here is sent to a running service, which finds the instruments. Knows an
input, the client and the watchdog; nothing of engines, terminals or what the messages mean.

Each opening of the input is one session. A connection that is lost is the client's to mend, an input that is lost ours.
"""

import asyncio
import contextlib
import time
from typing import Any

from client import stream as client
from server import protocol as p
from server.pipe import PipeInput
from server.pulled import FileInput
from server.reader import Input, Reader, ReadError
from server.source import EMIT, SESSION_KINDS, Tap
from server.watchdog import Watchdog
from spiccato.stopping import stopping
from spiccato.views import Show

Message = dict[str, Any]

EMITTED = {**EMIT, "frames_hz": 0, "wave": False, "linear": False}


async def there(
    url: str,
    input: Input,
    show: Show,
    *,
    name: str,
    token: str | None,
    detect: Message,
    tap: Tap | None,
    wait: bool,
) -> None:
    """Send what `input` gives to the service at `url`, until Ctrl-C or its end.

    wait: for what is not there yet. Raises ReadError where it cannot be opened at all, StreamError where the service
    ends the session.
    """
    stop = asyncio.Event()
    watchdog = Watchdog(input.watch)

    def tell(state: p.SourceState | None) -> None:
        if state is not None:
            show(p.dumped(state))

    heard = wait
    with stopping(stop.set):
        while not stop.is_set():
            try:
                reader = await _opened(input, stop)
                if reader is None:
                    return
                try:
                    watchdog.opened(reader.opened, time.monotonic())
                    kind = SESSION_KINDS[input.kind] if reader.opened.live else "file"
                    async with client.connect(
                        url,
                        sample_rate=reader.opened.sample_rate,
                        encoding=reader.opened.encoding,
                        channels=reader.opened.channels,
                        source={"name": name, "kind": kind},
                        detect=detect,
                        token=token,
                        emit=EMITTED,
                        lossless=isinstance(input, PipeInput | FileInput),
                    ) as stream:
                        show(stream.started)
                        heard = True
                        tell(watchdog.heard(time.monotonic()))
                        await _one_session(reader, stream, show, stop, tap)
                finally:
                    await reader.close()
                if not stop.is_set():
                    tell(watchdog.ended(f"{input.title} is over"))
                return
            except ReadError as error:
                told = watchdog.lost(error, time.monotonic())
                if not heard or told.retry_in_ms is None:
                    raise
                tell(told)
                await _waited(stop, told.retry_in_ms / 1000)


async def _opened(input: Input, stop: asyncio.Event) -> Reader | None:
    """None: `stop` came before."""
    opening = asyncio.ensure_future(input.open())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return opening.result() if opening.done() else None
    finally:
        for task in (opening, stopped):
            task.cancel()
        await asyncio.gather(opening, stopped, return_exceptions=True)


async def _one_session(reader: Reader, stream: client.Stream, show: Show, stop: asyncio.Event, tap: Tap | None) -> None:
    """Until `stop`, the input's end or the session's. Raises ReadError when the input goes away, StreamError."""
    over = asyncio.Event()
    sending = asyncio.create_task(_send(reader, stream, (stop, over), tap))
    try:
        async for message in stream:
            if isinstance(message, dict):
                show(message)
    finally:
        over.set()
        await sending


async def _send(reader: Reader, stream: client.Stream, interrupts: tuple[asyncio.Event, ...], tap: Tap | None) -> None:
    """Blocks from the input to the service; then the stream is stopped."""
    interrupted = [asyncio.create_task(event.wait()) for event in interrupts]
    reading = asyncio.ensure_future(reader.read())
    try:
        while not any(event.is_set() for event in interrupts):
            await asyncio.wait({reading, *interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() or (block := reading.result()) is None:
                break
            reading = asyncio.ensure_future(reader.read())
            if tap is not None:
                tap(reader.opened, block)
            if block.lost:
                await stream.command("gap", samples=block.lost, reason=block.reason)
            await stream.send(block.pcm)
    finally:
        for task in (reading, *interrupted):
            task.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # what is gone was told, or is not missed
        await stream.stop()


async def _waited(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
