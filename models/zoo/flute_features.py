"""What `spiking-flute` hears each 10 ms of the newest 100 ms. Knows samples and spectra; nothing of notes.

Mel bands in dB below the frame's loudest and their cepstrum; how much each octave part is noise rather than tone, since
breath fills what lies between the partials; and how far each band moved within the last 50 ms, since no breath is even.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from engine.bands import mel_table
from engine.config import FrontEnd

RATE_HZ, FRAME, HOP = 16_000, 1_600, 160
FFT = 2_048  # samples, of which FRAME are sound: the engine's mel bands know powers of two
BANDS, CEPSTRUM, NOISE = 64, 20, 20
SIZES = {"bands": BANDS, "cepstrum": CEPSTRUM, "noise": NOISE, "movement": BANDS}
LEAST = 1e-8  # of the frame's loudest line: what lies below is none of the sound's
FLOOR_DB = -60.0  # below the frame's loudest band
NOISE_HZ = np.geomspace(250.0, 7_900.0, NOISE + 1)  # edges
BACK = 5  # steps, for the movement
GREATEST_MOVE_DB = 20.0


def features_of(samples: NDArray[np.float32], which: Sequence[str] = tuple(SIZES)) -> NDArray[np.float32]:
    """(n,) to (steps, features): those of `which`, side by side, of each whole frame. What is shorter than a frame has
    silence before it."""
    padded = np.concatenate([np.zeros(max(0, FRAME - len(samples)), np.float32), samples])
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    steps = len(frames)
    power = np.abs(scipy.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), FFT)) ** 2
    power += np.float32(LEAST) * power.max(axis=1, keepdims=True) + np.float32(1e-20)
    bands = power @ filters()
    db = np.maximum(10.0 * np.log10(bands / bands.max(axis=1, keepdims=True)), FLOOR_DB)
    cepstrum = scipy.fft.dct(db, norm="ortho", axis=1)[:, 1 : CEPSTRUM + 1]
    before = np.concatenate([np.repeat(db[:1], BACK, axis=0), db])[:steps]
    parts = {
        "bands": db,
        "cepstrum": cepstrum,
        "noise": _noise(power),
        "movement": np.minimum(np.abs(db - before), GREATEST_MOVE_DB),
    }
    return np.concatenate([parts[name] for name in which], axis=1).astype(np.float32)


def _noise(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """(steps, NOISE): geometric over arithmetic mean of the power between NOISE_HZ in dB: 0 is noise."""
    edges = np.round(NOISE_HZ * FFT / RATE_HZ).astype(int)
    out = np.empty((len(power), NOISE), np.float32)
    for index, (low, high) in enumerate(pairwise(edges)):
        own = power[:, low : high + 1]
        out[:, index] = 10.0 / np.log(10.0) * (np.log(own).mean(axis=1) - np.log(own.mean(axis=1)))
    return out


@lru_cache(maxsize=1)
def filters() -> NDArray[np.float32]:
    """(FFT / 2 + 1, BANDS): the engine's mel triangles."""
    table = mel_table(FrontEnd(frame_samples=FFT, bands=BANDS))
    matrix = np.zeros((FFT // 2 + 1, BANDS), np.float32)
    for band, (first, count, offset) in enumerate(zip(table.first, table.count, table.offset, strict=True)):
        matrix[first : first + count, band] = table.weight[offset : offset + count]
    return matrix
