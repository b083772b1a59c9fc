"""The picture that the label systems see: mel bands of a window of sound in dB, its loudest band 0. Knows samples."""

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import NDArray

from engine.bands import mel_table
from engine.config import FrontEnd

RATE_HZ = 16_000
WINDOW = 16_000  # 1 s
FRAME, STEP = 1_024, 240  # 64 ms each 15 ms
BANDS = 80
FRAMES = 1 + (WINDOW - FRAME) // STEP  # 63
RANGE_DB = 70.0  # below the loudest band is nothing


def power_frames(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """sound: (n,). Returns (frames, FRAME / 2 + 1): power of whole Hann frames, the last one at its end."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[(len(sound) - FRAME) % STEP :: STEP]
    spectrum = scipy.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)
    return np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)


def mel_picture(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """sound: (WINDOW,). Returns (FRAMES, BANDS), 0 to 1: 1 is the window's loudest band, 0 is RANGE_DB below it or
    silence. The level drops out."""
    return shaded(np.asarray(power_frames(sound) @ filters(), np.float32))


def shaded(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of any shape: dB below the greatest value, 0 dB as 1 and -RANGE_DB as 0; all silence is 0."""
    greatest = float(power.max(initial=0.0))
    if greatest <= 0.0:
        return np.zeros_like(power)
    db = 10.0 * np.log10(np.maximum(power / np.float32(greatest), np.float32(1e-12)))
    return np.asarray(np.maximum(1.0 + db / RANGE_DB, 0.0), np.float32)


@lru_cache(maxsize=1)
def filters() -> scipy.sparse.csr_array:
    """(FRAME / 2 + 1, BANDS): the engine's mel triangles. Sparse: no BLAS, whose threads wait for each other."""
    table = mel_table(FrontEnd(frame_samples=FRAME, bands=BANDS))
    matrix = np.zeros((FRAME // 2 + 1, BANDS), np.float32)
    for band, (first, count, offset) in enumerate(zip(table.first, table.count, table.offset, strict=True)):
        matrix[first : first + count, band] = table.weight[offset : offset + count]
    return scipy.sparse.csr_array(matrix)
