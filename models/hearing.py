"""Clips through the real engine, as a listener would meet them: silence, the clip, silence.

Knows the pipeline and clips; nothing of training or of what the answers are worth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.events import Event
from engine.latch import LatchSettings
from engine.pipeline import TRACE_FRAMES, Pipeline
from engine.weights import Model
from models.evaluation.onset import onset_frame

if TYPE_CHECKING:
    from models.data.corpus import Clip  # which needs the train extra; hearing does not

LEAD_FRAMES = 32  # silence before the clip, 0.32 s
TAIL_FRAMES = 100  # and after it, 1 s
SETTLING_FRAMES = 8  # 80 ms after an onset: a frame is 32 ms, an output neuron remembers 0.2 s (docs/decisions.md)
PEAK = 0.3  # of the clip, full scale 1: about -10 dBFS


@dataclass(frozen=True)
class Heard:
    """What the engine made of one clip; frames count from the note's onset."""

    clip: "Clip"
    evidence: NDArray[np.float32]  # (frames, labels) membranes from the note's onset to the clip's end
    events: list[Event]
    onset_sample: int  # of the note, on the events' clock
    end_sample: int  # of the clip


def hear(
    model: Model,
    clips: "Iterable[Clip]",
    settings: LatchSettings | None = None,
    gain_db: float = 0.0,
    snr_db: float | None = None,
) -> list[Heard]:
    """Each clip by itself through a reset pipeline. `gain_db` on the clip's level; `snr_db`: white noise throughout."""
    pipeline = Pipeline(model, settings)
    hop = model.front_end.hop_samples
    heard = []
    for index, clip in enumerate(clips):
        sound = normal_level(clip.samples.astype(np.float32))
        frames = len(sound) // hop
        stream = in_silence(sound[: frames * hop], hop)
        if snr_db is not None:
            power = float(np.mean(np.square(sound)))
            noise = np.random.default_rng(index).standard_normal(len(stream), dtype=np.float32)
            stream += noise * np.float32(np.sqrt(power * 10.0 ** (-snr_db / 10.0)))
        pipeline.reset()
        evidence, events = listen(pipeline, stream * np.float32(10.0 ** (gain_db / 20.0)))
        onset = LEAD_FRAMES + onset_frame(sound, hop)
        end = LEAD_FRAMES + frames
        heard.append(Heard(clip, evidence[onset:end], events, onset * hop, end * hop))
    return heard


def in_silence(sound: NDArray[np.float32], hop: int) -> NDArray[np.float32]:
    """LEAD_FRAMES of silence, the sound, silence to the end of its last hop, TAIL_FRAMES more."""
    frames = -(-len(sound) // hop)
    stream = np.zeros((LEAD_FRAMES + frames + TAIL_FRAMES) * hop, np.float32)
    stream[LEAD_FRAMES * hop : LEAD_FRAMES * hop + len(sound)] = sound
    return stream


def listen(
    pipeline: Pipeline, samples: NDArray[np.float32], watch: Callable[[NDArray[Any]], None] = lambda rows: None
) -> tuple[NDArray[np.float32], list[Event]]:
    """Feed everything; returns the membranes of each frame, (frames, labels), and the events.

    `watch` is shown the trace of each frame.
    """
    block = TRACE_FRAMES // 2 * pipeline.model.front_end.hop_samples
    rows, events = [np.zeros((0, len(pipeline.model.labels)), np.float32)], []
    for at in range(0, len(samples), block):
        before = pipeline.frames
        events += pipeline.feed(samples[at : at + block])
        new = np.arange(before, pipeline.frames) % TRACE_FRAMES
        rows.append(pipeline.trace["evidence"][new].copy())
        watch(pipeline.trace[new])
    return np.concatenate(rows), events


def normal_level(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """With its peak at PEAK; silence stays silence."""
    peak = float(np.abs(sound).max(initial=0.0))
    return sound * np.float32(PEAK / peak) if peak else sound


def mean_scores(evidence: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """Of each label, over the first `frames` frames since the onset, or as many as there are, without those in which
    the network still gathers what it hears (SETTLING_FRAMES); the last one always counts."""
    first = evidence[: max(1, frames)].astype(np.float64)
    first = first[min(SETTLING_FRAMES, len(first) - 1) :]
    return np.asarray(np.mean(1.0 / (1.0 + np.exp(-first)), axis=0))
