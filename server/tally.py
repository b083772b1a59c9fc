"""What a stream's events add up to: seconds and events of each label, latencies. Knows events, not where they go."""

from collections import deque

import numpy as np

from server.protocol import EventBody, LabelSummary, Percentiles
from server.saved import SavedTally

LATENCIES = 10_000  # the newest ones, of which the percentiles are
SAVED_LATENCIES = 100  # of them, the newest


class Tally:
    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._labels: dict[str, tuple[int, int, float]] = {}  # label to samples, events, peak
        self._latencies: deque[float] = deque(maxlen=LATENCIES)  # ms

    def add(self, event: EventBody) -> None:
        if event.latency_ms is not None and event.phase != "update":
            self._latencies.append(event.latency_ms)
        if event.phase == "offset" and event.offset_sample is not None:
            samples, events, peak = self._labels.get(event.label, (0, 0, 0.0))
            samples += event.offset_sample - event.onset_sample
            self._labels[event.label] = (samples, events + 1, max(peak, event.peak))

    def saved(self) -> SavedTally:
        return SavedTally(labels=dict(self._labels), latencies=list(self._latencies)[-SAVED_LATENCIES:])

    def restore(self, saved: SavedTally) -> None:
        self._labels = dict(saved.labels)
        self._latencies.extend(saved.latencies)

    @property
    def events(self) -> int:
        return sum(events for _, events, _ in self._labels.values())

    def labels(self) -> list[LabelSummary]:
        """By seconds, the longest first."""
        rows = [
            LabelSummary(label=label, seconds=round(samples / self._rate_hz, 3), events=events, peak=peak)
            for label, (samples, events, peak) in self._labels.items()
        ]
        return sorted(rows, key=lambda row: (-row.seconds, row.label))

    def latency(self) -> Percentiles | None:
        if not self._latencies:
            return None
        p50, p95, p99 = np.percentile(self._latencies, (50, 95, 99)).round(3).tolist()
        return Percentiles(p50=p50, p95=p95, p99=p99)
