"""Windows of sound to learn labels from: one second each, drawn from the clips with one seed. Knows clips and rooms;
nothing of spectra or networks.

The same notes as the spiking detectors': labels equally likely, a label's libraries by the square root of their clips,
transposed by up to two semitones, in a random microphone and room, over noise 0 to 40 dB below. A window ends a random
time after the note's onset, often soon: a system that hears a second also learns to answer after a tenth of one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.augment import coloured_noise, recorded, transposed
from models.data.corpus import RATE_HZ, Clip
from models.evaluation.onset import onset_frame
from models.hearing import normal_level
from models.zoo.system import ZooError

WINDOW = RATE_HZ
SOON_S, LATE_S = (0.08, 0.4), (0.4, 1.5)  # when windows end, since the onset
SOON_SHARE = 0.35
NOISY_SHARE = 0.65
LIBRARY_LIMIT = 120  # clips beyond which a library is drawn no more often
MOMENTS_MS = (200, 1000)  # at which the calibrate part is heard


@dataclass(frozen=True)
class Examples:
    windows: NDArray[np.int16]  # (n, WINDOW)
    answers: NDArray[np.int64]  # (n,) index of the label
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.answers)


def drawn(clips: Sequence[Clip], labels: tuple[str, ...], count: int, seed: int, plain: bool = False) -> Examples:
    """`count` windows of `clips`, in random colours, rooms and noise, or, if `plain`, without these.

    Raises ZooError if a label has no clip.
    """
    by = shelves(clips, labels)
    windows, answers = np.empty((count, WINDOW), np.int16), np.empty(count, np.int64)
    for index in range(count):
        random = np.random.default_rng((seed, index))
        answer = int(random.integers(len(labels)))
        windows[index] = _window(random, taken(random, by[labels[answer]]), plain)
        answers[index] = answer
    return Examples(windows, answers, labels)


Shelves = dict[str, dict[str, list[Clip]]]  # label -> library -> clips


def shelves(clips: Sequence[Clip], labels: tuple[str, ...]) -> Shelves:
    """Raises ZooError if a label has no clip."""
    by: Shelves = {label: defaultdict(list) for label in labels}
    for clip in clips:
        if clip.label in by:
            by[clip.label][clip.library].append(clip)
    if missing := [label for label in labels if not by[label]]:
        raise ZooError(f"nothing to learn {', '.join(missing)} from: no clip of the training part")
    return by


def taken(random: np.random.Generator, by_library: dict[str, list[Clip]]) -> Clip:
    """A clip of one label: libraries by the square root of their clips."""
    libraries = list(by_library.values())
    weight = np.sqrt([min(len(own), LIBRARY_LIMIT) for own in libraries])
    own = libraries[int(random.choice(len(libraries), p=weight / weight.sum()))]
    return own[int(random.integers(len(own)))]


def heard(clips: Sequence[Clip], labels: tuple[str, ...], moments_ms: Sequence[int] = MOMENTS_MS) -> Examples:
    """Each clip as it is, once for each moment after its onset: to stop early by, and to choose settings."""
    clips = [clip for clip in clips if clip.label in labels]
    windows, answers = [], []
    for clip in clips:
        sound = normal_level(clip.samples.astype(np.float32))
        onset = onset_frame(sound, 160) * 160
        for ms in moments_ms:
            end = min(onset + ms * RATE_HZ // 1000, len(sound))
            windows.append(_pcm(_ending(sound, end)))
            answers.append(labels.index(clip.label))
    if not windows:
        raise ZooError("no clip of the calibrate part has a label: nothing to stop early by")
    return Examples(np.stack(windows), np.array(answers, np.int64), labels)


def balanced(answers: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Mean over the labels of the share that was answered right, 0 to 1."""
    return float(np.mean([np.mean(said[answers == label] == label) for label in np.unique(answers)]))


def _window(random: np.random.Generator, clip: Clip, plain: bool) -> NDArray[np.int16]:
    note = clip.samples.astype(np.float32) / 32768.0
    note = transposed(note, 2.0 ** (random.uniform(-2.0, 2.0) / 12.0))[: 2 * RATE_HZ]
    end_s = random.uniform(*(SOON_S if random.random() < SOON_SHARE else LATE_S))
    end = round(min(end_s, len(note) / RATE_HZ + 0.1) * RATE_HZ)
    sound = note[:end] if plain else recorded(random, note[:end])
    sound = _ending(sound, end)
    sound = sound / (np.sqrt(np.mean(np.square(sound)) * WINDOW / min(end, WINDOW)) + 1e-6)  # of the note's own time
    if not plain and random.random() < NOISY_SHARE:
        sound += coloured_noise(random, WINDOW) * np.float32(10.0 ** (-random.uniform(0.0, 40.0) / 20.0))
    return _pcm(sound)


def _ending(sound: NDArray[np.float32], end: int) -> NDArray[np.float32]:
    """The WINDOW samples before `end`; silence where there are none."""
    window = np.zeros(WINDOW, np.float32)
    own = sound[max(0, end - WINDOW) : end]
    start = WINDOW - end if end < WINDOW else 0
    window[start : start + len(own)] = own
    return window


def _pcm(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """With its peak at half of full scale."""
    peak = float(np.abs(sound).max(initial=0.0))
    return np.asarray(np.round(sound * (16_384.0 / max(peak, 1e-9))), np.int16)
