"""One session with its two queues, going on with or without a connection: inbox -> session -> outbox.

Without a connection the session stands still: what had come is heard, no stall and no idling is told, and after
`window_s` it ends. Knows that there is a connection, nothing of sockets; the event loop only moves bytes.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from server import commands as c
from server.errors import Close
from server.inbox import Inbox, Item, nothing
from server.lane import Lane
from server.meter import Meter
from server.outbox import TELEMETRY, Outbox, Told, encoded
from server.session import Out, Session
from server.settings import Settings

TICK_S = 0.25  # how often time passes for a session: heartbeats, stalls, idling
ITEMS, ITEM_BYTES = 8, 65_536  # of one session in a batch: who sends faster than real time waits for the others


class Connected(Protocol):
    """What a conversation asks of its connection."""

    def cut(self, close: Close, reason: str) -> None:
        """Close, now; the conversation has gone on without it."""

    def flush(self) -> None:
        """Something waits in the outbox, or nothing more will."""

    def let_in(self) -> None:
        """The inbox has room again."""


@dataclass(slots=True)
class Heard:
    """What a conversation gave to a batch, and what its session said to that."""

    conversation: "Conversation"
    items: list[tuple[Item, float]]
    outs: list[Out] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    def said(self, outs: list[Out]) -> None:
        """In a thread."""
        if outs:
            self.outs, self.told = outs, encoded(outs)
        self.conversation.meter.told(outs, self.conversation.session.stream)


class Conversation:
    def __init__(
        self,
        session: Session,
        settings: Settings,
        lane: Lane,
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
        self._lane = lane
        self._tell = tell  # is given the source's name and each message that is no telemetry
        self._at_work = False  # in the lane
        self._tick_due = False
        self._ended = asyncio.Event()
        self._fault: Exception | None = None
        self.inbox.on_item = self.outbox.on_room = self._wake

    async def run(self) -> None:
        """Until the session has ended; the rest of the outbox is then the connection's."""
        ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        try:
            await self._ended.wait()
            if self._fault is not None:
                raise self._fault
        finally:
            ticking.cancel()
            self._ended.set()
            self.inbox.on_item = self.outbox.on_room = nothing
            self.outbox.close()

    def attach(self, connection: Connected) -> None:
        self.connection = connection
        self.outbox.on_told, self.inbox.on_room = connection.flush, connection.let_in

    def detach(self) -> None:
        """The connection is gone; the session waits for another."""
        self.connection = None
        self.outbox.on_told = self.inbox.on_room = nothing
        self._gone_at = time.monotonic()

    def retire(self) -> None:
        """The session has ended and may be asked for its last messages only: the engine's memory is free."""
        self.session.retire()
        self.inbox.samples_of = None

    @property
    def bytes(self) -> int:
        """Of what waits and what is kept, about."""
        return self.outbox.bytes + self.inbox.audio_bytes

    # --- its turn in the lane ---

    def _wake(self) -> None:
        """There may be something to do."""
        if self._at_work or self.session.closed is not None:
            return
        if self.inbox.closed is None and (not self.inbox.waits or self.outbox.full):
            return  # a slow reader is heard no further
        self._at_work = True
        self._lane.want(self)

    @property
    def alone(self) -> bool:
        """Its stream is heard by itself."""
        return self.session.stream is not None and self.session.pooled is None

    def next(self) -> Heard:
        """What is to be heard now."""
        items: list[tuple[Item, float]] = []
        size = 0
        most = 1 if self.start is None else ITEMS  # `start` says whether it is heard alone
        while len(items) < most and size < ITEM_BYTES and (item := self.inbox.take()) is not None:
            items.append(item)
            size += len(item[0]) if isinstance(item[0], bytes) else 0
        if not items and (reason := self.inbox.closed) is not None:
            items.append((lambda session: session.end(reason), 0.0))
        return Heard(self, items)

    def done(self, heard: Heard) -> None:
        """What `next` gave was heard. A fault of ours ends this session and no other."""
        try:
            self._done(heard)
        except Exception as error:
            self._fault = error
            self._ended.set()

    def _done(self, heard: Heard) -> None:
        now = time.monotonic()
        for item, arrived in heard.items:
            if isinstance(item, bytes):
                self.meter.latency.observe(now - arrived)
        if self._ended.is_set():  # given up meanwhile
            return
        self._at_work = False
        self._say(heard.outs, heard.told)
        self.outbox.acknowledged(self.session.acknowledged)
        if self.start is None:
            self._follow_start()
        if self._tick_due:
            self._pass_time(now)
        if self.session.closed is not None:
            self._ended.set()
        else:
            self._wake()

    def _follow_start(self) -> None:
        """Once the form of the audio is known, so is how much of it may wait, and what happens to more."""
        stream = self.session.stream
        if stream is not None:
            self.start = stream.start
            self.inbox.limit_bytes = self.session.bytes_of(self._settings.queue_ms)
            self.inbox.policy = stream.start.on_overload
            self.inbox.samples_of = stream.waiting

    # --- time ---

    def _tick(self) -> None:
        if self._ended.is_set():
            return
        asyncio.get_running_loop().call_later(TICK_S, self._tick)
        if self._at_work:
            self._tick_due = True
        else:
            self._pass_time(time.monotonic())

    def _pass_time(self, now: float) -> None:
        self._tick_due = False
        if self.connection is None:
            if now - self._gone_at >= self._settings.resume_s:
                self.inbox.close("disconnect")
            return
        waiting = self.inbox.audio_bytes
        if self.session.idles(now, waiting):
            self.inbox.order(lambda session: session.tick(now, waiting))  # the end of a stream is for the lane
        elif outs := self.session.tick(now, waiting):
            self.meter.told(outs, self.session.stream)
            self._say(outs, encoded(outs))

    def _say(self, outs: list[Out], told: list[Told]) -> None:
        if told:
            self.outbox.put(told)
        if self.session.stream is not None and not self.session.apart:
            for out in outs:
                if isinstance(out, dict) and out["type"] not in TELEMETRY:
                    self._tell(self.session.stream.start.source.name, out)
