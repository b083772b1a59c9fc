"""A sound whose spectrogram is as near as can be to a given one: phases by Griffin and Lim. Knows spectra only.

Source: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform"; the momentum of Perraudin,
Balazs and Sondergaard 2013, "A fast Griffin-Lim algorithm".
"""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from engine.bands import mel
from models.dream.subject import RATE_HZ

MOMENTUM = 0.99
ITERATIONS = 60

Spectrogram = NDArray[np.complex128]  # (rows, frame // 2 + 1)


def analysed(samples: NDArray[np.float64], frame: int, hop: int) -> Spectrogram:
    """Whole Hann frames: row k covers the samples [k * hop, k * hop + frame)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    return np.asarray(scipy.fft.rfft(frames * hann(frame), axis=1))


def joined(spectrogram: Spectrogram, frame: int, hop: int) -> NDArray[np.float64]:
    """The samples whose frames are nearest in the mean square, (frame + (rows - 1) * hop,)."""
    window = hann(frame)
    pieces = scipy.fft.irfft(spectrogram, frame, axis=1) * window
    samples = np.zeros(frame + (len(pieces) - 1) * hop)
    weight = np.full(len(samples), 1e-3)  # where windows hardly reach, at both ends, the sound fades out
    for row, piece in enumerate(pieces):
        samples[row * hop : row * hop + frame] += piece
        weight[row * hop : row * hop + frame] += window**2
    return np.asarray(samples / weight)


def sound_of(
    magnitude: NDArray[np.float64], frame: int, hop: int, seed: int, iterations: int = ITERATIONS
) -> NDArray[np.float32]:
    """magnitude: (rows, frame // 2 + 1). Returns (frame + (rows - 1) * hop,) float32; phases begin at random."""
    random = np.random.default_rng((seed, 11))
    guess = magnitude * np.exp(2j * np.pi * random.random(magnitude.shape))
    before = np.zeros_like(guess)
    for _ in range(iterations):
        again = analysed(joined(guess, frame, hop), frame, hop)
        ahead = again + MOMENTUM * (again - before)
        before = again
        guess = magnitude * ahead / np.maximum(np.abs(ahead), 1e-12)
    return joined(guess, frame, hop).astype(np.float32)


def between(centres: NDArray[np.float64], frame: int, low: float, high: float) -> NDArray[np.float64]:
    """(frame // 2 + 1, bands): weights that give each bin of a frame at 16 kHz what bands around it have, on straight
    lines between their centres; bins outside low..high get nothing. centres, low, high: mel, centres equally spaced."""
    bins = np.array([mel(k * RATE_HZ / frame) for k in range(frame // 2 + 1)])
    place = np.interp(bins, centres, np.arange(len(centres)))
    weights = np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(len(centres))[None, :]))
    return np.asarray(weights * ((bins >= low) & (bins <= high))[:, None])


def hann(frame: int) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(frame) / frame))
