"""Where a clip's note begins and ends, by level alone. Knows samples and frames; nothing of labels or files."""

import numpy as np
from numpy.typing import NDArray

ONSET_DB = 30.0  # the note begins where it is first less than this below its loudest frame
END_DB = 35.0  # and ends where it is last less than this below it, as in training
# What comes before it, hiss or hum, is no part of it if it is steady for so many frames, ...
LEAD_FRAMES = 10
LEAD_RANGE_DB = 4.0  # ... stays within this of its median, ...
JUMP_DB = 10.0  # ... and ends with a rise of this much in JUMP_FRAMES: a slow attack is part of its note.
JUMP_FRAMES = 3


def levels_db(sound: NDArray[np.float32], hop: int) -> NDArray[np.float64]:
    """Of each whole frame of `hop` samples; full scale 0, silence -180."""
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop).astype(np.float64)
    return np.asarray(10.0 * np.log10(np.mean(np.square(frames), axis=1) + 1e-18))


def onset_frame(sound: NDArray[np.float32], hop: int) -> int:
    """The first frame of the note: silence, and hiss or hum that the note rises out of, are passed over."""
    levels = levels_db(sound, hop)
    if not len(levels):
        return 0
    loudest = levels.max()
    first = int(np.argmax(levels > loudest - ONSET_DB))
    lead = float(np.median(levels[first : first + LEAD_FRAMES]))
    risen = levels[first:] > lead + LEAD_RANGE_DB
    end = first + int(np.argmax(risen))
    if end - first < LEAD_FRAMES or levels[first:end].min() < lead - LEAD_RANGE_DB:
        return first
    return end if levels[end : end + JUMP_FRAMES].max() >= lead + JUMP_DB else first


def end_frame(sound: NDArray[np.float32], hop: int) -> int:
    """One past the last frame that sounds."""
    levels = levels_db(sound, hop)
    return int(np.flatnonzero(levels > levels.max() - END_DB)[-1]) + 1 if len(levels) else 0
