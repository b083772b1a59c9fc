"""The same recording under two names: equal samples, or equal but for level, codec, and silence in front.

A sketch of each sound's first second (24 bands, 20 frames) finds pairs that look alike, and their waveforms decide:
takes of one note by one player look alike but do not correlate. A recording that was recoloured, transposed, or cut
from the middle of another is not found. Knows samples; nothing of labels.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from models.data.decode import RATE_HZ

Samples = NDArray[np.int16]

HEARD = RATE_HZ  # samples that are compared: one second
BANDS, FRAME = 24, 800  # bands from 60 Hz to 7 kHz, frames of 50 ms
FLOOR_DB = 30.0  # of a sketch, below its loudest: what is fainter differs from codec to codec
ATTACK_DB = 20.0  # a sketch begins where the sound is first this little below its loudest 10 ms
ALIKE = 0.95  # cosine of two sketches, above which waveforms are compared
SAME = 0.98  # correlation at the best lag; two pure tones of one pitch reach 0.97
LAG = round(0.05 * RATE_HZ)  # either way
BLOCK = 1024  # sketches compared with all others at once


def sketch(samples: Samples) -> tuple[NDArray[np.float32], int]:
    """(BANDS * FRAMES,) of unit length, and the loudest band. Silence gives zeros and -1."""
    sound = np.zeros(HEARD, np.float32)
    samples = samples[attack(samples) :][:HEARD]
    sound[: len(samples)] = samples
    frames = sound.reshape(-1, FRAME) * np.hanning(FRAME).astype(np.float32)
    power = np.square(np.abs(scipy.fft.rfft(frames, axis=1)))
    edges = np.unique(np.round(np.geomspace(60.0, 7000.0, BANDS + 1) * FRAME / RATE_HZ).astype(int))
    banded = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    if banded.max() < 1.0:
        return np.zeros(banded.size, np.float32), -1
    level = np.maximum(10.0 * np.log10(banded / banded.max() + 1e-12), -FLOOR_DB)
    level -= level.mean()
    return (level / (np.linalg.norm(level) + 1e-9)).ravel(), int(np.argmax(banded.sum(axis=0)))


def attack(samples: Samples) -> int:
    """The sample at which the sound has begun."""
    frames = len(samples) // 160
    if frames == 0:
        return 0
    power = np.mean(np.square(samples[: frames * 160].reshape(frames, 160).astype(np.float32)), axis=1)
    return 160 * int(np.argmax(power >= power.max() * 10.0 ** (-ATTACK_DB / 10.0)))


def correlation(one: Samples, other: Samples) -> float:
    """Of the first second of both, at the best lag, level aside; 1 is the same sound."""
    one, other = one[attack(one) :], other[attack(other) :]
    length = min(HEARD, max(len(one), len(other)))
    size = scipy.fft.next_fast_len(length + LAG, real=True)
    a, b = one[:length].astype(np.float32), other[:length].astype(np.float32)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm == 0.0:
        return 0.0
    crossed = scipy.fft.irfft(scipy.fft.rfft(a, size) * np.conj(scipy.fft.rfft(b, size)), size)
    near = np.concatenate([crossed[: LAG + 1], crossed[-LAG:]])
    return float(np.abs(near).max() / norm)


def alike(sketches: NDArray[np.float32], loudest: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of sketches that look alike, among those whose loudest bands are the same or neighbours; each pair once."""
    for band in np.unique(loudest[loudest >= 0]):
        members, above = np.flatnonzero(loudest == band), np.flatnonzero(loudest == band + 1)
        for at in range(0, len(members), BLOCK):
            rows = members[at : at + BLOCK]
            near = sketches[rows] @ sketches[members[at:]].T > ALIKE
            for row, column in np.argwhere(np.triu(near, 1)):
                yield int(rows[row]), int(members[at + column])
            for row, column in np.argwhere(sketches[rows] @ sketches[above].T > ALIKE):
                yield int(rows[row]), int(above[column])


def twins(
    sounds: Sequence[Callable[[], Samples]], progress: Callable[[int], None] = lambda done: None
) -> list[tuple[int, int, float]]:
    """(i, j, correlation) of every pair of audible sounds that is the same recording. `sounds` are read when needed."""
    sketches = np.zeros((len(sounds), _size()), np.float32)
    loudest = np.zeros(len(sounds), np.int64)
    for index, sound in enumerate(sounds):
        sketches[index], loudest[index] = sketch(sound())
        progress(index + 1)
    found = []
    for i, j in alike(sketches, loudest):
        same = correlation(sounds[i](), sounds[j]())
        if same > SAME:
            found.append((i, j, same))
    return found


def _size() -> int:
    return len(sketch(np.zeros(HEARD, np.int16))[0])
