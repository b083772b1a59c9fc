"""Usual chunks of many sessions, heard as one: arrays for all of them, and no Python for each.

A usual chunk is one channel of 16-bit samples at the engine's rate, the next on the clock of a session in the choir:
there is nothing to say before it, and nothing in it can be wrong. What a session's objects should know of it (its
clock, when it came) they are told when the session has something to say: it is the touch of many objects for each
chunk, in no cache when hundreds of sessions take turns, that costs. Whatever is not usual goes the long way
(`chorus.py`), to the same bits.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.events import Event
from engine.jit import Record, kernel
from engine.weights import Model
from server.choir import Choir
from server.level import METER, Reading, reading

if TYPE_CHECKING:
    from server.conversation import Conversation


class Seat:
    """Where the usual chunks of one session come in, while nothing else of it waits."""

    __slots__ = ("arrived", "bytes", "chunk_bytes", "clock", "conversation", "framed", "limit_bytes", "stream", "turn")

    def __init__(
        self, conversation: "Conversation", stream: int, *, framed: bool, chunk_bytes: int, limit_bytes: int
    ) -> None:
        self.conversation = conversation
        self.stream = stream  # in the choir
        self.framed = framed
        self.chunk_bytes = chunk_bytes  # a larger message is not usual
        self.limit_bytes = limit_bytes  # that may wait here
        self.clock = 0  # of the session, after the last chunk
        self.arrived = 0.0  # when that came
        self.turn = -1  # the batch that it is in
        self.bytes = 0  # of the session, in that batch


Row = tuple[Seat, int, bytes, int, float]  # a chunk: its seat and stream, samples, clock after it, arrival


@dataclass(slots=True)
class Spoken:
    """What is to be said by one session."""

    chunks: list[tuple[int, float]] = field(default_factory=list)  # clock after each, arrival
    events: list[Event] = field(default_factory=list)
    levels: list[tuple[int, Reading]] = field(default_factory=list)  # clock


class Unison:
    def __init__(self, choir: Choir, rows: list[Row]) -> None:
        self.seconds = 0.0  # that hearing took
        self.fault: Exception | None = None
        self._choir = choir
        self._rows = rows
        self._decided: list[tuple[int, Event]] = []  # by a stream
        self._due: list[tuple[int, Reading]] = []  # by the row after which a level is told

    def hear(self) -> None:
        """In any thread; `tell` tells what came of it."""
        began = time.perf_counter()
        try:
            self._hear(began)
        except Exception as error:
            self.fault = error
        self.seconds = time.perf_counter() - began

    def _hear(self, began: float) -> None:
        count = len(self._rows)
        pcm = np.frombuffer(b"".join([row[2] for row in self._rows]), "<i2")
        ends = np.cumsum([len(row[2]) // 2 for row in self._rows], dtype=np.int64)
        streams = np.array([row[1] for row in self._rows], np.int64)
        samples = np.empty(len(pcm), np.float32)
        rows, due = np.empty(count, np.int64), np.empty(count, METER)
        dues = read_and_measure(pcm, streams, ends, samples, self._choir.meters, rows, due)
        self._decided = self._choir.feed_rows(streams, ends, samples)
        for row, (_, _, *measured) in zip(rows[:dues].tolist(), due[:dues].tolist(), strict=True):
            self._due.append((row, reading(*measured)))
        np.add.at(self._choir.busy_s, streams, (time.perf_counter() - began) / max(count, 1))

    def tell(self) -> None:
        """Who has something to say says it; after a fault, everyone. A level alone is said past the session."""
        speakers = {event[0] for event in self._decided}
        levels: list[tuple[int, int, Reading]] = []  # stream, clock
        for row, level in self._due:
            seat, stream, _, clock, _ = self._rows[row]
            if stream in speakers or not seat.conversation.level(clock, level):
                speakers.add(stream)
                levels.append((stream, clock, level))
        if not speakers and self.fault is None:
            return
        said: dict[int, tuple[Conversation, Spoken]] = {}
        for seat, stream, _, clock, arrived in self._rows:
            if stream in speakers or self.fault is not None:
                if stream not in said:
                    said[stream] = seat.conversation, Spoken()
                said[stream][1].chunks.append((clock, arrived))
        for stream, event in self._decided:
            said[stream][1].events.append(event)
        for stream, clock, level in levels:
            said[stream][1].levels.append((clock, level))
        for conversation, spoken in said.values():
            conversation.heard(spoken, self.fault)


def warm(model: Model) -> None:
    """Compile the kernel of this module."""
    unison = Unison(Choir(model, 1), [])
    unison.hear()
    if unison.fault is not None:
        raise unison.fault


FULL = 32_767  # from here on a sample is clipped, as in `LevelMeter`


@kernel
def read_and_measure(
    pcm: NDArray[np.int16],
    streams: NDArray[np.int64],
    ends: NDArray[np.int64],
    samples: NDArray[np.float32],
    meters: Record,
    rows: NDArray[np.int64],
    due: Record,
) -> int:
    """samples = pcm / 2^15, and what the meters of their streams measure of them; those due are copied and begin anew.

    The sum of squares is one of whole numbers, so it has the same bits in any order, and those of `LevelMeter.feed`:
    there a square is a float32, here it is rounded to one.
    pcm, samples: (n,). Chunk i is of streams[i] and ends at ends[i]. meters: (places,) METER. rows, due: (chunks,), of
    which the first are filled: chunks after which a level is due, and the meter. Returns how many.
    """
    at = nb.uintp(0)
    count = 0
    for row in range(ends.shape[0]):
        end = nb.uintp(ends[row])
        total, clipped = np.int64(0), np.int64(0)
        least, most = np.int16(32767), np.int16(-32768)
        for i in range(at, end):
            value = pcm[i]
            x = np.float32(value)
            samples[i] = x * np.float32(2.0**-15)
            total += np.int32(x * x)
            least, most = min(least, value), max(most, value)
        peak = max(np.int64(most), -np.int64(least))
        if peak >= FULL:
            for i in range(at, end):
                clipped += pcm[i] >= FULL or pcm[i] <= -FULL
        meter = meters[streams[row]]
        meter.samples += end - at
        meter.values += end - at
        meter.power += total * 2.0**-30
        meter.peak = max(meter.peak, peak * 2.0**-15)
        meter.clipped += clipped
        if meter.samples >= meter.due:
            rows[count], due[count] = row, meter
            count += 1
            meter.samples = meter.values = meter.clipped = 0
            meter.power = meter.peak = 0.0
        at = end
    return count
