"""What a session has told and a connection still has to send: in order, bounded, kept for a client that comes back.

What was sent stays for at least KEEP_S and KEEP_MESSAGES, unless it is acknowledged or over KEEP_BYTES: `rewind` gives
it out once more. Telemetry is never kept, and where much waits only the latest of each kind does: a run of
numbers that was left out is told by one `lagged`, which takes the last of them. Knows messages by type; nothing of
sockets or sound.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from server import protocol as p
from server.errors import Code, Refusal
from server.inbox import nothing
from server.session import Out

KEEP_S = 60.0
KEEP_MESSAGES = 1_000
KEEP_BYTES = 1_048_576  # of sent messages, about 2 500 events
THIN_ABOVE = 64  # messages waiting, above which only the latest telemetry of each kind waits
FULL_ABOVE = 512  # messages waiting, above which nothing more should be heard for this reader
OVERHEAD_BYTES = 200  # what a message costs beside its text
TELEMETRY = frozenset({"level", "scores", "heartbeat"})
RESUMED = "resumed"  # as telemetry is: only the newest says where to go on


@dataclass(slots=True)
class Told:
    """A message, or (no data) a run of numbers that was left out."""

    first: int  # seq; -1 for a binary message, which has none
    last: int
    kind: str | None  # of telemetry; None: never left out
    data: str | bytes | None
    at: float = 0.0  # when it was sent


def encoded(outs: Sequence[Out]) -> list[Told]:
    """Messages of a session as they are sent. Costs time: not for the event loop."""
    told = []
    for out in outs:
        if isinstance(out, bytes):
            told.append(Told(-1, -1, "frame", out))
        else:
            update = out["type"] == "event" and out["phase"] == "update"
            passing = out["type"] in TELEMETRY or out["type"] == RESUMED
            kind = out["event_id"] if update else out["type"] if passing else None
            told.append(Told(out["seq"], out["seq"], kind, to_json(out).decode()))
    return told


class Outbox:
    def __init__(self, session: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.left_out = 0  # messages
        self._session = session
        self._monotonic = monotonic
        self._waiting: deque[Told] = deque()
        self._latest: dict[str, Told] = {}  # of each kind of telemetry, the newest that waits
        self._dead = 0  # of the waiting, left out
        self._sent: deque[Told] = deque()  # without binary messages; no two runs side by side
        self._sent_messages = 0  # of these, messages
        self._sent_bytes = 0
        self._newest = -1  # seq of all that was told
        self._gone = -1  # seq up to which nothing is kept
        self._closed = False
        self.on_told: Callable[[], None] = nothing  # called when something waits to be sent, or no more will come
        self.on_room: Callable[[], None] = nothing  # called when it is no longer full

    def put(self, told: Sequence[Told]) -> None:
        for one in told:
            if one.kind is not None:
                if len(self._waiting) >= THIN_ABOVE and (old := self._latest.get(one.kind)) is not None:
                    old.data = None
                    self._dead += 1
                    self.left_out += 1
                self._latest[one.kind] = one
            self._waiting.append(one)
            self._newest = max(self._newest, one.last)
        if self._dead > THIN_ABOVE:
            self._compact()
        self.on_told()

    def passed(self, seq: int) -> None:
        """Telemetry of this number was sent without it, for nothing waits here."""
        self._newest = seq
        if self._sent and self._sent[-1].data is None:
            self._sent[-1].last = seq
        else:
            self._keep(Told(seq, seq, None, None))

    def restore(self, messages: Sequence[tuple[int, str]], gone: int, newest: int) -> None:
        """As if it had sent these, each with its number, and telemetry between them; nothing is kept up to `gone`."""
        self._gone, self._newest = gone, newest
        at = gone + 1
        for number, text in messages:
            for told in (Told(at, number - 1, None, None), Told(number, number, None, text)):
                if told.first <= told.last:
                    self._keep(told)
            at = number + 1
        if at <= newest:
            self._keep(Told(at, newest, None, None))

    def close(self) -> None:
        """Nothing more will be told; what waits is still given out."""
        self._closed = True
        self.on_told()

    def take(self) -> str | bytes | None:
        """The next message to send, if one waits."""
        while self._waiting:
            was_full = self.full
            told = self._waiting.popleft()
            if told.data is None:
                self._dead -= 1
                while told.first < 0 and self._waiting and self._waiting[0].data is None:
                    told = self._waiting.popleft()  # a `frame` has no number and is not missed
                    self._dead -= 1
                while self._waiting and self._waiting[0].data is None:
                    more = self._waiting.popleft()
                    self._dead -= 1
                    told.last = max(told.last, more.last)
            elif told.kind is not None and self._latest.get(told.kind) is told:
                del self._latest[told.kind]
            data = self._lagged(told) if told.data is None and told.first >= 0 else told.data
            if told.first >= 0:
                self._keep(told)
            if was_full and not self.full:
                self.on_room()
            if data is not None:
                return data
        return None

    @property
    def over(self) -> bool:
        """All was given out, and no more will come."""
        return self._closed and not self._waiting

    @property
    def full(self) -> bool:
        return len(self._waiting) - self._dead > FULL_ABOVE

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    @property
    def bytes(self) -> int:
        """That it holds, about."""
        return self._sent_bytes + sum(len(told.data or b"") + OVERHEAD_BYTES for told in self._waiting)

    def acknowledged(self, seq: int) -> None:
        """The client has read up to `seq` and will not ask for it again."""
        while self._sent and self._sent[0].last <= seq:
            self._drop()

    def check(self, last_seq: int) -> None:
        """Raises Refusal where what came after `last_seq` is no longer there, or was never said."""
        if last_seq < self._gone:
            message = f"last_seq={last_seq}: messages are kept from seq {self._gone + 1} on only"
            raise Refusal(Code.RESUME_TOO_OLD, message)
        if last_seq > self._newest:
            message = f"last_seq={last_seq}: this session told nothing after seq {self._newest}"
            raise Refusal(Code.RESUME_UNKNOWN, message)

    def rewind(self, last_seq: int) -> None:
        """Give out once more what was sent after `last_seq`. Raises Refusal as `check`."""
        self.check(last_seq)
        if (old := self._latest.pop(RESUMED, None)) is not None:
            old.data = None
            self._dead += 1
        while self._sent and self._sent[-1].last > last_seq:
            told = self._sent.pop()
            self._forget(told)
            told.first = max(told.first, last_seq + 1)
            self._dead += told.data is None
            self._waiting.appendleft(told)
        self.on_told()

    def _lagged(self, run: Told) -> str:
        lagged = p.Lagged(session=self._session, seq=run.last, from_seq=run.first, to_seq=run.last)
        return to_json(p.dumped(lagged)).decode()

    def _keep(self, told: Told) -> None:
        """Remember what was sent: telemetry as a number only."""
        if (told.kind is not None or told.data is None) and self._sent and self._sent[-1].data is None:
            self._sent[-1].last = told.last
            return
        if told.kind is not None:
            told = Told(told.first, told.last, None, None)
        told.at = self._monotonic()
        self._sent.append(told)
        self._sent_messages += told.data is not None
        self._sent_bytes += len(told.data or b"") + OVERHEAD_BYTES
        old = told.at - KEEP_S
        while self._sent_bytes > KEEP_BYTES or (self._sent_messages > KEEP_MESSAGES and self._sent[0].at < old):
            self._drop()

    def _drop(self) -> None:
        told = self._sent.popleft()
        self._gone = told.last
        self._forget(told)

    def _forget(self, told: Told) -> None:
        self._sent_messages -= told.data is not None
        self._sent_bytes -= len(told.data or b"") + OVERHEAD_BYTES

    def _compact(self) -> None:
        """Make one run of each row of left out messages."""
        merged: deque[Told] = deque()
        for told in self._waiting:
            if told.data is None and told.first < 0:
                continue
            if told.data is None and merged and merged[-1].data is None:
                merged[-1].last = told.last
            else:
                merged.append(told)
        self._waiting = merged
        self._dead = sum(told.data is None for told in merged)
