"""One stream, from samples to events: the whole engine on one page. Knows one model and one stream.

    samples -> ring -> STFT -> bands -> shared gain -> cochlea -> network -> latch -> events

State is one record, parameters another; a chunk of any size is one call into the kernel. Feeding a clip in any
chunking gives bit-identical events.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import ear, latch
from engine.ear import NEVER, checked, fill_hop, hear_frame
from engine.events import Event
from engine.jit import Record, kernel
from engine.latch import LatchSettings, latch_step, score_of, settings_record
from engine.network import network_record, network_step
from engine.weights import Model

TRACE_FRAMES = 256  # frames that `Pipeline.trace` remembers: 2.56 s at 10 ms
BLOCK_FRAMES = 64  # frames for which the event buffer has room


@kernel
def advance(
    ear: Record,
    net: Record,
    settings: Record,
    state: Record,
    scratch: Record,
    samples: NDArray[np.float32],
    at: int,
    events: Record,
    trace: Record,
) -> tuple[int, int]:
    """Hear `samples[at:]`, frame by frame; stop early when `events` could overflow.

    Returns the index of the first sample not yet used and the number of events written.
    """
    e, n, s, w, rules = ear[0], net[0], state[0], scratch[0], settings[0]
    labels = rules.on.shape[0]
    first_label = s.v.shape[0] - labels
    count = 0
    while at < samples.shape[0] and count + labels <= events.shape[0]:
        at = fill_hop(e, s, samples, at)
        if s.pending < e.hop:
            break
        frame = s.frame
        hear_frame(e, s, w)
        network_step(n, s.cochlea_spikes, s, w)
        count = latch_step(s.v, first_label, rules, s, frame, s.attack, e.hop, events, count)

        row = trace[frame % trace.shape[0]]
        row.level = w.level
        row.energy[:] = w.energy
        row.cochlea[:] = s.cochlea_spikes
        row.spikes[:] = s.spikes
        row.evidence[:] = s.v[first_label:]
    return at, count


@lru_cache(maxsize=16)
def _parameters(model: Model) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """A model's read-only records: made once, shared by all of its streams."""
    records = ear.parameters(model.front_end), network_record(model.layers)
    for record in records:
        record.setflags(write=False)
    return records


class Pipeline:
    """`feed(samples) -> events`, `flush()`, `reset()` for one stream at the model's rate."""

    def __init__(self, model: Model, settings: LatchSettings | None = None) -> None:
        self.model = model
        config = model.front_end
        labels = len(model.labels)
        self._ear, self._net = _parameters(model)
        # The ear's fields come last: numba takes a record that begins like another for its subtype, and warns.
        state: list[tuple[Any, ...]] = [
            ("v", np.float32, (model.neurons,)),  # membrane potentials, layer after layer; the labels' are the last
            ("spikes", np.uint8, (model.neurons,)),  # of the last frame
            *latch.state_fields(labels),
            *ear.state_fields(config),
        ]
        widest = max(layer.weight.shape[1] for layer in model.layers)
        scratch = [
            ("current", np.float32, (widest,)),
            ("active", np.int64, (max(widest, config.fibres),)),
            *ear.scratch_fields(config),
        ]
        trace = [
            ("level", np.float32),  # mean band energy: power, full scale near 1
            ("energy", np.float32, (config.bands,)),
            ("cochlea", np.uint8, (config.fibres,)),  # spikes
            ("spikes", np.uint8, (model.neurons,)),
            ("evidence", np.float32, (labels,)),  # the latches' membranes, log-odds
        ]
        self._state = np.zeros(1, np.dtype(state, align=True))
        self._scratch = np.zeros(1, np.dtype(scratch, align=True))
        self._events = np.zeros(labels * BLOCK_FRAMES, latch.RAW_EVENT)
        self.trace = np.zeros(TRACE_FRAMES, np.dtype(trace, align=True))  # frame k at index k % TRACE_FRAMES
        self.configure(settings or default_settings(model))
        self.reset()

    def configure(self, settings: LatchSettings) -> None:
        """Decide by `settings` from the next frame on. Raises ValueError if they are not for this model's labels."""
        if len(settings.on) != len(self.model.labels):
            raise ValueError(f"settings have {len(settings.on)} labels, the model has {len(self.model.labels)}")
        self.settings = settings
        self._rules = settings_record(settings, self.model.front_end.hop_s)

    def reset(self) -> None:
        """Forget everything heard: equal to a new Pipeline with the same settings."""
        self._state[:] = np.zeros(1, self._state.dtype)
        self._state["attack"] = NEVER
        self.trace[:] = np.zeros(1, self.trace.dtype)
        self._ended = False

    @property
    def samples(self) -> int:
        """Samples heard since the stream's start."""
        return int(self._state["written"][0])

    @property
    def frames(self) -> int:
        """Frames done since the stream's start; the newest is in `trace[(frames - 1) % TRACE_FRAMES]`."""
        return int(self._state["frame"][0])

    @property
    def open_labels(self) -> tuple[str, ...]:
        return tuple(self.model.labels[i] for i in np.flatnonzero(self._state["is_on"][0]))

    def feed(self, samples: NDArray[np.float32]) -> list[Event]:
        """Hear (n,) float32 samples, full scale +-1, any n. Returns what the latches decided, in order of time.

        Raises ValueError, before anything is heard, if a sample is not finite; RuntimeError after `flush`.
        """
        if self._ended:
            raise RuntimeError("the stream was flushed: reset() before feeding it again")
        return self._advance(checked(samples))

    def flush(self, reason: str = "stop") -> list[Event]:
        """End the stream: complete the last hop with silence and close the open labels at the last real sample."""
        if self._ended:
            return []
        total = self.samples
        pending = int(self._state["pending"][0])
        tail = np.zeros((self.model.front_end.hop_samples - pending) if pending else 0, np.float32)
        events = [_clamped(event, total) for event in self._advance(tail)]
        events += self._close(reason, total)
        self._ended = True
        return events

    def release(self, reason: str, labels: Collection[str] | None = None) -> list[Event]:
        """Close the open labels now (or only those of `labels`), for `reason`; the stream goes on."""
        return self._close(reason, self.samples, labels)

    def _advance(self, samples: NDArray[np.float32]) -> list[Event]:
        decided: list[Event] = []
        at = 0
        while at < len(samples):
            at, count = advance(
                self._ear, self._net, self._rules, self._state, self._scratch, samples, at, self._events, self.trace
            )
            decided += [self._event(raw) for raw in self._events[:count]]
        return decided

    def _event(self, raw: np.void) -> Event:
        return Event(
            phase=latch.PHASES[raw["phase"]],  # type: ignore[arg-type]
            label=self.model.labels[raw["label"]],
            onset_sample=int(raw["onset"]),
            offset_sample=None if raw["phase"] == latch.ONSET else int(raw["offset"]),
            decided_sample=int(raw["decided"]),
            score=score_of(float(raw["v"])),
            peak=score_of(float(raw["peak"])),
            threshold=self.settings.on[raw["label"]],
            reason=None if raw["phase"] == latch.ONSET else "decay",
        )

    def _close(self, reason: str, at_sample: int, labels: Collection[str] | None = None) -> list[Event]:
        state = self._state[0]
        evidence = state["v"][-len(self.model.labels) :]
        closed = []
        for i in np.flatnonzero(state["is_on"]):
            if labels is not None and self.model.labels[i] not in labels:
                continue
            closed.append(
                Event(
                    phase="offset",
                    label=self.model.labels[i],
                    onset_sample=int(state["onset"][i]),
                    offset_sample=at_sample,
                    decided_sample=at_sample,
                    score=score_of(float(evidence[i])),
                    peak=score_of(float(state["peak"][i])),
                    threshold=self.settings.on[i],
                    reason=reason,
                )
            )
            state["is_on"][i] = 0
            state["rise"][i] = state["ended"][i] = state["frame"]
        return closed


def default_settings(model: Model) -> LatchSettings:
    """The model's own thresholds, every label enabled."""
    return LatchSettings(on=model.on, off=model.off, enabled=(True,) * len(model.labels))


def _clamped(event: Event, total: int) -> Event:
    """An event decided in the silence that completed the last hop belongs to the last real sample."""
    offset = None if event.offset_sample is None else min(event.offset_sample, total)
    return Event(
        phase=event.phase,
        label=event.label,
        onset_sample=min(event.onset_sample, total),
        offset_sample=offset,
        decided_sample=min(event.decided_sample, total),
        score=event.score,
        peak=event.peak,
        threshold=event.threshold,
        reason=event.reason,
    )
