"""From the server's own sources to everybody who watches: publish once, a bounded queue for each subscriber.

What is not telemetry is numbered (the bus sequence) and kept for a while, for a reader that comes back. Knows messages
by type, and each reader's queue (`subscriber.py`); nothing of sockets, sessions or sound.
"""

import asyncio
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.subscriber import TELEMETRY, Published, Subscriber, lagged

if TYPE_CHECKING:
    from server.bus import Bus

log = logging.getLogger("spiccato.hub")

Message = dict[str, Any]
Tap = Callable[[str, Message], None]

REPLAY_MESSAGES = 1000  # kept for readers that come back
REPLAY_BYTES = 4_194_304


@dataclass
class Known:
    """What a source's newest messages say: told first to each new subscriber."""

    state: str | None = None  # the JSON of its last `source`
    started: str | None = None  # of the session that runs
    onsets: dict[str, str] = field(default_factory=dict)  # event id to the onset, while it is open

    def texts(self) -> list[str]:
        return [text for text in (self.state, self.started, *self.onsets.values()) if text is not None]


class Hub:
    def __init__(self) -> None:
        self.events: Counter[str] = Counter()  # published, by phase
        self._taps: list[Tap] = []
        self._score_taps: list[Tap] = []
        self._subscribers: set[Subscriber] = set()
        self._known: dict[str, Known] = {}  # by source
        self._own = self._known  # of the sources of this process: here there are no others
        self._nobody = asyncio.Event()  # set when the last subscriber has gone
        self._closed = False
        # Numbers begin where those of an earlier start cannot have come to (a million messages a second of its life),
        # so that an old one is known for what it is.
        self._number = time.time_ns() // 1000
        self._kept: deque[Published] = deque()
        self._kept_bytes = 0

    @property
    def bus(self) -> "Bus | None":
        """What joins it with the hubs of other processes: nothing."""
        return None

    def start(self) -> None:
        """The event loop runs."""

    async def stop(self) -> None:
        """Nothing more is published."""

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def subscribe(self, source: str | None = None, label: str | None = None, after: int | None = None) -> Subscriber:
        """A queue of what `source` says from now on. First come its state, its `started` and the open onsets; or, for
        a reader that comes back, what it missed after the number `after`, with `lagged` where some of that is gone."""
        subscriber = Subscriber(source, label)
        first = self._case(subscriber) if after is None else self._missed(subscriber, after)
        subscriber.begin(first)
        if self._closed:  # one that came back while the server stops gets its end at once
            subscriber.close()
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        if not self._subscribers:
            self._nobody.set()

    async def close(self) -> None:
        """Let every subscriber read what waits for it; done when all have gone."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.close()
        while self._subscribers:
            self._nobody.clear()
            await self._nobody.wait()

    def tap(self, tap: Tap, scores: Tap | None = None) -> None:
        """From now on `tap(source, message)` is called with every message that is no telemetry, of the server's own
        sources and of live sessions alike: `started`, `event` (each phase), `gap`, `source`, `summary`, ...; and, as
        only taps are told, `removed` when one of the server's own sources is no more.

        `scores` is called with what the server's own sources say of all labels, ten times a second.

        On the event loop, in the order of each session; it returns at once, changes nothing in the message, keeps its
        own bounds. What it raises is logged and harms nobody. History and outputs (MQTT, webhooks, ...) hear by this.
        """
        self._taps.append(tap)
        if scores is not None:
            self._score_taps.append(scores)

    def tell(self, source: str, message: Message) -> None:
        """One message of a source or of a live session, to the taps."""
        for tap in self._score_taps if message["type"] == "scores" else self._taps:
            try:
                tap(source, message)
            except Exception:
                log.exception("a tap failed on %s of %r", message["type"], source)

    def publish(self, source: str, out: Message | bytes) -> None:
        """Tell one message of a source; each JSON message gets the field `source`."""
        published = self._published(source, out)
        if isinstance(out, dict) and isinstance(published.data, str):
            self._learn(self._own, source, out, published.data)
            if out["type"] == "scores" or out["type"] not in TELEMETRY:
                self.tell(source, out)
        self._spread(published)

    def forget(self, source: str) -> None:
        """The source is removed: new subscribers hear nothing of it."""
        self._own.pop(source, None)

    def _spread(self, published: Published) -> None:
        """Give it its number, where it has one, and tell it."""
        if published.kind not in TELEMETRY:
            self._number += 1
            published.number = self._number
        self._deliver(published)

    def _deliver(self, published: Published) -> None:
        if published.number is not None:
            self._keep(published)
        self._offer(published)

    def _offer(self, published: Published) -> None:
        for subscriber in self._subscribers:
            if subscriber.wants(published):
                subscriber.offer(published)

    def _published(self, source: str, out: Message | bytes) -> Published:
        if isinstance(out, bytes):
            return Published(None, source, "frame", None, (source, "frame"), out)
        kind = out["type"]
        latest = None
        if kind in TELEMETRY:
            latest = (source, kind)
        elif kind == "event":
            self.events[out["phase"]] += 1
            latest = (source, out["event_id"]) if out["phase"] == "update" else None
        return Published(None, source, kind, out.get("label"), latest, json.dumps({**out, "source": source}))

    def _keep(self, published: Published) -> None:
        self._kept.append(published)
        self._kept_bytes += len(published.data)
        while len(self._kept) > REPLAY_MESSAGES or self._kept_bytes > REPLAY_BYTES:
            self._kept_bytes -= len(self._kept.popleft().data)

    def case(self) -> list[tuple[str, Message]]:
        """What is the case with the server's own sources, as (source, message): states and open onsets."""
        texts = [(name, text) for name, known in self._own.items() for text in (known.state, *known.onsets.values())]
        return [(name, json.loads(text)) for name, text in texts if text is not None]

    def _case(self, subscriber: Subscriber) -> list[Published]:
        """What is the case now."""
        told = []
        for name, known in self._known.items():
            for text in (known.state, known.started, *known.onsets.values()):
                if text is not None:
                    label = json.loads(text).get("label") if text in known.onsets.values() else None
                    told.append(Published(None, name, "known", label, None, text))
        return [one for one in told if subscriber.wants(one)]

    def _missed(self, subscriber: Subscriber, after: int) -> list[Published]:
        """What was told after the number `after`."""
        missed = [one for one in self._kept if one.number is not None and one.number > after and subscriber.wants(one)]
        oldest = self._kept[0].number if self._kept else self._number + 1
        assert oldest is not None
        if not oldest - 1 <= after <= self._number:
            hole = lagged(min(after, oldest) + 1, oldest - 1, "replay_limit")
            missed.insert(0, Published(None, "", "lagged", None, None, hole))
        return missed

    def _learn(self, knowledge: dict[str, Known], source: str, message: Message, text: str) -> None:
        known = knowledge.setdefault(source, Known())
        if message["type"] == "source":
            known.state = text
        elif message["type"] == "started":
            known.started = text
        elif message["type"] == "configured" and known.started is not None:
            started = json.loads(known.started)
            started["effective"]["detect"] = message["detect"]
            known.started = json.dumps(started)
        elif message["type"] == "summary":
            known.started = None
            known.onsets.clear()
        elif message["type"] == "event":
            if message["is_final"]:
                known.onsets.pop(message["event_id"], None)
            else:
                known.onsets[message["event_id"]] = text
