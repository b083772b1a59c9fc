"""Clips through the real engine, as a listener would meet them: silence, the clip, silence.

Knows the pipeline and clips; nothing of training or of what the answers are worth.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.events import Event
from engine.latch import LatchSettings
from engine.pipeline import TRACE_FRAMES, Pipeline
from engine.weights import Model
from models.data.corpus import Clip

LEAD_FRAMES = 32  # silence before the clip, 0.32 s
TAIL_FRAMES = 100  # and after it, 1 s
PEAK = 0.3  # of the clip, full scale 1: about -10 dBFS
ONSET_DB = 30.0  # the note begins where it is first less than this below its loudest 10 ms


@dataclass(frozen=True)
class Heard:
    """What the engine made of one clip; frames count from the note's onset."""

    clip: Clip
    evidence: NDArray[np.float32]  # (frames, labels) membranes from the note's onset to the clip's end
    events: list[Event]
    onset_sample: int  # of the note, on the events' clock
    end_sample: int  # of the clip


def hear(
    model: Model,
    clips: Iterable[Clip],
    settings: LatchSettings | None = None,
    gain_db: float = 0.0,
    snr_db: float | None = None,
) -> list[Heard]:
    """Each clip by itself through a reset pipeline. `gain_db` on the clip's level; `snr_db`: white noise throughout."""
    pipeline = Pipeline(model, settings)
    hop = model.front_end.hop_samples
    heard = []
    for index, clip in enumerate(clips):
        sound = normal_level(clip.samples)
        frames = len(sound) // hop
        stream = np.zeros((LEAD_FRAMES + frames + TAIL_FRAMES) * hop, np.float32)
        stream[LEAD_FRAMES * hop : (LEAD_FRAMES + frames) * hop] = sound[: frames * hop]
        if snr_db is not None:
            power = float(np.mean(np.square(sound)))
            noise = np.random.default_rng(index).standard_normal(len(stream), dtype=np.float32)
            stream += noise * np.float32(np.sqrt(power * 10.0 ** (-snr_db / 10.0)))
        pipeline.reset()
        evidence, events = listen(pipeline, stream * np.float32(10.0 ** (gain_db / 20.0)))
        onset = LEAD_FRAMES + first_loud_frame(sound, hop)
        end = LEAD_FRAMES + frames
        heard.append(Heard(clip, evidence[onset:end], events, onset * hop, end * hop))
    return heard


def listen(pipeline: Pipeline, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[Event]]:
    """Feed everything; returns the membranes of each frame, (frames, labels), and the events."""
    block = TRACE_FRAMES // 2 * pipeline.model.front_end.hop_samples
    rows, events = [], []
    for at in range(0, len(samples), block):
        before = pipeline.frames
        events += pipeline.feed(samples[at : at + block])
        rows.append(pipeline.trace["evidence"][np.arange(before, pipeline.frames) % TRACE_FRAMES].copy())
    return np.concatenate(rows), events


def normal_level(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """As float32 with its peak at PEAK."""
    sound = samples.astype(np.float32)
    return sound * np.float32(PEAK / max(1.0, float(np.abs(sound).max(initial=0.0))))


def first_loud_frame(sound: NDArray[np.float32], hop: int) -> int:
    frames = len(sound) // hop
    power = np.mean(np.square(sound[: frames * hop].reshape(frames, hop)), axis=1)
    return int(np.argmax(power > power.max() * 10.0 ** (-ONSET_DB / 10.0)))
