"""One session with its two queues, going on with or without a connection: inbox -> session -> outbox.

Without a connection the session stands still: what had come is heard, no stall and no idling is told, and after
`window_s` it ends. Knows that there is a connection, nothing of sockets; the event loop only moves bytes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Protocol

from server import commands as c
from server.errors import Close, Code, Refusal
from server.inbox import Dropped, Inbox, Item
from server.meter import Meter
from server.outbox import TELEMETRY, Outbox, Told, encoded
from server.session import Out, Session
from server.settings import Settings

log = logging.getLogger("spiccato.live")

TICK_S = 0.25  # how often time passes for a session: heartbeats, stalls, idling


class Connected(Protocol):
    """What a conversation asks of its connection."""

    def cut(self, close: Close, reason: str) -> None:
        """Close, now; the conversation has gone on without it."""


class Conversation:
    def __init__(
        self,
        session: Session,
        settings: Settings,
        executor: Executor,
        secret: str,
        meter: Meter,
        tell: Callable[[str, dict[str, Any]], None] = lambda source, message: None,
    ) -> None:
        self.session = session
        self.meter = meter
        self.secret = secret  # that a client shows to resume
        self.inbox = Inbox(settings.max_chunk_bytes)
        self.outbox = Outbox(session.id)
        self.connection: Connected | None = None
        self.start: c.Start | None = None  # once it was accepted
        self._gone_at = 0.0  # when the connection was lost
        self._settings = settings
        self._executor = executor
        self._tell = tell  # is given the source's name and each message that is no telemetry

    async def run(self) -> None:
        """Until the session has ended; the rest of the outbox is then the connection's."""
        ticked = time.monotonic()
        try:
            while self.session.closed is None:
                if self.outbox.full and self.inbox.closed is None:
                    await self.outbox.room(TICK_S)  # a slow reader is heard no further
                elif (item := await self.inbox.get(TICK_S)) is not None:
                    await self._work(partial(_done, self.session, *item))
                    if isinstance(item[0], bytes):
                        self.meter.latency.observe(time.monotonic() - item[1])
                    self._follow_start()
                elif self.inbox.closed is not None:
                    await self._work(partial(self.session.end, self.inbox.closed))
                if (now := time.monotonic()) - ticked >= TICK_S:
                    ticked = now
                    self._tick(now)
        finally:
            self.outbox.close()

    def attach(self, connection: Connected) -> None:
        self.connection = connection

    def detach(self) -> None:
        """The connection is gone; the session waits for another."""
        self.connection = None
        self._gone_at = time.monotonic()

    def retire(self) -> None:
        """The session has ended and may be asked for its last messages only: the engine's memory is free."""
        self.session.stream = self.inbox.samples_of = None

    @property
    def bytes(self) -> int:
        """Of what waits and what is kept, about."""
        return self.outbox.bytes + self.inbox.audio_bytes

    async def _work(self, work: Callable[[], list[Out]]) -> None:
        """The one hand-off of an item to the engine's threads."""
        loop = asyncio.get_running_loop()
        outs, told = await loop.run_in_executor(self._executor, _encoded, self.session, self.meter, work)
        self.outbox.put(told)
        self._tap(outs)
        self.outbox.acknowledged(self.session.acknowledged)

    def _follow_start(self) -> None:
        """Once the form of the audio is known, so is how much of it may wait, and what happens to more."""
        stream = self.session.stream
        if stream is not None and self.start is None:
            self.start = stream.start
            self.inbox.limit_bytes = self.session.bytes_of(self._settings.queue_ms)
            self.inbox.policy = stream.start.on_overload
            self.inbox.samples_of = stream.waiting

    def _tick(self, now: float) -> None:
        if self.connection is None:
            if now - self._gone_at >= self._settings.resume_s:
                self.inbox.close("disconnect")
            return
        outs = self.session.tick(now, self.inbox.audio_bytes)
        self.meter.told(outs, self.session.stream)
        self.outbox.put(encoded(outs))
        self._tap(outs)

    def _tap(self, outs: list[Out]) -> None:
        if self.session.stream is not None:
            for out in outs:
                if isinstance(out, dict) and out["type"] not in TELEMETRY:
                    self._tell(self.session.stream.start.source.name, out)


def _encoded(session: Session, meter: Meter, work: Callable[[], list[Out]]) -> tuple[list[Out], list[Told]]:
    began = time.perf_counter()
    outs = work()
    told = encoded(outs)
    meter.told(outs, session.stream)
    meter.engine_s += time.perf_counter() - began
    return outs, told


def _done(session: Session, item: Item, arrived: float) -> list[Out]:
    """What the session says to an item of its inbox. A fault of ours ends this session and no other."""
    try:
        if isinstance(item, bytes):
            return session.audio(item, arrived)
        if isinstance(item, str):
            return session.text(item)
        return session.lost(item.what) if isinstance(item, Dropped) else item(session)
    except Exception:
        log.exception("failed session=%s", session.id)
        return session.fail(Refusal(Code.INTERNAL, "the server failed on this message; the log says why"))
