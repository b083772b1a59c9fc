"""Many streams of one model, advanced together: one call of the kernel for as many of them as have sound.

Knows numbers for streams, nothing of clients or sessions. Each stream is a `Pipeline` in a slot of the pool's memory,
so it hears, bit for bit, what a Pipeline hears alone, in any chunking and any order. The memory is allocated once:
`capacity` is a limit. Like a Pipeline, a pool belongs to one thread at a time, but for `open` and `close`; the kernel
runs without the lock.
"""

import heapq
from collections.abc import Collection, Mapping, Sequence

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.ear import MAX_AMPLITUDE, first_wrong
from engine.events import Event
from engine.jit import kernel
from engine.latch import LatchSettings
from engine.pipeline import Pipeline, advance, default_settings
from engine.stream import Memory, event_of, parameters
from engine.weights import Model

f32 = np.float32
usize = nb.uintp


class Pool:
    """`open() -> stream`, `feed` and `feed_block` for many streams at once; the rest as in Pipeline, for one stream."""

    def __init__(self, model: Model, capacity: int) -> None:
        if not 1 <= capacity <= 2**20:
            raise ValueError(f"capacity={capacity} is outside 1..{2**20}")
        self.model = model
        self.capacity = capacity
        self._ear, self._net = parameters(model)
        self._memory = Memory(model, capacity, trace_frames=0)
        self._default = default_settings(model)
        self._pipelines: list[Pipeline | None] = [None] * capacity
        self._hears = np.zeros(capacity, np.bool_)  # open and not flushed
        self._free = list(range(capacity))  # a heap: the lowest is given first, so that streams lie together

    def __len__(self) -> int:
        """Streams that are open."""
        return self.capacity - len(self._free)

    def open(self, settings: LatchSettings | None = None) -> int:
        """A new stream's number, below `capacity`; after `close` it is given again. RuntimeError if all are open."""
        try:
            stream = heapq.heappop(self._free)  # at once: another thread may open or close one too
        except IndexError:
            raise RuntimeError(f"all {self.capacity} streams of the pool are open: close one first") from None
        try:
            self._pipelines[stream] = Pipeline(self.model, settings or self._default, self._memory, stream)
        except ValueError:
            heapq.heappush(self._free, stream)
            raise
        self._hears[stream] = True
        return stream

    def close(self, stream: int) -> None:
        """Forget the stream. Its open labels are not told: `flush` it first."""
        self._of(stream)
        self._pipelines[stream] = None
        self._hears[stream] = False
        heapq.heappush(self._free, stream)

    def feed(self, chunks: Mapping[int, NDArray[np.float32]]) -> list[tuple[int, Event]]:
        """Hear a chunk of (n,) float32 samples for each stream in `chunks`, any n.

        Returns what was decided with the stream's number: stream after stream in the order of `chunks`, each in order
        of time. Raises ValueError naming stream and sample, RuntimeError for a flushed one, before anything is heard.
        """
        arrays = [np.asarray(chunk, f32) for chunk in chunks.values()]
        for stream, array in zip(chunks, arrays, strict=True):
            if array.ndim != 1:
                raise ValueError(f"stream {stream}: samples have shape {array.shape}, expected (n,): one channel")
        ends = np.cumsum([len(array) for array in arrays], dtype=np.int64)
        samples = np.concatenate(arrays) if arrays else np.zeros(0, f32)
        return self._feed(np.array(list(chunks), np.int64), ends, samples)

    def feed_block(
        self, streams: Sequence[int] | NDArray[np.int64], samples: NDArray[np.float32]
    ) -> list[tuple[int, Event]]:
        """As `feed`, where each stream has equally many samples: (streams, n) float32. No Python runs for a stream."""
        streams = np.ascontiguousarray(streams, np.int64)
        samples = np.ascontiguousarray(samples, f32)
        if streams.ndim != 1 or samples.ndim != 2 or len(samples) != len(streams):
            raise ValueError(f"streams have shape {streams.shape}, samples {samples.shape}: expected (n,) and (n, any)")
        ends = np.arange(1, len(streams) + 1, dtype=np.int64) * samples.shape[1]
        return self._feed(streams, ends, samples.reshape(-1))

    def feed_rows(
        self, streams: NDArray[np.int64], ends: NDArray[np.int64], samples: NDArray[np.float32]
    ) -> list[tuple[int, Event]]:
        """As `feed`, where the chunks lie one after the other in `samples`: that of streams[i] ends at ends[i]."""
        return self._feed(streams, ends, samples)

    def pipeline(self, stream: int) -> Pipeline:
        """The stream itself. What hears sound through it must not run beside `feed`: both use the pool's work space."""
        return self._of(stream)

    def flush(self, stream: int, reason: str = "stop") -> list[Event]:
        events = self._of(stream).flush(reason)
        self._hears[stream] = False
        return events

    def release(self, stream: int, reason: str, labels: Collection[str] | None = None) -> list[Event]:
        return self._of(stream).release(reason, labels)

    def reset(self, stream: int) -> None:
        self._of(stream).reset()
        self._hears[stream] = True

    def configure(self, stream: int, settings: LatchSettings) -> None:
        self._of(stream).configure(settings)

    def settings(self, stream: int) -> LatchSettings:
        return self._of(stream).settings

    def samples(self, stream: int) -> int:
        return self._of(stream).samples

    def open_labels(self, stream: int) -> tuple[str, ...]:
        return self._of(stream).open_labels

    def snapshot(self, stream: int) -> bytes:
        """As a Pipeline's: a stream may move from one to the other and back."""
        return self._of(stream).snapshot()

    def restore(self, stream: int, data: bytes) -> None:
        pipeline = self._of(stream)
        pipeline.restore(data)
        self._hears[stream] = not pipeline.flushed

    def _of(self, stream: int) -> Pipeline:
        pipeline = self._pipelines[stream] if 0 <= stream < self.capacity else None
        if pipeline is None:
            raise ValueError(f"stream {stream} is not open")
        return pipeline

    def _feed(
        self, streams: NDArray[np.int64], ends: NDArray[np.int64], samples: NDArray[np.float32]
    ) -> list[tuple[int, Event]]:
        """streams: (n,). ends: (n,), where the chunk of each ends in `samples`, all float32."""
        samples = samples.view()
        samples.flags.writeable = False  # as in `checked`
        row, at = refused(self._hears, streams, ends, samples)
        if row >= 0:
            self._refuse(int(streams[row]), at - (int(ends[row - 1]) if row else 0), samples[at] if at >= 0 else None)
        memory = self._memory
        decided: list[tuple[int, Event]] = []
        row = at = 0
        while row < len(streams):
            row, at, count = advance(
                self._ear, self._net, memory.states, memory.scratch, streams, ends, samples, row, at,
                memory.events, memory.trace,
            )  # fmt: skip
            for raw in memory.events[:count].tolist():
                stream = raw[0]
                decided.append((stream, event_of(self.model, self._of(stream).settings, raw)))
        return decided

    def _refuse(self, stream: int, index: int, sample: np.float32 | None) -> None:
        if sample is not None:
            limit = f"needs a finite value within +-{MAX_AMPLITUDE:g}"
            raise ValueError(f"stream {stream}: sample {index} is {sample}: {limit}")
        self._of(stream)
        raise RuntimeError(f"stream {stream} was flushed: reset it before feeding it again")


@kernel
def refused(
    hears: NDArray[np.bool_], streams: NDArray[np.int64], ends: NDArray[np.int64], samples: NDArray[np.float32]
) -> tuple[int, int]:
    """The first row that may not be heard, and the first sample that is the reason, or -1 if the stream is.

    (-1, -1) if all may. Arguments as in `advance`; hears: (capacity,) bool.
    """
    at = 0
    for row in range(streams.shape[0]):
        stream = streams[row]
        if stream < 0 or stream >= hears.shape[0] or not hears[stream]:
            return row, -1
        wrong = first_wrong(samples, at, ends[row])
        if wrong >= 0:
            return row, wrong
        at = ends[row]
    return -1, -1
