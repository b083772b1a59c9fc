"""Mono samples at the declared rate in, wire events out, on one clock that goes on across gaps.

Holds resampler and engine of one stream and maps the engine's clock to the stream's. Knows nothing of messages,
sockets, encodings or files. A stretch is audio without a gap; UTC is anchored once in each, and after a stall. For what
a device captures it is corrected for the drift of the device's clock, while no label is open.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from engine import events as engine_events
from engine.latch import LatchSettings
from engine.pipeline import TRACE_FRAMES, Pipeline
from engine.stream import Memory
from engine.weights import Model
from server.choir import Choir
from server.drift import Drift
from server.ingest import Resampler
from server.protocol import EventBody, SummaryBody
from server.saved import SavedHearing
from server.tally import Tally
from server.ulid import ulid
from server.updates import Update, Updates

BLOCK_FRAMES = TRACE_FRAMES // 2  # fed at once, so that the trace still holds all of them
ARRIVALS = 256  # chunks whose arrival is remembered, to tell latencies


class Hearing:
    def __init__(
        self,
        model: Model,
        rate_hz: int,
        source: str,
        settings: LatchSettings | None = None,
        *,
        live: bool = True,
        captured: bool = False,  # a device takes the sound as it happens: the sample count has to keep step with time
        updates_hz: float = 0.0,  # of open events; 0: none
        pool: Choir | None = None,  # where the stream is heard together with others, without a trace
        monotonic: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.model = model
        self.rate_hz = rate_hz
        self._pool = pool
        self.slot = None if pool is None else _slot(pool, settings)  # in the pool; None: heard by itself
        self.pipeline = Pipeline(model, settings) if pool is None or self.slot is None else pool.pipeline(self.slot)
        self.meter = None if pool is None or self.slot is None else pool.meters[self.slot : self.slot + 1]
        self.tally = Tally(rate_hz)
        self.sample = 0  # the clock: samples at the declared rate, lost ones counted
        self.lost = 0  # of these, lost in gaps
        self.gaps = 0
        self.tap: Callable[[NDArray[np.float32]], None] | None = None  # given each block, at the engine's rate, first
        self._source = source
        self._live = live
        self._monotonic = monotonic
        self._utc = utc
        self._engine_rate_hz = model.front_end.sample_rate_hz
        self._resampler = Resampler(rate_hz, self._engine_rate_hz)
        self._base = 0  # clock at the stretch's first sample
        self._anchor_s: float | None = None  # UTC of the sample `_anchor`; None until audio comes (again)
        self._anchor = 0
        self._drift = Drift(rate_hz) if captured else None
        self._correction_s = 0.0  # of UTC, once no label is open
        self._first = 0  # in the stretch: its first sample that the resampler was given
        self._skip = 0  # samples that it is still to give and that the engine heard before it was restored
        self._reached = 0  # the clock then
        self._open: dict[str, EventBody] = {}  # label to the onset of its open event
        self._released: frozenset[str] = frozenset()  # labels that were closed at the last sample that came
        self._updates = Updates(model.labels, updates_hz, model.front_end.hop_s) if updates_hz else None
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)  # (clock after the chunk, arrival)

    def feed(self, mono: NDArray[np.float32], arrived: float = 0.0) -> Iterator[list[EventBody]]:
        """Hear a chunk that came at `arrived` (monotonic), block by block: after each, its events.

        The whole chunk is accepted at once; the caller iterates to the end.
        """
        self.came(len(mono), arrived)
        return self._hear(self.resampled(mono))

    def came(self, samples: int, arrived: float) -> None:
        """So many samples came; they are given to `feed`, or to the pool as `resampled` makes them."""
        if self._anchor_s is None:
            self._anchor_s, self._anchor = self._utc() - samples / self.rate_hz, self.sample
        self.sample += samples
        self._released = frozenset()
        if self._drift is not None:
            self._correct(self._drift.feed(self.sample, arrived))
        self._arrivals.append((self.sample, arrived))

    @property
    def anchored(self) -> bool:
        """UTC is known for the samples that come."""
        return self._anchor_s is not None

    def resampled(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the engine is to hear of `mono`."""
        return self._unheard(self._resampler.feed(mono))

    def _unheard(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._skip:
            return samples
        heard = min(self._skip, len(samples))
        self._skip -= heard
        return samples[heard:]

    def decided(self, events: list[engine_events.Event]) -> list[EventBody]:
        """What the pool's `feed` said of this stream, on the wire."""
        return [self._event(event) for event in events]

    def close(self) -> None:
        """The stream has ended: its place in the pool is free."""
        if self._pool is not None and self.slot is not None:
            self._pool.close(self.slot)
            self.slot = None

    def leave_pool(self) -> None:
        """From now on the stream is heard by itself; no bit of it changes."""
        if self._pool is not None and self.slot is not None:
            alone = Pipeline(self.model, memory=Memory(self.model, 1, trace_frames=0))
            alone.restore(self.pipeline.snapshot())
            self.pipeline = alone
            self.close()

    def _correct(self, drift_s: float) -> None:
        self._correction_s += drift_s
        if self._correction_s and not self._open and self._anchor_s is not None:
            self._anchor_s += self._correction_s
            self._correction_s = 0.0

    def _lift_anchor(self) -> None:
        """UTC is read anew with the next audio."""
        self._anchor_s = None
        self._correction_s = 0.0
        if self._drift is not None:
            self._drift.restart()

    def _hear(self, samples: NDArray[np.float32]) -> Iterator[list[EventBody]]:
        block = BLOCK_FRAMES * self.model.front_end.hop_samples
        for at in range(0, len(samples), block):
            first = self.pipeline.frames
            if self.tap is not None:
                self.tap(samples[at : at + block])
            events = self._new(self.pipeline.feed(samples[at : at + block]))
            yield [self._event(event) for event in events] if self._updates is None else self._updated(first, events)

    def _updated(self, first: int, events: list[engine_events.Event]) -> list[EventBody]:
        """The events of a block that began with frame `first`, and the updates between them, in order of time."""
        assert self._updates is not None
        end, hop = self.pipeline.frames, self.model.front_end.hop_samples
        evidence = self.pipeline.trace["evidence"][np.arange(first, end) % TRACE_FRAMES]
        wire: list[EventBody] = []
        at = looked = 0
        for frame in (*self._updates.due(first, end), end):
            while at < len(events) and events[at].decided_sample <= (frame + 1) * hop:
                wire.append(self._event(events[at]))
                at += 1
            self._updates.look(first + looked, evidence[looked : frame + 1 - first])
            looked = frame + 1 - first
            if frame < end:
                wire += [self._update(update) for update in self._updates.tell(frame, evidence[frame - first])]
        return wire

    def release(self, reason: str, labels: Collection[str] | None = None) -> list[EventBody]:
        """Close the open labels now (or only those of `labels`); the stream goes on."""
        events = self.pipeline.release(reason, labels)
        self._released |= {event.label for event in events}
        return [self._event(event) for event in events]

    def gap(self, samples: int) -> list[EventBody]:
        """`samples` at the declared rate were lost here: close what is open, let the clock go on, start afresh."""
        events = self._restart("gap", samples)
        self.lost += samples
        self.gaps += 1
        self._lift_anchor()
        return events

    def mute(self) -> list[EventBody]:
        """From here on another sound (silence) comes without a gap: close what is open, start afresh."""
        return self._restart("mute", 0)

    def _restart(self, reason: str, skip: int) -> list[EventBody]:
        events = self.finish(reason)
        self.pipeline.reset()
        self._resampler = Resampler(self.rate_hz, self._engine_rate_hz)
        self.sample += skip
        self._base = self.sample
        self._first = self._skip = 0
        self._arrivals.clear()
        return events

    def stall(self) -> list[EventBody]:
        """No audio comes, and none is known to be lost: close what is open; UTC is anchored anew when it comes."""
        self._lift_anchor()
        return self.release("stall")

    def finish(self, reason: str) -> list[EventBody]:
        """The end of the stretch: hear what the resampler holds, close the open labels.

        What was closed already, and after which nothing came, does not begin again for that rest and the last hop.
        """
        events = [event for block in self._hear(self._unheard(self._resampler.flush())) for event in block]
        events += [self._event(event) for event in self._new(self.pipeline.flush(reason))]
        self._released = frozenset()
        return events

    def _new(self, events: list[engine_events.Event]) -> list[engine_events.Event]:
        return [event for event in events if event.label not in self._released] if self._released else events

    @property
    def open_labels(self) -> Collection[str]:
        return self._open.keys()

    @property
    def heard(self) -> int:
        """Samples that came, at the declared rate."""
        return self.sample - self.lost

    def summary(self, wall_s: float) -> SummaryBody:
        return SummaryBody(
            audio_ms=self.ms(self.sample),
            processed_ms=self.ms(self.heard),
            dropped_ms=self.ms(self.lost),
            gaps=self.gaps,
            events=self.tally.events,
            latency_ms=self.tally.latency(),
            wall_s=round(wall_s, 3),
            labels=self.tally.labels(),
        )

    def clock(self, engine_sample: int) -> int:
        """An engine sample of this stretch on the stream's clock; never beyond the last sample that came."""
        return min(self._base + engine_sample * self.rate_hz // self._engine_rate_hz, max(self.sample, self._reached))

    def ms(self, sample: int) -> float:
        return round(sample * 1000 / self.rate_hz, 3)

    # --- going on in another process ---

    @property
    def can_be_saved(self) -> bool:
        """Its resampler can be made again."""
        return self._resampler.can_begin_again

    def saved(self) -> SavedHearing:
        """All but the engine's stream, which is `pipeline.capture()` at the same moment. Between two chunks."""
        first = max(self._first, self._resampler.begins_again(self.sample - self._base))
        same = self._engine_rate_hz == self.rate_hz
        return SavedHearing(
            sample=self.sample if same else self._base + first,
            skip=0 if same else self.pipeline.samples - first * self._engine_rate_hz // self.rate_hz,
            reached=max(self.sample, self._reached),
            lost=self.lost,
            gaps=self.gaps,
            base=self._base,
            anchor_s=self._anchor_s,
            anchor=self._anchor,
            correction_s=self._correction_s,
            open=dict(self._open),
            released=self._released,
            updates={} if self._updates is None else self._updates.saved(),
            tally=self.tally.saved(),
        )

    def restore(self, saved: SavedHearing, snapshot: bytes) -> None:
        """Become that stream. Raises SnapshotError, and changes nothing, where `snapshot` is not of this model."""
        self.pipeline.restore(snapshot)
        self.sample, self._skip, self._reached = saved.sample, saved.skip, saved.reached
        self.lost, self.gaps = saved.lost, saved.gaps
        self._base, self._first = saved.base, saved.sample - saved.base
        self._anchor_s, self._anchor, self._correction_s = saved.anchor_s, saved.anchor, saved.correction_s
        self._open, self._released = dict(saved.open), saved.released
        if self._updates is not None:
            self._updates.restore(saved.updates)
        self.tally.restore(saved.tally)

    # --- events ---

    def _event(self, event: engine_events.Event) -> EventBody:
        onset = self.clock(event.onset_sample)
        if event.phase == "onset":
            event_id, utc_onset = ulid(self._utc()), self.utc(onset) if self._live else None
        else:
            opened = self._open.pop(event.label)
            event_id, utc_onset = opened.event_id, opened.utc_onset
        offset = None if event.offset_sample is None else self.clock(event.offset_sample)
        decided = self.clock(event.decided_sample)
        by_evidence = event.reason in (None, "decay")
        wire = EventBody(
            event_id=event_id,
            source=self._source,
            label=event.label,
            phase=event.phase,
            is_final=event.phase != "onset",
            score=round(event.score, 6),
            peak=round(event.peak, 6),
            threshold=event.threshold,
            onset_sample=onset,
            onset_ms=self.ms(onset),
            offset_sample=offset,
            offset_ms=None if offset is None else self.ms(offset),
            decided_sample=decided,
            latency_ms=self._latency_ms(decided) if self._live and by_evidence else None,
            utc_onset=utc_onset,
            model=self.model.id,
            reason=event.reason,
        )
        self.tally.add(wire)
        if event.phase == "onset":
            self._open[event.label] = wire
        if self._updates is not None:
            if event.phase == "onset":
                self._updates.opened(
                    event.label, event.decided_sample // self.model.front_end.hop_samples - 1, wire.peak
                )
            else:
                self._updates.closed(event.label)
        return wire

    def _update(self, update: Update) -> EventBody:
        decided = self.clock((update.frame + 1) * self.model.front_end.hop_samples)
        changed = {
            "phase": "update",
            "score": round(update.score, 6),
            "peak": round(update.peak, 6),
            "decided_sample": decided,
            "latency_ms": self._latency_ms(decided) if self._live else None,
        }
        return self._open[update.label].model_copy(update=changed)

    def _latency_ms(self, decided: int) -> float:
        """From the arrival of the chunk that brought sample `decided` until now: the resampler's delay is in it."""
        arrived = self._arrivals[-1][1]
        for end, at in reversed(self._arrivals):
            if end < decided:
                break
            arrived = at
        return round((self._monotonic() - arrived) * 1000, 3)

    def utc(self, sample: int) -> str:
        """ISO 8601, milliseconds, of a sample of this stretch; before audio comes: now."""
        moment_s = self._utc() if self._anchor_s is None else self._anchor_s + (sample - self._anchor) / self.rate_hz
        return datetime.fromtimestamp(moment_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _slot(pool: Choir, settings: LatchSettings | None) -> int | None:
    try:
        return pool.open(settings)
    except RuntimeError:  # all are taken
        return None
