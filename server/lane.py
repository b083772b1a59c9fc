"""One call of the engine for all that waits in many sessions: what comes while a batch is heard is the next batch.

A hand-off for each chunk costs several times what hearing it does. With many sessions a batch is collected for some
milliseconds. The usual chunks in it (`unison.py`) need the interpreter on the event loop only, and a thread hears them
without; a small batch is heard at once, for the thread would cost more. What is not usual is for the thread altogether,
and sessions that are heard alone (their trace is wanted, or their chunks are large) have hand-offs of their own. Knows
conversations and threads; nothing of messages. A session is in one batch at a time, once, so its calls come one after
the other.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from engine.weights import Model
from server import chorus, framing
from server.choir import Choir
from server.inbox import Item
from server.meter import Meter
from server.unison import Row, Seat, Unison

if TYPE_CHECKING:
    from server.conversation import Conversation, Heard

EACH_S, MOST_S = 20e-6, 2e-3  # from one batch to the next: for each open stream, and at most
TIMER_S = 0.5e-3  # uvloop's timers are no finer: a shorter pause is none
AT_ONCE_BYTES = 131_072  # of sound, 4 s of it: they are heard in a millisecond or so; and no thread is waited for


class Batch:
    def __init__(self, choir: Choir, rows: list[Row], others: "list[Heard]") -> None:
        self._choir = choir
        self._rows = rows
        self._unison = Unison(choir, rows)
        self._others = others
        self._others_s = 0.0  # that hearing them took, with the encoding of what they say

    def hear(self) -> None:
        """In any thread."""
        if self._rows:
            self._unison.hear()
        if self._others:
            began = time.perf_counter()
            said = chorus.hear(self._choir, [(heard.conversation.session, heard.items) for heard in self._others])
            for heard, outs in zip(self._others, said, strict=True):
                heard.said(outs)
            self._others_s = time.perf_counter() - began

    def done(self, meter: Meter) -> None:
        """What was said goes on its way."""
        self._unison.tell()
        arrivals = [row[4] for row in self._rows]
        for heard in self._others:
            heard.conversation.done(heard)
            arrivals += [arrived for item, arrived in heard.items if isinstance(item, bytes)]
        meter.engine_s += self._unison.seconds + self._others_s
        meter.latency.observe_all(time.monotonic() - np.array(arrivals))


class Lane:
    def __init__(self, model: Model, places: int, executor: Executor, meter: Meter) -> None:
        """places: streams that can be heard together; more are heard alone. meter: of all that is heard here."""
        self.choir = Choir(model, places)
        self._turn = 0  # the batch that is being collected
        self._rows: list[Row] = []  # of it, in the order in which they came
        self._bytes = 0  # of sound in it
        self._waiting: list[Conversation] = []
        self._after: list[Callable[[], None]] = []
        self._executor = executor
        self._meter = meter
        self._running = False  # a batch is collected or heard
        self._hearing = False
        self._not_before_s = 0.0  # the next batch, by the event loop's clock

    def take(self, seat: Seat, data: Item, arrived: float) -> bool:
        """A message for this seat. False if it is no usual chunk or too much waits: nothing is done with it."""
        if not isinstance(data, bytes) or len(data) > seat.chunk_bytes:
            return False
        if seat.framed:
            data = framing.following(data, seat.clock)
        size = len(data)
        if not size or size % 2:
            return False
        if seat.turn != self._turn:
            seat.turn, seat.bytes = self._turn, 0
        elif seat.bytes and seat.bytes + size > seat.limit_bytes:
            return False
        seat.bytes += size
        seat.clock += size // 2
        seat.arrived = arrived
        self._bytes += size
        self._rows.append((seat, seat.stream, data, seat.clock, arrived))
        if not self._running:
            self._running = True
            self._collect()
        return True

    def want(self, conversation: "Conversation") -> None:
        """Something else waits there. Not to be said again before its `done`."""
        if conversation.alone:
            if (heard := conversation.next()) is not None:
                self._submit(Batch(self.choir, [], [heard]), self._done)
            return
        self._waiting.append(conversation)
        if not self._running:
            self._running = True
            self._collect()

    def drop(self, seat: Seat) -> None:
        """What came there is not to be heard: its session has ended."""
        self._rows = [row for row in self._rows if row[0] is not seat]
        self._bytes = sum(len(row[2]) for row in self._rows)

    def after(self, do: Callable[[], None]) -> None:
        """Once nothing is being heard: perhaps now."""
        if self._hearing:
            self._after.append(do)
        else:
            do()

    def waiting(self, seat: Seat) -> int:
        """Bytes of sound that came there and wait, while nothing is being heard."""
        return seat.bytes if seat.turn == self._turn else 0

    @property
    def waiting_bytes(self) -> int:
        """Of all seats."""
        return self._bytes

    def _collect(self) -> None:
        """Hear what waits, and what comes until then: with few sessions, in this turn of the loop."""
        loop = asyncio.get_running_loop()
        pause_s = self._not_before_s - loop.time()
        if pause_s < TIMER_S:
            loop.call_soon(self._hand_over)
        else:
            loop.call_later(pause_s, self._hand_over)

    def _hand_over(self) -> None:
        self._not_before_s = asyncio.get_running_loop().time() + min(MOST_S, EACH_S * len(self.choir))
        rows, self._rows = self._rows, []
        size, self._bytes = self._bytes, 0
        waiting, self._waiting = self._waiting, []
        turn, self._turn = self._turn, self._turn + 1
        others = []
        for conversation in waiting:
            if conversation.in_turn(turn):  # what came there before is in this batch: it has to be heard first
                self._waiting.append(conversation)
            elif (heard := conversation.next()) is not None:
                others.append(heard)
        self._hearing = True
        batch = Batch(self.choir, rows, others)
        if others or size > AT_ONCE_BYTES:
            self._submit(batch, self._go_on)
        else:
            batch.hear()
            self._go_on(batch)

    def _submit(self, batch: Batch, back: "Callable[[Batch], None]") -> None:
        self._executor.submit(self._work, asyncio.get_running_loop(), batch, back)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: Batch, back: "Callable[[Batch], None]") -> None:
        batch.hear()
        loop.call_soon_threadsafe(back, batch)

    def _done(self, batch: Batch) -> None:
        batch.done(self._meter)

    def _go_on(self, batch: Batch) -> None:
        self._done(batch)
        self._hearing = False
        after, self._after = self._after, []
        for do in after:
            do()
        self._running = bool(self._waiting or self._rows)
        if self._running:
            self._collect()
