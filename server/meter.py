"""What one session did, in numbers, and what all of them did. Knows messages by type; nothing of Prometheus or HTTP.

A meter belongs to one session, or to all that are heard together; its calls come one after the other, so nothing here
is locked. Totals are added up when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.stream import Stream

PHASES = ("onset", "update", "offset", "retract")
WHERE = ("client", "network", "queue")  # sound was lost
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # upper edges


class Histogram:
    def __init__(self, edges: tuple[float, ...] = LATENCY_S) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)  # the last one: above every edge
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.sum += value

    def observe_all(self, values: NDArray[np.float64]) -> None:
        counts = np.bincount(np.searchsorted(self.edges, values), minlength=len(self.counts))
        self.counts = [before + more for before, more in zip(self.counts, counts.tolist(), strict=True)]
        self.sum += float(values.sum())

    def add(self, other: "Histogram") -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class Meter:
    def __init__(self) -> None:
        self.audio_s = 0.0  # heard
        self.engine_s = 0.0  # in the engine's threads, messages and their encoding included
        # every key from the start: totals are added up in another thread, and a dict that grows could not be read there
        self.events = Counter(dict.fromkeys(PHASES, 0))
        self.dropped_s: Counter[str] = Counter(dict.fromkeys(WHERE, 0.0))  # type: ignore[arg-type]
        self.latency = Histogram()  # s, from the arrival of a chunk to what it said being given to the connection

    def heard(self, stream: Stream | None) -> None:
        """Of a session that has started."""
        if stream is not None:
            self.audio_s = stream.hearing.heard / stream.hearing.rate_hz

    def told(self, messages: Iterable[dict[str, Any]], stream: Stream) -> None:
        """What a session said; telemetry may be left out."""
        for message in messages:
            if message["type"] == "event":
                self.events[message["phase"]] += 1
            elif message["type"] == "gap":
                self.dropped_s[message["where"]] += message["samples"] / stream.hearing.rate_hz

    def add(self, other: "Meter") -> None:
        self.audio_s += other.audio_s
        self.engine_s += other.engine_s
        self.events.update(other.events)
        self.dropped_s.update(other.dropped_s)
        self.latency.add(other.latency)


class Meters:
    """Those of the sessions that go on, and the sum of those that have ended."""

    def __init__(self) -> None:
        self.opened = 0
        self._running: set[Meter] = set()
        self.together = Meter()  # what cannot be told apart: sessions are heard together
        self._ended = Meter()

    def open(self) -> Meter:
        meter = Meter()
        self.opened += 1
        self._running.add(meter)
        return meter

    def close(self, meter: Meter) -> None:
        self._running.discard(meter)
        self._ended.add(meter)

    def total(self) -> Meter:
        total = Meter()
        for meter in (self._ended, self.together, *tuple(self._running)):
            total.add(meter)
        return total
