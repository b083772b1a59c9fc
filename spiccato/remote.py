"""`spiccato listen --server`: what is heard here is sent to a running service, which finds the instruments. Knows an
input, the client and the watchdog; nothing of engines, terminals or what the messages mean.

Each opening of the input is one session. A connection that is lost is the client's to mend; an input that is lost, and
a service that ends the session, are waited for here. A file or a pipe cannot be heard again: there that is an error.
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
TICK_S = 0.5
AWAY = p.SourceState(state="recovering", detail="the connection to the service is lost: trying again")
LAST_WORDS_S = 5.0  # after Ctrl-C, for what the service still has to say


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
    refuses it, cannot be reached at first, or ends the session of a file or a pipe.
    """
    stop = asyncio.Event()
    watchdog = Watchdog(input.watch)
    once = isinstance(input, PipeInput | FileInput)
    heard = wait

    def tell(state: p.SourceState | None) -> None:
        if state is not None:
            show(p.dumped(state))

    with stopping(stop.set):
        while not stop.is_set():
            try:
                tell(watchdog.opening(input.title))
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
                        lossless=once,
                        anew=not once,
                    ) as stream:
                        show(stream.started)
                        heard = True
                        await _Session(reader, stream, watchdog, show, stop, tap).run()
                finally:
                    await reader.close()
                if not stop.is_set():
                    tell(watchdog.ended(f"{input.title} is over"))
                return
            except (ReadError, client.StreamError) as error:
                if stop.is_set() or not heard or (isinstance(error, client.StreamError) and not _passes(error, once)):
                    raise
                lost = error if isinstance(error, ReadError) else ReadError(error.code, str(error))
                told = watchdog.lost(lost, time.monotonic())
                if told.retry_in_ms is None:
                    raise
                tell(told)
                await _waited(stop, told.retry_in_ms / 1000)


def _passes(error: client.StreamError, once: bool) -> bool:
    """Another session may begin later. `ended`: the service stops, or is started again."""
    return not once and (error.retryable or error.code == "ended")


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


class _Session:
    """One opening of the input, sent to one session."""

    def __init__(
        self,
        reader: Reader,
        stream: client.Stream,
        watchdog: Watchdog,
        show: Show,
        stop: asyncio.Event,
        tap: Tap | None,
    ) -> None:
        self._reader = reader
        self._stream = stream
        self._watchdog = watchdog
        self._show = show
        self._stop = stop
        self._tap = tap
        self._over = asyncio.Event()  # the service has ended the session

    async def run(self) -> None:
        """Until `stop`, the input's end or the session's. Raises ReadError when the input goes away, StreamError."""
        showing, sending = asyncio.create_task(self._show_all()), asyncio.create_task(self._send())
        both = {showing, sending}
        connected = True
        try:
            while True:
                done, pending = await asyncio.wait(both, timeout=TICK_S, return_when=asyncio.FIRST_EXCEPTION)
                if showing.done():
                    self._over.set()
                if not pending or any(task.exception() for task in done) or self._stop.is_set():
                    break
                if self._stream.connected is not connected:
                    connected = self._stream.connected
                    self._show(p.dumped(self._watchdog.state if connected else AWAY))
            if pending:
                await asyncio.wait(pending, timeout=LAST_WORDS_S)
            for task in (showing, sending):
                if not task.done():
                    raise client.StreamError(
                        "unreachable", "the service does not answer: what it had not yet told is lost"
                    )
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)  # what they ended with was raised

    async def _show_all(self) -> None:
        async for message in self._stream:
            if isinstance(message, dict):
                self._show(message)

    async def _send(self) -> None:
        """Blocks from the input to the service; then the stream is stopped."""
        lost = None
        try:
            await self._send_blocks()
        except ReadError as error:
            lost = error
        await self._stream.stop()
        if lost is not None:
            raise lost

    async def _send_blocks(self) -> None:
        reader, stream, watchdog = self._reader, self._stream, self._watchdog
        stay_s = stream.started["limits"]["idle_s"] / 3
        interrupted = [asyncio.create_task(event.wait()) for event in (self._stop, self._over)]
        reading = asyncio.ensure_future(reader.read())
        sent_s = time.monotonic()
        try:
            while not self._stop.is_set() and not self._over.is_set():
                tick_s = min(TICK_S, stay_s)
                await asyncio.wait({reading, *interrupted}, timeout=tick_s, return_when=asyncio.FIRST_COMPLETED)
                now = time.monotonic()
                if reading.done():
                    block = reading.result()
                    if block is None:
                        return
                    reading = asyncio.ensure_future(reader.read())
                    if (told := watchdog.heard(now)) is not None:
                        self._show(p.dumped(told))
                    if self._tap is not None:
                        self._tap(reader.opened, block)
                    if block.lost:
                        await stream.command("gap", samples=block.lost, reason=block.reason)
                    await stream.send(block.pcm)
                    sent_s = time.monotonic()
                elif watchdog.overdue(now):
                    give_up = f"{reader.opened.name} gave no sample for {watchdog.watch.give_up_s:g} s"
                    raise ReadError("source_stalled", give_up)
                elif now - sent_s > stay_s:  # a pipe may pause for as long as it likes
                    await stream.command("keepalive")
                    sent_s = now
        finally:
            for task in (reading, *interrupted):
                task.cancel()
            await asyncio.gather(reading, return_exceptions=True)  # what is gone was told, or is not missed


async def _waited(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
