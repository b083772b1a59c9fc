"""Two and a half seconds of a possible world with the truth about it, drawn from a corpus with one seed.

A scene is silence, notes and noise; its truth says for every frame and label: off, on, or do not care. Knows clips
and frames; nothing of spectra or networks.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.augment import coloured_noise, faded, recorded, stretched, transposed
from models.data.corpus import RATE_HZ, Clip
from models.data.ensemble import Ensemble
from models.data.ontology import LABELS, NEGATIVES
from models.data.truth import frame_levels, runs

Samples = NDArray[np.float32]

OFF, ON, ANY = 0, 1, 2

SCENE_S = 2.4
HOP_SAMPLES = 160
FRAMES = round(SCENE_S * RATE_HZ) // HOP_SAMPLES
SCENE_SAMPLES = FRAMES * HOP_SAMPLES

REACTION_FRAMES = 4  # after an onset nothing is asked for 40 ms: the frame's window has hardly seen the note
RELEASE_FRAMES = 8  # nor for 80 ms after the end
SHORTEST_FRAMES = 15  # a hit that is over before the network can answer counts as on for 150 ms
AUDIBLE_DB = 35.0  # a note ends where it has stayed this far below its loudest 10 ms
MASKED_DB = 3.0  # or this far below the noise

# kinds of scenes and how often
KINDS = {"note": 0.40, "line": 0.20, "change": 0.10, "mixture": 0.14, "negative": 0.16}
VOICES = {2: 0.5, 3: 0.3, 4: 0.2}  # of a mixture, and how often
NOISY = 0.7  # share of scenes with a background
NOISE_DB = (0.0, 32.0)  # that it lies below a note


@dataclass(frozen=True)
class Scene:
    samples: Samples  # (SCENE_SAMPLES,)
    truth: NDArray[np.uint8]  # (FRAMES, labels): OFF, ON or ANY


class Stage:
    """Draws scenes. Labels are equally likely; a label's libraries by the square root of their size, up to a limit.

    With an `ensemble`, `score_share` of the scenes are a few bars of a score instead of one of KINDS. `stretch_share`
    of the notes last longer or shorter by up to a third without a change of pitch.
    """

    LIBRARY_LIMIT = 120  # clips beyond which a library is drawn no more often

    def __init__(
        self,
        clips: Sequence[Clip],
        ensemble: Ensemble | None = None,
        score_share: float = 0.0,
        stretch_share: float = 0.0,
    ) -> None:
        self._ensemble, self._score_share, self._stretch_share = ensemble, score_share, stretch_share
        by: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in clips:
            by[clip.label][clip.library].append(clip)
        self.labels = [label for label in LABELS if label in by]
        self.negatives = [name for name in NEGATIVES if name in by]
        if not self.labels:
            raise ValueError("the corpus has no clip of a label: nothing to learn")
        self._libraries = {label: list(libraries.values()) for label, libraries in by.items()}
        self._weights = {}
        for label, libraries in self._libraries.items():
            weight = np.sqrt([min(len(clips), self.LIBRARY_LIMIT) for clips in libraries])
            self._weights[label] = weight / weight.sum()

    def scene(self, rng: np.random.Generator) -> Scene:
        kind = rng.choice(list(KINDS), p=list(KINDS.values()))
        samples = np.zeros(SCENE_SAMPLES, np.float32)
        truth = np.zeros((FRAMES, len(LABELS)), np.uint8)
        noise = self._noise(rng, NOISY)
        noise_db = 10.0 * np.log10(np.mean(noise**2) + 1e-12)
        start = round(rng.uniform(0.0, 0.5) * RATE_HZ)
        if self._ensemble is not None and self._score_share and rng.random() < self._score_share:
            self._perform(rng, self._ensemble, samples, truth, start, noise_db)
        elif kind == "negative":
            noise = self._noise(rng, 1.0)
            if self.negatives and rng.random() < 0.85:
                name, sound = self._negative(rng)
                sound = recorded(rng, sound[: SCENE_SAMPLES - start])[: SCENE_SAMPLES - start]
                gain = 1.0 if name == "silence" else 0.1 / (_rms(sound) + 1e-6)
                samples[start : start + len(sound)] += sound * np.float32(gain)
        elif kind == "note":
            label = self._label(rng)
            self._play(rng, samples, truth, label, start, noise_db)
        elif kind == "line":
            label = self._label(rng)
            library = self._library(rng, label)
            while start < SCENE_SAMPLES - RATE_HZ // 5:
                length = round(rng.uniform(0.12, 0.9) * RATE_HZ)
                self._play(rng, samples, truth, label, start, noise_db, length, library)
                start += length + round(max(0.0, rng.uniform(-0.1, 0.25)) * RATE_HZ)
        elif kind == "change":
            first, second = self._label(rng), self._label(rng)
            length = round(rng.uniform(0.4, 1.2) * RATE_HZ)
            self._play(rng, samples, truth, first, start, noise_db, length)
            self._play(rng, samples, truth, second, start + length, noise_db)
        else:
            for label in [self._label(rng) for _ in range(rng.choice(list(VOICES), p=list(VOICES.values())))]:
                self._play(rng, samples, truth, label, start, noise_db)
                start += round(rng.uniform(0.0, 0.4) * RATE_HZ)
        gain_db = rng.uniform(-30.0, 10.0)
        return Scene((samples + noise) * np.float32(10.0 ** (gain_db / 20.0)), truth)

    def _label(self, rng: np.random.Generator) -> str:
        return self.labels[rng.integers(len(self.labels))]

    def _library(self, rng: np.random.Generator, label: str) -> list[Clip]:
        libraries = self._libraries[label]
        return libraries[rng.choice(len(libraries), p=self._weights[label])]

    def _negative(self, rng: np.random.Generator) -> tuple[str, Samples]:
        name = self.negatives[rng.integers(len(self.negatives))]
        clips = self._library(rng, name)
        sound = clips[rng.integers(len(clips))].samples.astype(np.float32) / 32768.0
        return name, sound[rng.integers(max(1, len(sound) - SCENE_SAMPLES)) :]

    def _noise(self, rng: np.random.Generator, share: float) -> Samples:
        """Background for the whole scene: none, coloured noise, or a recorded one, NOISE_DB below a note."""
        if rng.random() >= share:
            return np.zeros(SCENE_SAMPLES, np.float32)
        if "noise" in self.negatives and rng.random() < 0.5:
            clips = self._library(rng, "noise")
            sound = clips[rng.integers(len(clips))].samples.astype(np.float32)
            sound = np.resize(sound[rng.integers(max(1, len(sound) - SCENE_SAMPLES)) :], SCENE_SAMPLES)
            sound = sound / (_rms(sound) + 1.0)
        else:
            sound = coloured_noise(rng, SCENE_SAMPLES)
        return sound * np.float32(0.1 * 10.0 ** (-rng.uniform(*NOISE_DB) / 20.0))

    def _play(
        self,
        rng: np.random.Generator,
        samples: Samples,
        truth: NDArray[np.uint8],
        label: str,
        start: int,
        noise_db: float,
        length: int | None = None,
        library: list[Clip] | None = None,
    ) -> None:
        """Add one note of `label` from sample `start` on, cut after `length` samples, and write its truth."""
        clips = library or self._library(rng, label)
        note = clips[rng.integers(len(clips))].samples.astype(np.float32) / 32768.0
        note = transposed(note, 2.0 ** (rng.uniform(-2.0, 2.0) / 12.0))
        if self._stretch_share and rng.random() < self._stretch_share:
            note = stretched(note, 2.0 ** rng.uniform(-0.4, 0.4))
        if length is None and rng.random() < 0.3:
            length = round(rng.uniform(0.1, 1.5) * RATE_HZ)
        if length is not None and len(note) > length:
            note = faded(note[:length], rng.uniform(0.005, 0.06))
        note = recorded(rng, note)[: max(0, SCENE_SAMPLES - start)]
        if len(note) < HOP_SAMPLES:
            return
        level = np.sqrt(np.mean(np.square(note[: len(note) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)), 1))
        loudest = float(level.max())
        if loudest < 1e-5:
            return
        gain = 0.1 * 10.0 ** (rng.uniform(-6.0, 6.0) / 20.0) / loudest
        samples[start : start + len(note)] += note * np.float32(gain)

        level_db = 20.0 * np.log10(level * gain + 1e-9)
        heard_db = max(20.0 * np.log10(loudest * gain) - AUDIBLE_DB, noise_db - MASKED_DB)
        heard = np.flatnonzero(level_db > heard_db)
        if len(heard) == 0:
            return
        on, end = start // HOP_SAMPLES + int(heard[0]), start // HOP_SAMPLES + int(heard[-1]) + 1
        _write(truth[:, list(LABELS).index(label)], on, end)

    def _perform(
        self,
        rng: np.random.Generator,
        ensemble: Ensemble,
        samples: Samples,
        truth: NDArray[np.uint8],
        start: int,
        noise_db: float,
    ) -> None:
        """Add a few bars of a score from sample `start` on; each part has a microphone and room of its own."""
        _, _, stems = ensemble.excerpt(rng, (SCENE_SAMPLES - start) / RATE_HZ)
        sounds = [recorded(rng, stem.samples)[: SCENE_SAMPLES - start] for stem in stems]
        loudest_db = max(float(frame_levels(sound, HOP_SAMPLES).max()) for sound in sounds)
        gain_db = rng.uniform(-6.0, 6.0) - 20.0 - loudest_db
        first = start // HOP_SAMPLES
        for stem, sound in zip(stems, sounds, strict=True):
            samples[start : start + len(sound)] += sound * np.float32(10.0 ** (gain_db / 20.0))
            level_db = frame_levels(sound, HOP_SAMPLES) + gain_db
            heard = level_db > max(float(level_db.max()) - AUDIBLE_DB, noise_db - MASKED_DB)
            for on, end in runs(heard, RELEASE_FRAMES):
                _write(truth[:, list(LABELS).index(stem.label)], first + on, first + end)


def _write(column: NDArray[np.uint8], on: int, end: int) -> None:
    """A label's truth (FRAMES,) for what is heard from frame `on` to before `end`."""
    played = column == ON
    end = max(end, on + SHORTEST_FRAMES)
    column[max(0, on - 1) : end + RELEASE_FRAMES] = ANY
    column[on + REACTION_FRAMES : end] = ON
    column[played] = ON


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))
