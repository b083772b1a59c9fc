"""From the server's own sources to everybody who watches: publish once, a bounded queue for each subscriber.

A subscriber that does not keep up loses telemetry first (`level`, `frame`, `heartbeat`, `scores`: the next tells the
same, newer); when even its events no longer fit it is cut off, and nobody else notices. Knows messages by type;
nothing of sockets, sessions or sound.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

TELEMETRY = frozenset({"level", "frame", "heartbeat", "scores"})
TELEMETRY_ROOM = 64  # messages waiting, above which telemetry is left out: 0.6 s at 100 a second
QUEUE_MESSAGES = 1024  # messages waiting, above which the subscriber is cut off


@dataclass
class Known:
    """What a source's newest messages say: told first to each new subscriber."""

    state: str | None = None  # the JSON of its last `source`
    started: str | None = None  # of the session that runs
    onsets: dict[str, str] = field(default_factory=dict)  # event id to the onset, while it is open


class Subscriber:
    """One reader's queue: `await next()` again and again, until it is cut off or there is no more."""

    def __init__(self, source: str | None) -> None:
        self.source = source  # None: all of them, without `frame`, which does not name its source
        self.too_slow = asyncio.Event()  # it was cut off
        self.left_out = 0  # telemetry messages
        self._queue: deque[str | bytes] = deque()
        self._closed = False
        self._ready = asyncio.Event()

    def offer(self, kind: str, data: str | bytes) -> None:
        if self.too_slow.is_set():
            return
        if kind in TELEMETRY and len(self._queue) >= TELEMETRY_ROOM:
            self.left_out += 1
            return
        if len(self._queue) >= QUEUE_MESSAGES:
            self._queue.clear()
            self.too_slow.set()
            return
        self._queue.append(data)
        self._ready.set()

    def close(self) -> None:
        """Nothing more will come; what waits is still given out."""
        self._closed = True
        self._ready.set()

    async def next(self) -> str | bytes | None:
        """The next message, as soon as there is one; None when no more will come."""
        while not self._queue:
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()
        return self._queue.popleft()


class Hub:
    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._known: dict[str, Known] = {}  # by source
        self._nobody = asyncio.Event()  # set when the last subscriber has gone

    def subscribe(self, source: str | None = None) -> Subscriber:
        """A queue of what `source` says from now on; its state, `started` and open onsets come first."""
        subscriber = Subscriber(source)
        for name, known in self._known.items():
            if source in (None, name):
                for text in (known.state, known.started, *known.onsets.values()):
                    if text is not None:
                        subscriber.offer("known", text)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        if not self._subscribers:
            self._nobody.set()

    async def close(self) -> None:
        """Let every subscriber read what waits for it; done when all have gone."""
        for subscriber in self._subscribers:
            subscriber.close()
        while self._subscribers:
            self._nobody.clear()
            await self._nobody.wait()

    def publish(self, source: str, out: Message | bytes) -> None:
        """Tell one message of a source; each JSON message gets the field `source`."""
        kind = "frame" if isinstance(out, bytes) else out["type"]
        data = out if isinstance(out, bytes) else json.dumps({**out, "source": source})
        if isinstance(out, dict) and isinstance(data, str):
            self._learn(source, out, data)
        for subscriber in self._subscribers:
            if subscriber.source == source or (subscriber.source is None and kind != "frame"):
                subscriber.offer(kind, data)

    def forget(self, source: str) -> None:
        """The source is removed: new subscribers hear nothing of it."""
        self._known.pop(source, None)

    def _learn(self, source: str, message: Message, text: str) -> None:
        known = self._known.setdefault(source, Known())
        if message["type"] == "source":
            known.state = text
        elif message["type"] == "started":
            known.started = text
        elif message["type"] == "summary":
            known.started = None
            known.onsets.clear()
        elif message["type"] == "event":
            if message["is_final"]:
                known.onsets.pop(message["event_id"], None)
            else:
                known.onsets[message["event_id"]] = text
