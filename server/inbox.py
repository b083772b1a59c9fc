"""Messages of one session that wait for the engine: bounded, in order, with the time of arrival of each.

What happens when audio comes and `limit_bytes` of it wait already is the session's choice: `block` refuses it for
now, so the socket is not read and TCP holds the sender back; `drop_oldest` and `drop_newest` leave a `Dropped` where
audio was; `error` ends the session. Text and orders are never dropped. Knows sizes and order; nothing of what messages
mean.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from server.commands import OnOverload
from server.errors import Code, Refusal
from server.session import Out, Session
from server.stream import Waiting

MAX_MESSAGES = 4_096  # that wait, whatever their size


@dataclass(slots=True)
class Dropped:
    """In the place of audio that was dropped."""

    what: Waiting


Order = Callable[[Session], list[Out]]  # what the server itself has to say to the session
Item = str | bytes | Dropped | Order


class Inbox:
    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes  # of audio; one message always fits into an empty inbox
        self.policy: OnOverload = "block"
        self.samples_of: Callable[[bytes], Waiting | None] | None = None  # needed to drop: which samples these are
        self.audio_bytes = 0  # waiting, of binary messages
        self.closed: str | None = None  # why nothing more comes
        self.on_item: Callable[[], None] = nothing  # called when something waits, or when nothing more will come
        self.on_room: Callable[[], None] = nothing  # called when what was refused may be offered again
        self._items: deque[tuple[Item, float]] = deque()
        self._refused = False

    def offer(self, message: str | bytes, arrived: float) -> bool:
        """False where it has to wait, by the policy `block`: offer it again after `on_room`, and nothing before it."""
        while self.closed is None and self._is_full(message):
            if isinstance(message, str) or self.policy == "block":
                self._refused = True
                return False
            if self._shed(message):
                return True
        if self.closed is None:
            self._append(message, arrived)
        return True

    def order(self, order: Order) -> None:
        """After all that waits, let the session do this."""
        self._append(order, time.monotonic())

    def close(self, reason: str) -> None:
        """Nothing more will come; what waits is still given out. The first reason stays."""
        self.closed = self.closed or reason
        self.on_item()
        self.on_room()

    @property
    def waits(self) -> bool:
        return bool(self._items)

    def take(self) -> tuple[Item, float] | None:
        """The next item and its arrival, if there is one."""
        return taken[0] if (taken := self.take_some(1)) else None

    def take_some(self, most: int, most_bytes: int = 1) -> list[tuple[Item, float]]:
        """The next items and their arrivals, up to `most`, and of audio no more once there are `most_bytes`."""
        taken: list[tuple[Item, float]] = []
        waiting, size = self._items, 0
        while waiting and len(taken) < most and size < most_bytes:
            taken.append(one := waiting.popleft())
            if isinstance(one[0], bytes):
                size += len(one[0])
                self.audio_bytes -= len(one[0])
            if self._refused:
                self._refused = False
                self.on_room()
        return taken

    def pass_on(self, take: Callable[[Item, float], bool]) -> None:
        """Give out what waits, until `take` does not want it."""
        while self._items and take(*self._items[0]):
            self.take()

    def _append(self, item: Item, arrived: float) -> None:
        self._items.append((item, arrived))
        if isinstance(item, bytes):
            self.audio_bytes += len(item)
        self.on_item()

    def _shed(self, message: bytes) -> bool:
        """Make room by the policy. Returns True if that was at the cost of `message` itself."""
        assert self.samples_of is not None
        if self.policy == "error":
            text = f"{self.audio_bytes} bytes of audio wait: the limit is {self.limit_bytes}"
            self.order(lambda session: session.fail(Refusal(Code.OVERLOADED, text)))
            self.close("error")
            return True
        if self.policy == "drop_newest" or not self._drop_oldest():
            what = self.samples_of(message)
            if what is None:  # it ends the session, once it is heard
                self._append(message, time.monotonic())
            elif self._items and isinstance(last := self._items[-1][0], Dropped):
                last.what = joined(last.what, what)
            else:
                self._append(Dropped(what), time.monotonic())
            return True
        return False

    def _drop_oldest(self) -> bool:
        """Put a `Dropped` in the place of the oldest audio; False if there is none."""
        assert self.samples_of is not None
        before: list[tuple[Item, float]] = []
        while self._items:
            item, arrived = self._items.popleft()
            what = self.samples_of(item) if isinstance(item, bytes) else None
            if what is None:
                before.append((item, arrived))
                continue
            assert isinstance(item, bytes)
            self.audio_bytes -= len(item)
            if before and isinstance(last := before[-1][0], Dropped):
                last.what = joined(last.what, what)
            else:
                before.append((Dropped(what), arrived))
            self._items.extendleft(reversed(before))
            return True
        self._items.extend(before)
        return False

    def _is_full(self, message: str | bytes) -> bool:
        if isinstance(message, bytes) and self.audio_bytes and self.audio_bytes + len(message) > self.limit_bytes:
            return True
        return len(self._items) >= MAX_MESSAGES


def nothing() -> None:
    """Nobody wants to know."""


def joined(one: Waiting, other: Waiting) -> Waiting:
    """What was dropped before and after, as one."""
    if one.first is None or other.first is None:
        return Waiting(None, one.samples + other.samples)
    first = min(one.first, other.first)
    return Waiting(first, max(one.first + one.samples, other.first + other.samples) - first)
