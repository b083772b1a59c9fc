"""Bins that move to the frequencies of a sound and tell their amplitudes. Knows samples and angles; nothing of labels.

A bin is a complex exponential whose frequency is a parameter. All bins of a frame learn together: they lower the energy
of what is left of the frame when the best sum of them has been taken away,

    min over w, a, b of  sum_t ( x[t] - sum_k a_k cos(w_k t) + b_k sin(w_k t) )**2

For given frequencies the best a and b are a least-squares solution; the frequencies take Gauss-Newton steps, never by
more than half a bin of the FFT. The error has as many valleys as the frequencies have orders and neighbours, so the
bins start one at a time, each at the highest peak of the windowed FFT of what the earlier ones left.

All in double precision and for many frames at once.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PADDING = 4  # frames long is the FFT that finds a peak
STEPS = 4  # of all bins after each new one
LAST_STEPS = 15
AT_ONCE = 50  # frames
EDGE = 1e-3  # radians a sample between a bin and 0 or half the rate
RIDGE = 1e-13  # of each column's energy, so that two bins in one place have a solution


def home_in(frames: Floats, bins: int, steps: int = STEPS, last_steps: int = LAST_STEPS) -> tuple[Floats, Floats]:
    """Frequencies, radians a sample and rising, and amplitudes, both (frames, bins). frames: (frames, samples).

    steps, last_steps: with 0 the bins stay where the FFT's peaks are.
    """
    if bins < 1 or 4 * bins > frames.shape[1]:
        raise ValueError(f"bins={bins} is not within 1 and a quarter of the {frames.shape[1]} samples of a frame")
    found = [_home_in(frames[i : i + AT_ONCE], bins, steps, last_steps) for i in range(0, len(frames), AT_ONCE)]
    w, a = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(w, axis=1)
    return np.take_along_axis(w, order, axis=1), np.take_along_axis(a, order, axis=1)


def layer(w: Floats, samples: int) -> Floats:
    """The bins as one linear layer, (samples, 2 * bins): the frame times it is a, then b, of each bin. w: (bins,)."""
    return np.linalg.pinv(_waves(w[None], samples)[0]).T


def amplitudes(outputs: Floats) -> Floats:
    """(any, 2 * bins) outputs of `layer` to (any, bins)."""
    a, b = np.split(outputs, 2, axis=-1)
    return np.hypot(a, b)


def _home_in(frames: Floats, bins: int, steps: int, last_steps: int) -> tuple[Floats, Floats]:
    w = np.empty((len(frames), 0))
    rest = frames
    for count in range(1, bins + 1):
        w = np.concatenate([w, _peak(rest)[:, None]], axis=1)
        w, ab, rest = _learn(frames, w, steps if count < bins else last_steps)
    return w, amplitudes(ab)


def _peak(frames: Floats) -> Floats:
    """The angle of each frame's highest peak, between the FFT's bins by a parabola through the log magnitudes."""
    samples = frames.shape[1]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(samples + 2)[1:-1], PADDING * samples))
    top = magnitude[:, 1:-1].argmax(axis=1) + 1
    near = np.take_along_axis(magnitude, top[:, None] + [-1, 0, 1], axis=1)
    below, at, above = np.log(near + np.finfo(float).tiny).T
    bend = 2.0 * (below - 2.0 * at + above)
    shift = np.divide(below - above, bend, out=np.zeros_like(bend), where=bend != 0.0)
    return np.asarray(2.0 * np.pi * (top + np.clip(shift, -0.5, 0.5)) / (PADDING * samples), np.float64)


def _learn(frames: Floats, w: Floats, steps: int) -> tuple[Floats, Floats, Floats]:
    """Moved bins, their a and b, and what they leave of the frames."""
    samples, bins = frames.shape[1], w.shape[1]
    t = _time(samples)[:, None]
    half_a_bin = np.pi / samples
    for _ in range(steps):
        waves = _waves(w, samples)
        ab = _least_squares(waves, frames)
        a, b = ab[:, None, :bins], ab[:, None, bins:]
        slopes = t * (b * waves[:, :, :bins] - a * waves[:, :, bins:])
        move = _least_squares(np.concatenate([waves, slopes], axis=2), frames)[:, 2 * bins :]
        w = np.clip(w + np.clip(move, -half_a_bin, half_a_bin), EDGE, np.pi - EDGE)
    waves = _waves(w, samples)
    ab = _least_squares(waves, frames)
    return w, ab, frames - (waves @ ab[:, :, None])[:, :, 0]


def _time(samples: int) -> Floats:
    """From the frame's middle: a frequency then hardly moves the phase, so the two are learned independently."""
    return np.arange(samples, dtype=np.float64) - (samples - 1) / 2


def _waves(w: Floats, samples: int) -> Floats:
    """(frames, bins) to (frames, samples, 2 * bins): all cosines, then all sines."""
    angle = _time(samples)[None, :, None] * w[:, None, :]
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=2)


def _least_squares(columns: Floats, frames: Floats) -> Floats:
    """(frames, samples, c) and (frames, samples) to (frames, c), by the normal equations of scaled columns."""
    turned = columns.transpose(0, 2, 1)
    gram = turned @ columns
    scale = 1.0 / np.sqrt(np.einsum("fcc->fc", gram) + np.finfo(float).tiny)
    gram = gram * scale[:, :, None] * scale[:, None, :] + RIDGE * np.eye(gram.shape[1])
    right = (turned @ frames[:, :, None])[:, :, 0] * scale
    return np.linalg.solve(gram, right[:, :, None])[:, :, 0] * scale
