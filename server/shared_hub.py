"""A hub of several processes: what any of them publishes is told to the watchers of all, in one order.

Between publishing and telling lies the bus (`bus.py`), which numbers. Telemetry does not go there: it is told by the
process whose source it is of. Knows what the other processes' sources say; nothing of Redis.
"""

import json
import logging

from server.bus import Bus, Heard
from server.hub import Hub, Known
from server.subscriber import TELEMETRY, Published, Subscriber, lagged

log = logging.getLogger("spiccato.bus")

FLUSH_S = 3.0  # for the last messages to come back when the server stops
AHEAD = 1_000_000  # numbers that another process may have been ahead of this one, when its reader comes here

# Messages of processes to each other, of which watchers are not told.
HELLO = "hello"  # I have just begun: say what is the case with you
CASE = "case"  # this is the case with the sender's sources
FORGOTTEN = "forgotten"  # a source was removed


class SharedHub(Hub):
    """Raises ValueError where `url` cannot be one of Redis."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._known: dict[str, Known] = {}  # of all processes, as far as was heard; `_own` of this one
        self._whose: dict[str, str] = {}  # the process of a source
        self._number = 0  # the newest that was heard; 0: nothing yet
        self._begun = False
        self._bus = Bus(url, self)

    @property
    def bus(self) -> Bus:
        return self._bus

    def start(self) -> None:
        self._bus.start()

    async def stop(self) -> None:
        await self._bus.close()

    async def close(self) -> None:
        await self._bus.flush(FLUSH_S)
        await super().close()

    def forget(self, source: str) -> None:
        super().forget(source)
        self._put(FORGOTTEN, source)

    def _spread(self, published: Published) -> None:
        if isinstance(published.data, str) and published.kind not in TELEMETRY:
            self._bus.put(published.source, published.data)
        else:
            self._deliver(published)

    def _missed(self, subscriber: Subscriber, after: int) -> list[Published]:
        if not self._begun or self._number <= after <= self._number + AHEAD:
            subscriber.after = after  # this process has yet to hear what comes next
            return []
        return super()._missed(subscriber, after)

    # --- what comes from the bus ---

    def begin(self, kept: list[Heard]) -> None:
        """What was told before this process heard anything."""
        for heard in kept:
            self._take(heard)
        self._begun = True
        for subscriber in self._subscribers:  # they came early
            after = subscriber.after
            subscriber.begin(self._case(subscriber) if after is None else super()._missed(subscriber, after))
        self._put(HELLO)

    def heard(self, heard: Heard) -> None:
        if (published := self._take(heard)) is not None:
            self._offer(published)
        elif heard.process != self._bus.process and json.loads(heard.text)["type"] == HELLO:
            texts = [(name, text) for name, known in self._own.items() for text in known.texts()]
            self._put(CASE, of=texts)

    def missed(self, from_number: int, to_number: int) -> None:
        text = lagged(from_number, to_number, "replay_limit")
        self._deliver(Published(to_number, "", "lagged", None, None, text))

    def gone(self, alive: set[str]) -> None:
        for source in [source for source, process in self._whose.items() if process not in alive]:
            log.warning("bus: source %s is not heard of any more: its process %s is gone", source, self._whose[source])
            self._drop(source)

    def _take(self, heard: Heard) -> Published | None:
        """Learn and keep a message; None where it is none for watchers."""
        self._number = heard.number
        message = json.loads(heard.text)
        kind = message["type"]
        if kind == CASE:
            for source, text in message["of"]:
                self._learn(self._known, source, json.loads(text), text)
                self._whose[source] = heard.process
        elif kind == FORGOTTEN:
            self._drop(message["source"])
        if kind in (HELLO, CASE, FORGOTTEN):
            return None
        if kind != "lagged":
            self._learn(self._known, heard.source, message, heard.text)
            self._whose[heard.source] = heard.process
        latest = (heard.source, message["event_id"]) if message.get("phase") == "update" else None
        published = Published(heard.number, heard.source, kind, message.get("label"), latest, heard.text)
        self._keep(published)
        return published

    def _drop(self, source: str) -> None:
        self._known.pop(source, None)
        self._whose.pop(source, None)

    def _put(self, kind: str, source: str = "-", **fields: object) -> None:
        self._bus.put(source, json.dumps({"type": kind, "source": source, **fields}))
