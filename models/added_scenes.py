"""Scenes of one sound source with the truth for every frame, and scenes without it, for a detector that is added.

`scenes.py` draws from a corpus of all labels; here there are a few notes of one instrument and what its recordings
hold between them. Knows samples and frames; nothing of labels, spikes or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.augment import coloured_noise, faded, recorded, transposed
from models.data.decode import RATE_HZ
from models.data.scenes import (
    ANY,
    AUDIBLE_DB,
    FRAMES,
    HOP_SAMPLES,
    MASKED_DB,
    OFF,
    ON,
    REACTION_FRAMES,
    RELEASE_FRAMES,
    SCENE_SAMPLES,
    SHORTEST_FRAMES,
)
from models.data.truth import frame_levels

Samples = NDArray[np.float32]

LEVEL = 0.1  # of a note's loudest 10 ms, full scale 1
SINGLE = 0.4  # share of the scenes that are one note; the others are lines
NOISY = 0.65  # share of the scenes with something behind the notes
BESIDE = 0.2  # share of the scenes in which something else plays too, where its sound is at hand
SEMITONES = 2.0  # notes are transposed by up to so much


@dataclass(frozen=True)
class Scene:
    samples: Samples  # (SCENE_SAMPLES,)
    truth: NDArray[np.uint8]  # (FRAMES,): OFF, ON or ANY


def played(
    rng: np.random.Generator, notes: Sequence[Samples], rests: Sequence[Samples], others: Sequence[Samples] = ()
) -> Scene:
    """One note or a line of them over noise, at times beside one of `others`. rests: what lies between the notes."""
    samples = np.zeros(SCENE_SAMPLES, np.float32)
    truth = np.full(FRAMES, OFF, np.uint8)
    noise = background(rng, rests)
    noise_db = 10.0 * np.log10(np.mean(noise**2) + 1e-12)
    start = round(rng.uniform(0.0, 0.5) * RATE_HZ)
    if rng.random() < SINGLE:
        length = round(rng.uniform(0.1, 1.5) * RATE_HZ) if rng.random() < 0.3 else None
        _play(rng, samples, truth, notes[int(rng.integers(len(notes)))], start, noise_db, length)
    else:
        while start < SCENE_SAMPLES - RATE_HZ // 5:
            length = round(rng.uniform(0.12, 0.9) * RATE_HZ)
            _play(rng, samples, truth, notes[int(rng.integers(len(notes)))], start, noise_db, length)
            start += length + round(max(0.0, rng.uniform(-0.1, 0.25)) * RATE_HZ)
    if len(others) and rng.random() < BESIDE:
        samples += ambient(rng, others) * np.float32(10.0 ** (rng.uniform(-6.0, 3.0) / 20.0))
    return Scene((samples + noise) * _gain(rng), truth)


def heard(rng: np.random.Generator, sounds: Sequence[Samples], rests: Sequence[Samples] = ()) -> Samples:
    """(SCENE_SAMPLES,) a stretch of one of `sounds`, speech or noise or music, in a room and over noise."""
    return (ambient(rng, sounds) + background(rng, rests)) * _gain(rng)


def ambient(rng: np.random.Generator, sounds: Sequence[Samples]) -> Samples:
    """A stretch of one of `sounds` from a random moment on, recorded anew, its mean level LEVEL."""
    sound = sounds[int(rng.integers(len(sounds)))]
    start = round(rng.uniform(0.0, 0.5) * RATE_HZ)
    begin = int(rng.integers(max(1, len(sound) - SCENE_SAMPLES)))
    sound = recorded(rng, sound[begin : begin + SCENE_SAMPLES - start])[: SCENE_SAMPLES - start]
    scene = np.zeros(SCENE_SAMPLES, np.float32)
    scene[start : start + len(sound)] = sound * np.float32(LEVEL / (np.sqrt(np.mean(np.square(sound))) + 1e-6))
    return scene


def synthetic(rng: np.random.Generator) -> Samples:
    """(SCENE_SAMPLES,) what is no instrument and needs no recording: noise, tones, sweeps, clicks, hum."""
    time_s = np.arange(SCENE_SAMPLES) / RATE_HZ
    kind = rng.integers(5)
    made: NDArray[Any]
    if kind == 0:
        made = coloured_noise(rng, SCENE_SAMPLES) * np.repeat(rng.uniform(0.0, 1.0, FRAMES // 24), HOP_SAMPLES * 24)
    elif kind == 1:
        made = np.sin(2 * np.pi * 2.0 ** rng.uniform(6.0, 12.0) * time_s)
    elif kind == 2:
        low, high = 2.0 ** np.sort(rng.uniform(6.0, 12.5, 2))
        made = np.sin(2 * np.pi * (low * time_s + (high - low) * time_s**2 / (2 * time_s[-1])))
    elif kind == 3:
        made = np.zeros(SCENE_SAMPLES)
        made[rng.integers(0, SCENE_SAMPLES, rng.integers(1, 12))] = 20.0
    else:
        mains = rng.choice([50.0, 60.0])
        made = np.sum([rng.uniform() / k * np.sin(2 * np.pi * k * mains * time_s + k) for k in range(1, 8)], axis=0)
    begin = rng.integers(SCENE_SAMPLES // 3)
    sound = np.concatenate([np.zeros(begin), made[: SCENE_SAMPLES - begin]]).astype(np.float32)
    return (LEVEL * recorded(rng, sound)[:SCENE_SAMPLES] + 0.3 * background(rng, ())) * _gain(rng)


def background(rng: np.random.Generator, rests: Sequence[Samples]) -> Samples:
    """Nothing, coloured noise or a rest of the recordings, 0 to 40 dB below a note."""
    if rng.random() >= NOISY:
        return np.zeros(SCENE_SAMPLES, np.float32)
    if len(rests) and rng.random() < 0.4:
        noise = np.resize(rests[int(rng.integers(len(rests)))], SCENE_SAMPLES)
        noise = noise / (np.sqrt(np.mean(np.square(noise))) + 1e-7)
    else:
        noise = coloured_noise(rng, SCENE_SAMPLES)
    return noise * np.float32(LEVEL * 10.0 ** (-rng.uniform(0.0, 40.0) / 20.0))


def _play(
    rng: np.random.Generator,
    samples: Samples,
    truth: NDArray[np.uint8],
    note: Samples,
    start: int,
    noise_db: float,
    length: int | None,
) -> None:
    """Add a note from sample `start` on, cut after `length` samples, and write its truth."""
    note = transposed(note, 2.0 ** (rng.uniform(-SEMITONES, SEMITONES) / 12.0))
    if length is not None and len(note) > length:
        note = faded(note[:length], rng.uniform(0.005, 0.06))
    note = recorded(rng, note)[: max(0, SCENE_SAMPLES - start)]
    if len(note) < HOP_SAMPLES:
        return
    level_db = frame_levels(note, HOP_SAMPLES)
    gain_db = 20.0 * np.log10(LEVEL) + rng.uniform(-6.0, 6.0) - float(level_db.max())
    samples[start : start + len(note)] += note * np.float32(10.0 ** (gain_db / 20.0))
    audible = np.flatnonzero(
        level_db + gain_db > max(float(level_db.max()) + gain_db - AUDIBLE_DB, noise_db - MASKED_DB)
    )
    if len(audible):
        first = start // HOP_SAMPLES
        _write(truth, first + int(audible[0]), first + int(audible[-1]) + 1)


def _write(truth: NDArray[np.uint8], on: int, end: int) -> None:
    """The truth of what is heard from frame `on` to before `end`, as in `scenes.py`."""
    before = truth == ON
    end = max(end, on + SHORTEST_FRAMES)
    truth[max(0, on - 1) : end + RELEASE_FRAMES] = ANY
    truth[on + REACTION_FRAMES : end] = ON
    truth[before] = ON


def _gain(rng: np.random.Generator) -> np.float32:
    return np.float32(10.0 ** (rng.uniform(-30.0, 10.0) / 20.0))
