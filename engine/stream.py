"""What the streams of a model are in memory: a record for each, and the work space that they share.

Knows fields and their sizes, and what a decision in them means; hears nothing. All that a stream remembers lies in its
record, one after another in one array: a frame touches its stream's record and memory that every stream has just used.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import ear, latch, network
from engine.events import Event
from engine.latch import LatchSettings, score_of
from engine.weights import Model

BLOCK_FRAMES = 64  # frames of one stream for which the event buffer has room
RAW_EVENT = np.dtype(
    [("stream", np.int64), *((name, latch.RAW_EVENT[name]) for name in latch.RAW_EVENT.names or ())], align=True
)


@lru_cache(maxsize=16)
def parameters(model: Model) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """A model's read-only records, ear and network: made once, shared by all of its streams."""
    records = ear.parameters(model.front_end), network.network_record(model.layers)
    for record in records:
        record.setflags(write=False)
    return records


@lru_cache(maxsize=16)
def state_dtype(model: Model) -> np.dtype[np.void]:
    """All that one stream remembers between two samples, and the rules by which it decides."""
    labels = len(model.labels)
    # The ear's fields come last: numba takes a record that begins like another for its subtype, and warns.
    fields: list[tuple[Any, ...]] = [
        ("v", np.float32, (model.neurons,)),  # membrane potentials, layer after layer; the labels' are the last
        ("spikes", np.uint8, (model.neurons,)),  # of the last frame
        ("flushed", np.uint8),  # it ended: no sample may come before a reset
        ("rules", latch.settings_dtype(labels)),
        *latch.state_fields(labels),
        *ear.state_fields(model.front_end),
    ]
    return np.dtype(fields, align=True)


class Memory:
    """What `streams` streams of a model work in, allocated once; zero `trace_frames` keep no trace."""

    def __init__(self, model: Model, streams: int, trace_frames: int) -> None:
        config = model.front_end
        labels = len(model.labels)
        scratch = [*network.scratch_fields(model.layers), *ear.scratch_fields(config)]
        trace = [
            ("level", np.float32),  # mean band energy: power, full scale near 1
            ("energy", np.float32, (config.bands,)),
            ("cochlea", np.uint8, (config.fibres,)),  # spikes
            ("spikes", np.uint8, (model.neurons,)),
            ("evidence", np.float32, (labels,)),  # the latches' membranes, log-odds
        ]
        self.states = np.zeros(streams, state_dtype(model))
        self.scratch = np.zeros(1, np.dtype(scratch, align=True))  # means nothing between frames
        self.events = np.zeros(labels * BLOCK_FRAMES, RAW_EVENT)  # decided in the running call
        self.trace = np.zeros(trace_frames, np.dtype(trace, align=True))


def forget(state: NDArray[np.void]) -> None:
    """Make a (1,) record equal to that of a stream that has heard nothing; the rules stay."""
    new = np.zeros(1, state.dtype)
    new["attack"] = ear.NEVER
    new["rules"] = state["rules"]
    state[:] = new


def event_of(model: Model, settings: LatchSettings, raw: tuple[Any, ...]) -> Event:
    """The event that a row of the event buffer, as a tuple, stands for. settings: of its stream."""
    _, phase, label, onset, offset, decided, v, peak = raw
    return Event(
        phase=latch.PHASES[phase],  # type: ignore[arg-type]
        label=model.labels[label],
        onset_sample=onset,
        offset_sample=None if phase == latch.ONSET else offset,
        decided_sample=decided,
        score=score_of(v),
        peak=score_of(peak),
        threshold=settings.on[label],
        reason=None if phase == latch.ONSET else "decay",
    )


def close_labels(
    model: Model,
    settings: LatchSettings,
    state: NDArray[np.void],
    reason: str,
    at_sample: int,
    labels: Collection[str] | None = None,
) -> list[Event]:
    """Turn off the labels that are on in a (1,) record (or only those of `labels`) at `at_sample`, for `reason`."""
    record = state[0]
    evidence = record["v"][-len(model.labels) :]
    closed = []
    for i in np.flatnonzero(record["is_on"]):
        if labels is not None and model.labels[i] not in labels:
            continue
        closed.append(
            Event(
                phase="offset",
                label=model.labels[i],
                onset_sample=int(record["onset"][i]),
                offset_sample=at_sample,
                decided_sample=at_sample,
                score=score_of(float(evidence[i])),
                peak=score_of(float(record["peak"][i])),
                threshold=settings.on[i],
                reason=reason,
            )
        )
        record["is_on"][i] = 0
        record["rise"][i] = record["ended"][i] = record["frame"]
    return closed
