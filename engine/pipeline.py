"""One stream, from samples to events: the whole engine on one page. Knows one model and one stream.

    samples -> ring -> STFT -> bands -> shared gain -> cochlea -> network -> latch -> events

State is one record, parameters another; a chunk of any size is one call into the kernel. Feeding a clip in any
chunking gives bit-identical events. `pool.py` calls the same kernel for many streams at once.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.ear import checked, fill_hop, hear_frame
from engine.events import Event
from engine.jit import Record, inlined, kernel
from engine.latch import LatchSettings, latch_step, settings_record
from engine.network import network_step
from engine.prefetch import prefetch
from engine.snapshot import pack, snapshot_bytes, unpack
from engine.stream import Memory, close_labels, event_of, forget, parameters
from engine.weights import Model

usize = nb.uintp

TRACE_FRAMES = 256  # frames that `Pipeline.trace` remembers: 2.56 s at 10 ms


@inlined
def copy(to: NDArray[Any], source: NDArray[Any], first: int) -> None:
    """to = source[first : first + len(to)]; a slice would cost its description each time."""
    for i in range(usize(to.shape[0])):
        to[i] = source[usize(first) + i]


@kernel
def advance(
    ear: Record,
    net: Record,
    states: Record,
    scratch: Record,
    streams: NDArray[np.int64],
    ends: NDArray[np.int64],
    samples: NDArray[np.float32],
    row: int,
    at: int,
    events: Record,
    trace: Record,
) -> tuple[int, int, int]:
    """Let each stream hear its samples, frame by frame; stop early when `events` could overflow.

    Stream `streams[row]`, an index into `states`, hears `samples[ends[row - 1] : ends[row]]`. row, at: where to begin,
    both 0 for a new chunk. trace: (frames,) or (0,), which keeps none.
    Returns the row and the sample to go on with (row is `len(streams)` when all is heard), and the number of events.
    """
    e, n, w = ear[0], net[0], scratch[0]
    last = streams.shape[0] - 1
    count = 0
    while row < streams.shape[0]:
        s = states[streams[row]]
        following = states[streams[min(row + 1, last)]]  # its record is fetched while this stream is heard
        quarter = states.itemsize // 4 + 1 if row < last else 0  # at a time: a core waits for few lines at once
        labels = s.is_on.shape[0]
        first_label = s.v.shape[0] - labels
        chunk = samples[: ends[row]]
        while at < chunk.shape[0]:
            if count + labels > events.shape[0]:
                return row, at, count
            prefetch(following, 0 * quarter, quarter)
            at = fill_hop(e, s, chunk, at)
            if s.pending < e.hop:
                break
            frame, before = s.frame, count
            prefetch(following, 1 * quarter, quarter)
            hear_frame(e, s, w)
            prefetch(following, 2 * quarter, quarter)
            network_step(n, s.cochlea_spikes, s, w)
            prefetch(following, 3 * quarter, quarter)
            count = latch_step(s.v, first_label, s.rules, s, frame, s.attack, e.hop, events, count)

            for i in range(before, count):
                events[i].stream = streams[row]
            if trace.shape[0] > 0:
                line = trace[frame % trace.shape[0]]
                line.level = w.level
                copy(line.energy, w.energy, 0)
                copy(line.cochlea, s.cochlea_spikes, 0)
                copy(line.spikes, s.spikes, 0)
                copy(line.evidence, s.v, first_label)
        row += 1
    return row, at, count


class Pipeline:
    """`feed(samples) -> events`, `flush()`, `reset()` for one stream at the model's rate."""

    def __init__(
        self, model: Model, settings: LatchSettings | None = None, memory: Memory | None = None, slot: int = 0
    ) -> None:
        """Alone, a stream has a memory and a trace of its own; a pool gives it a slot of its `memory`."""
        self.model = model
        self._ear, self._net = parameters(model)
        self._memory = Memory(model, 1, TRACE_FRAMES) if memory is None else memory
        self._state = self._memory.states[slot : slot + 1]
        self._flushed = self._state["flushed"]  # a view: looked at in each call
        self._ends = np.zeros(1, np.int64)  # of the one chunk in a call
        self.trace = self._memory.trace  # frame k at index k % TRACE_FRAMES
        self.configure(settings or default_settings(model))
        self.reset()

    def configure(self, settings: LatchSettings) -> None:
        """Decide by `settings` from the next frame on. Raises ValueError if they are not for this model's labels."""
        if len(settings.on) != len(self.model.labels):
            raise ValueError(f"settings have {len(settings.on)} labels, the model has {len(self.model.labels)}")
        self.settings = settings
        self._state["rules"] = settings_record(settings, self.model.front_end.hop_s)

    def reset(self) -> None:
        """Forget everything heard: equal to a new Pipeline with the same settings."""
        forget(self._state)
        self.trace[:] = np.zeros(1, self.trace.dtype)

    @property
    def samples(self) -> int:
        """Samples heard since the stream's start."""
        return int(self._state["written"][0])

    @property
    def frames(self) -> int:
        """Frames done since the stream's start; the newest is in `trace[(frames - 1) % TRACE_FRAMES]`."""
        return int(self._state["frame"][0])

    @property
    def flushed(self) -> bool:
        """The stream has ended: it hears nothing before `reset`."""
        return bool(self._flushed[0])

    @property
    def open_labels(self) -> tuple[str, ...]:
        return tuple(self.model.labels[i] for i in np.flatnonzero(self._state["is_on"][0]))

    @property
    def resting_labels(self) -> tuple[str, ...]:
        """Those that may not turn on yet, because they were on a moment ago (`LatchSettings.refractory_ms`)."""
        state = self._state[0]
        rests = (state["ended"] > 0) & (self.frames - 1 - state["ended"] < state["rules"]["refractory"])
        return tuple(self.model.labels[i] for i in np.flatnonzero(rests & (state["is_on"] == 0)))

    def feed(self, samples: NDArray[np.float32]) -> list[Event]:
        """Hear (n,) float32 samples, full scale +-1, any n. Returns what the latches decided, in order of time.

        Raises ValueError, before anything is heard, if a sample is not finite; RuntimeError after `flush`.
        """
        if self.flushed:
            raise RuntimeError("the stream was flushed: reset() before feeding it again")
        return self._advance(checked(samples))

    def flush(self, reason: str = "stop") -> list[Event]:
        """End the stream: complete the last hop with silence and close the open labels at the last real sample."""
        if self.flushed:
            return []
        total = self.samples
        pending = int(self._state["pending"][0])
        tail = np.zeros((self.model.front_end.hop_samples - pending) if pending else 0, np.float32)
        events = [_clamped(event, total) for event in self._advance(checked(tail))]
        events += close_labels(self.model, self.settings, self._state, reason, total)
        self._flushed[0] = True
        return events

    def release(self, reason: str, labels: Collection[str] | None = None) -> list[Event]:
        """Close the open labels now (or only those of `labels`), for `reason`; the stream goes on."""
        return close_labels(self.model, self.settings, self._state, reason, self.samples, labels)

    @property
    def snapshot_bytes(self) -> int:
        """Length of every `snapshot` of this model's streams, whatever they heard."""
        return snapshot_bytes(self.model)

    def snapshot(self) -> bytes:
        """The whole stream, settings included: another process with the same model goes on with no bit changed."""
        return self.capture()()

    def capture(self) -> Callable[[], bytes]:
        """The snapshot of now, not yet packed: that takes longer, may happen in any thread, and is what a call does."""
        state = np.frombuffer(self._state.tobytes(), self._state.dtype)  # `copy` would go field by field
        return partial(pack, self.model, self.settings, state)

    def restore(self, data: bytes) -> None:
        """Become the stream of a `snapshot`. The trace, which only shows what was, begins anew with zeros.

        Raises SnapshotError, a ValueError, and changes nothing if the snapshot is damaged or of another model.
        """
        settings, state = unpack(self.model, data)
        self.reset()
        self._state[:] = state
        self.configure(settings)

    def _advance(self, samples: NDArray[np.float32]) -> list[Event]:
        memory = self._memory
        decided: list[Event] = []
        self._ends[0] = len(samples)
        row = at = 0
        while row < 1:
            row, at, count = advance(
                self._ear, self._net, self._state, memory.scratch, FIRST, self._ends, samples, row, at,
                memory.events, memory.trace,
            )  # fmt: skip
            decided += [event_of(self.model, self.settings, raw) for raw in memory.events[:count].tolist()]
        return decided


FIRST = np.zeros(1, np.int64)  # the stream of a call that has only one


def default_settings(model: Model) -> LatchSettings:
    """The model's own thresholds, every label enabled."""
    return LatchSettings(on=model.on, off=model.off, enabled=(True,) * len(model.labels))


def _clamped(event: Event, total: int) -> Event:
    """An event decided in the silence that completed the last hop belongs to the last real sample."""
    return event._replace(
        onset_sample=min(event.onset_sample, total),
        offset_sample=None if event.offset_sample is None else min(event.offset_sample, total),
        decided_sample=min(event.decided_sample, total),
    )
