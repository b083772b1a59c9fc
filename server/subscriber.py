"""One reader's queue, and what it does when the reader is slow.

Of telemetry (`level`, `frame`, `heartbeat`, `scores`) and of `update` a reader that does not keep up gets the latest of
each. An onset or an end is never left out: when those no longer fit the reader is cut off, with `lagged`, and nobody
else notices. Knows messages by type; nothing of who publishes them.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, replace

TELEMETRY = frozenset({"level", "frame", "heartbeat", "scores"})
TELEMETRY_ROOM = 64  # messages waiting, above which only the latest telemetry waits: 0.6 s at 100 a second
QUEUE_MESSAGES = 1024  # messages waiting, above which the subscriber is cut off


@dataclass(slots=True)
class Published:
    """One message on the bus."""

    number: int | None  # on the bus; None: telemetry
    source: str
    kind: str  # its type
    label: str | None  # of an event
    latest: tuple[str, str] | None  # of those with the same, only the latest is needed
    data: str | bytes


class Subscriber:
    """One reader's queue: `await next()` again and again, until it is cut off or there is no more."""

    def __init__(self, source: str | None = None, label: str | None = None) -> None:
        self.source = source  # None: all of them, without `frame`, which does not name its source
        self.label = label  # None: all; else events of this label only
        self.after: int | None = None  # it has those up to this number already
        self.too_slow = asyncio.Event()  # it was cut off
        self.left_out = 0  # messages of which a later one told the same
        self.lagged = ""  # once cut off: the JSON of what it missed
        self._room = QUEUE_MESSAGES
        self._queue: deque[Published] = deque()
        self._latest: dict[tuple[str, str], Published] = {}  # those in the queue that a later one may replace
        self._closed = False
        self._ready = asyncio.Event()

    def wants(self, published: Published) -> bool:
        if published.kind == "frame":
            return published.source == self.source
        if self.after is not None and published.number is not None and published.number <= self.after:
            return False
        return published.kind == "lagged" or (
            self.source in (None, published.source) and (self.label is None or published.label in (None, self.label))
        )

    def begin(self, published: list[Published]) -> None:
        """What is told first, however much it is."""
        self._queue.extend(published)
        self._room += len(published)
        self._ready.set()

    def offer(self, published: Published) -> None:
        if self.too_slow.is_set():
            return
        if published.latest is not None and len(self._queue) >= TELEMETRY_ROOM:
            older = self._latest.get(published.latest)
            if older is not None or len(self._queue) >= self._room:
                self.left_out += 1
                if older is not None:
                    older.data = published.data
                return
        if len(self._queue) >= self._room:
            self._cut_off(published)
            return
        if published.latest is not None:
            published = replace(published)  # its own to change
            self._latest[published.latest] = published  # type: ignore[index]
        self._queue.append(published)
        self._ready.set()

    def close(self) -> None:
        """Nothing more will come; what waits is still given out."""
        self._closed = True
        self._ready.set()

    async def next(self) -> Published | None:
        """The next message, as soon as there is one; None when no more will come."""
        while not self._queue:
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()
        published = self._queue.popleft()
        if published.latest is not None and self._latest.get(published.latest) is published:
            del self._latest[published.latest]
        return published

    def _cut_off(self, newest: Published) -> None:
        missed = [one.number for one in (*self._queue, newest) if one.number is not None]
        self.lagged = lagged(missed[0], missed[-1], "cut_off")
        self._queue.clear()
        self._latest.clear()
        self.too_slow.set()


def lagged(from_number: int, to_number: int, policy: str) -> str:
    """Numbers on the bus that a reader will not get: `cut_off` (it was too slow), `replay_limit` (it came too late)."""
    return json.dumps({"type": "lagged", "from_seq": from_number, "to_seq": to_number, "policy": policy})
