"""When a stem sounds: levels of frames, and runs of them. Knows samples and frames; nothing of labels."""

import numpy as np
from numpy.typing import NDArray


def frame_levels(samples: NDArray[np.float32], hop: int) -> NDArray[np.float64]:
    """dB of each whole frame of `hop` samples, full scale 0; silence is -180."""
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64)
    return np.asarray(10.0 * np.log10(np.mean(np.square(frames), axis=1) + 1e-18))


def runs(on: NDArray[np.bool_], gap: int = 0) -> list[tuple[int, int]]:
    """[start, stop) of each run of true; pauses of up to `gap` frames between two do not part them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, stop in edges.reshape(-1, 2):
        if found and start - found[-1][1] <= gap:
            found[-1] = (found[-1][0], int(stop))
        else:
            found.append((int(start), int(stop)))
    return found
