"""One session with its two queues, going on with or without a connection: inbox -> session -> outbox.

Without a connection the session stands still: what had come is heard, no stall and no idling is told, and after
`window_s` it ends. Knows that there is a connection, nothing of sockets; the event loop only moves bytes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import from_json

from server import chorus
from server import commands as c
from server import protocol as p
from server.errors import Close
from server.escrow import LEAP, Escrow
from server.inbox import Inbox, Item, nothing
from server.lane import Lane
from server.level import Reading
from server.meter import Meter
from server.outbox import TELEMETRY, Outbox, Told, encoded
from server.saved import SavedSession
from server.session import Out, Session
from server.settings import Settings
from server.store import MESSAGES, Claimed, Save, digest
from server.stream import HEAVY
from server.unison import Seat, Spoken

if TYPE_CHECKING:
    from server.failover import Failover

TICK_S = 0.25  # how often time passes for a session: heartbeats, stalls, idling
LOOK_S = 1.0  # how often for one that is heard and tells nothing: does it come at its rate?
ITEMS, ITEM_BYTES = 8, 65_536  # of one session in a batch: who sends faster than real time waits for the others


class Connected(Protocol):
    """What a conversation asks of its connection."""

    def cut(self, close: Close, reason: str) -> None:
        """Close, now; the conversation has gone on without it."""

    def flush(self) -> None:
        """Something waits in the outbox, or nothing more will."""

    @property
    def takes(self) -> bool:
        """What is told now is sent at once."""

    def tell(self, text: str) -> None:
        """Send this, past the outbox: only while it `takes`, and nothing waits there."""

    def seat(self, take: Callable[[bytes, float], bool] | None) -> None:
        """What comes as bytes may be offered here first, with the time of arrival. None: all goes to `came`."""

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
        """In any thread."""
        if outs:
            self.outs, self.told = outs, encoded(outs)


class Conversation:
    def __init__(
        self,
        session: Session,
        settings: Settings,
        lane: Lane,
        secret: str,
        meter: Meter,
        tell: Callable[[str, dict[str, Any]], None] = lambda source, message: None,
        failover: "Failover | None" = None,
    ) -> None:
        self.session = session
        self.meter = meter
        self.secret = secret  # that a client shows to resume
        self.inbox = Inbox(settings.max_chunk_bytes)
        self.outbox = Outbox(session.id)
        self.connection: Connected | None = None
        self.start: c.Start | None = None  # once it was accepted
        self.alone = False  # its stream is heard by itself
        self._gone_at = 0.0  # when the connection was lost
        self._settings = settings
        self._lane = lane
        self._failover = failover
        self.escrow: Escrow | None = None  # once it started, where another process may go on with it
        self._resting: list[Callable[[], None]] = []  # to be done once nothing of it is being heard
        self._tell = tell  # is given the source's name and each message that is no telemetry
        self._at_work = False  # in the lane
        self._seat: Seat | None = None  # where usual chunks come in
        self._take: Callable[[bytes, float], bool] | None = None  # that seat's
        self._last_seat: Seat | None = None
        self._tick_due = False
        self._due = 0.0  # before then time changes nothing, as long as usual chunks come
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
            if self.escrow is not None:
                await self.escrow.empty()
        finally:
            ticking.cancel()
            self._ended.set()
            self.inbox.on_item = self.outbox.on_room = nothing
            self.outbox.close()

    def attach(self, connection: Connected) -> None:
        self.connection = connection
        self.outbox.on_told, self.inbox.on_room = connection.flush, connection.let_in
        connection.seat(self._take)

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
    def held_bytes(self) -> int:
        """Of what waits and what is kept, about."""
        return self.outbox.bytes + self.inbox.audio_bytes

    def came(self, message: str | bytes, arrived: float) -> bool:
        """A message of the client. False where it has to wait, as `Inbox.offer`."""
        seat = self._seat
        return (seat is not None and self._lane.take(seat, message, arrived)) or self.inbox.offer(message, arrived)

    # --- another process may go on with it ---

    @property
    def outlives(self) -> bool:
        """Another process can go on with it now."""
        return self.escrow is not None and self.escrow.is_safe and self.session.closed is None

    @property
    def owner(self) -> int | None:
        """Its number as who has the session; None where nobody else could."""
        return None if self.escrow is None else self.escrow.owner

    def go_on(self, claimed: Claimed, saved: SavedSession) -> None:
        """Its session was restored: from here on it is as any other one."""
        assert self._failover is not None
        messages = [(from_json(text)["seq"], text.decode()) for text in claimed.messages]
        ranges = [range(first, first + LEAP) for first in saved.leapt]
        messages = [one for one in messages if not any(one[0] in left_out for left_out in ranges)]
        self.start = saved.start
        gone = max(claimed.gone, messages[0][0] - 1 if len(messages) >= MESSAGES else -1)
        self.outbox.restore(messages, gone, self.session.numbered - 1)
        if saved.closed is not None:
            self._ended.set()
            self.inbox.on_item = self.outbox.on_room = nothing
            self.outbox.close()
            return
        self.alone = self.session.pooled is None
        self._follow_start(claimed, gone, saved.leapt)
        stream = self.session.stream
        if stream is not None and not self.session.apart:
            began = {**p.dumped(stream.started(None)), "session": saved.id, "seq": 1}
            self._tell(stream.start.source.name, began)  # who listens here has not heard of it

    def at_rest(self, do: Callable[[], None]) -> None:
        """Once nothing of it is being heard: perhaps now."""
        self._lane.after(partial(self._rest, do))

    def _rest(self, do: Callable[[], None]) -> None:
        if self.alone and self._at_work:
            self._resting.append(do)
        else:
            do()

    @property
    def clock(self) -> int:
        """Samples that came and were heard."""
        stream = self.session.stream
        return -1 if stream is None else max(stream.hearing.sample, self._last_seat.clock if self._last_seat else 0)

    def save(self, now: float) -> Save | None:
        """While nothing of it is being heard."""
        assert self.escrow is not None
        self._catch_up()
        return self.escrow.save(now)

    def leave(self, close: Close, reason: str) -> None:
        """Another process goes on with it: nothing more is told here."""
        self.session.closed = close
        if self.connection is not None:
            self.connection.cut(close, reason)
            self.detach()
        self._end()
        self.at_rest(self.retire)

    # --- its turn in the lane ---

    def _wake(self) -> None:
        """There may be something to do: `next` looks."""
        if not self._at_work:
            self._at_work = True
            self._stand_up()
            self._lane.want(self)

    def next(self) -> Heard | None:
        """What is to be heard now. None, and it has left the lane or stands in it again, where nothing is.

        A slow reader is heard no further.
        """
        inbox = self.inbox
        if self.session.closed is not None or (inbox.closed is None and (not inbox.waits or self.outbox.full)):
            self._leave_lane()
            return None
        self._catch_up()
        if self._sit_down():
            self._leave_lane()
            return None
        if self._last_seat is not None and self._lane.waiting(self._last_seat):
            self._lane.want(self)  # after the chunks that went there
            return None
        most = 1 if self.start is None else ITEMS  # `start` says whether it is heard alone
        items = inbox.take_some(most, ITEM_BYTES)
        if not items and (reason := inbox.closed) is not None:
            items.append((lambda session: session.end(reason), 0.0))
        return Heard(self, items)

    def done(self, heard: Heard) -> None:
        """What `next` gave was heard. A fault of ours ends this session and no other."""
        try:
            self._done(heard)
        except Exception as error:
            self._fault = error
            self._end()

    def _done(self, heard: Heard) -> None:
        if self._ended.is_set():  # given up meanwhile
            return
        self.alone = self.session.stream is not None and self.session.pooled is None
        if self.start is None:
            self._follow_start()
        if heard.outs:
            self._say(heard.outs, heard.told)
        self.meter.heard(self.session.stream)
        self.outbox.acknowledged(self.session.acknowledged)
        self._leave_lane()
        if self.session.closed is not None:
            self._end()
        elif not self._sit_down() and (self.inbox.waits or self.inbox.closed is not None):
            self._wake()

    def _leave_lane(self) -> None:
        self._at_work = False
        while self._resting:
            self._resting.pop()()
        if self._tick_due:
            self._pass_time()

    # --- usual chunks, which need no turn of their own ---

    def _sit_down(self) -> bool:
        """The next chunks may be usual ones, if nothing else waits: what waits of them goes first."""
        stream, inbox = self.session.stream, self.inbox
        if self.start is None or stream is None or not stream.usual or self.session.closed is not None:
            return False
        if self.outbox.full:
            return False
        assert stream.hearing.slot is not None
        if self._seat is not None:
            return True
        seat = Seat(
            self,
            stream.hearing.slot,
            framed=stream.framed,
            chunk_bytes=min(HEAVY, self._settings.max_chunk_bytes),
            limit_bytes=min(ITEM_BYTES, inbox.limit_bytes // 4),
        )
        seat.clock = stream.hearing.sample
        self._last_seat = seat
        inbox.pass_on(partial(self._lane.take, seat))
        if inbox.waits or inbox.closed is not None:
            return False
        self._seat = seat  # only now: what comes must not pass what waits
        self._take = partial(self._lane.take, seat)
        if self.connection is not None:
            self.connection.seat(self._take)
        return True

    def _stand_up(self) -> None:
        if self._seat is not None:
            self._seat = self._take = None
            if self.connection is not None:
                self.connection.seat(None)

    def in_turn(self, turn: int) -> bool:
        """Usual chunks of it are in that batch."""
        return self._last_seat is not None and self._last_seat.turn == turn

    def _catch_up(self) -> None:
        """The session hears of usual chunks after which there was nothing to say."""
        seat, stream = self._last_seat, self.session.stream
        if seat is None or stream is None:
            return
        if (clock := seat.clock - self._lane.waiting(seat) // 2) > stream.hearing.sample:
            self._tell_all(self.session.came(clock, seat.arrived))

    def level(self, clock: int, reading: Reading) -> bool:
        """Usual chunks were heard, and there is only this to say. False where that is for `heard`."""
        if self._ended.is_set():
            return True
        connection, outbox = self.connection, self.outbox
        if connection is None or outbox.waits or not connection.takes:
            return False
        if self.escrow is not None and self.escrow.holds:
            return False
        try:
            if (told := self.session.level(clock, reading)) is None:
                return False
            seq, text = told
            outbox.passed(seq)
            connection.tell(text)
        except Exception as error:
            self.heard(Spoken(), error)
        return True

    def heard(self, spoken: Spoken, fault: Exception | None) -> None:
        """Usual chunks were heard, and there is something to say."""
        try:
            if not self._ended.is_set():
                self._tell_all(chorus.said_after(self.session, spoken, fault))
        except Exception as error:
            self._fault = error
            self._end()

    def _tell_all(self, outs: list[Out]) -> None:
        if outs:
            self.meter.heard(self.session.stream)
            self._say(outs, encoded(outs))
        if self.session.closed is not None:
            self._end()

    def _end(self) -> None:
        self._stand_up()
        if self._last_seat is not None:
            self._lane.drop(self._last_seat)
        self._ended.set()

    def _follow_start(self, claimed: Claimed | None = None, gone: int = -1, leapt: Sequence[int] = ()) -> None:
        """Once the form of the audio is known, so is how much of it may wait, and what happens to more."""
        stream = self.session.stream
        if stream is not None and self._failover is not None and stream.safe is not None:
            self.escrow = Escrow(
                self.session,
                digest(self.secret),
                self._release,
                partial(self._failover.want, self),
                time.monotonic(),
                0 if claimed is None else claimed.owner,
            )
            self.escrow.gone, self.escrow.leapt = gone, list(leapt)
            self._failover.add(self)
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
        now, seat = time.monotonic(), self._seat
        if seat is None or now >= self._due or now - seat.arrived >= self._settings.stall_ms / 1000:
            self._tick_due = True
            self._lane.after(self._pass_time)

    def _pass_time(self) -> None:
        if self._at_work or not self._tick_due or self._ended.is_set():
            return
        self._tick_due = False
        now = time.monotonic()
        if self.connection is None:
            if now - self._gone_at >= self._settings.resume_s:
                self.inbox.close("disconnect")
            return
        self._catch_up()
        self.meter.heard(self.session.stream)
        waiting = self.inbox.audio_bytes + (self._lane.waiting(self._seat) if self._seat is not None else 0)
        if self.session.idles(now, waiting):
            self.inbox.order(lambda session: session.tick(now, waiting))  # the end of a stream is for the lane
            return
        self._tell_all(self.session.tick(now, waiting))
        if (stream := self.session.stream) is not None:
            self._due = min(stream.heartbeat_due, now + LOOK_S)
            if not stream.usual:
                self._stand_up()

    def _say(self, outs: list[Out], told: list[Told]) -> None:
        if self.escrow is None:
            self._release(outs, told)
        else:
            self.escrow.say(outs, told, time.monotonic())

    def _release(self, outs: list[Out], told: list[Told]) -> None:
        if told:
            self.outbox.put(told)
            if self.outbox.full:
                self._stand_up()
        stream = self.session.stream
        notable = [out for out in outs if isinstance(out, dict) and out["type"] not in TELEMETRY]
        if notable and stream is not None:
            self.meter.told(notable, stream)
            for out in () if self.session.apart else notable:
                self._tell(stream.start.source.name, out)
