"""What a picture of the sound shows beside the bands: of each frame the extremes of its samples, a linear spectrum.

Holds the newest samples at the engine's rate, in fixed memory. Decides nothing: only who asked for it pays for it.
"""

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.stft import window

WAVE_PAIRS = 4  # least and greatest sample of each quarter of a frame
FULL_SCALE = 32_767


class Picture:
    def __init__(self, front_end: FrontEnd, every: int, block_frames: int, *, wave: bool, linear: bool) -> None:
        """every: engine frames for each sent one. block_frames: the most that lie between two calls of `rows`."""
        self.pairs = WAVE_PAIRS if wave else 0
        self.bins = front_end.frame_samples // 2 if linear else 0  # from 0 Hz, equally wide, Nyquist left out
        self._hop = front_end.hop_samples
        self._span = every * self._hop  # samples that a sent frame stands for
        self._window = window(front_end.frame_samples).astype(np.float32)
        self._scale = (2.0 / float(self._window.sum())) ** 2  # a sine of full scale has power 1
        before = max(front_end.frame_samples, self._span)
        self._recent = np.zeros(before + (block_frames + every) * self._hop, np.float32)  # the newest samples
        self._end = 0  # samples of this stretch that came

    def feed(self, samples: NDArray[np.float32]) -> None:
        """(n,) samples at the engine's rate, n at most `block_frames` hops."""
        n = len(samples)
        self._recent[: -n or None] = self._recent[n:]
        self._recent[len(self._recent) - n :] = samples
        self._end += n

    def restart(self, end: int = 0) -> None:
        """end: samples of the stretch that came, and are forgotten."""
        self._recent[:] = 0
        self._end = end

    def rows(self, frames: NDArray[np.int64]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Of these engine frames of the stretch: (n, pairs, 2) least and greatest, and (n, bins) power."""
        # the last frame of a stretch may have been completed with silence
        ends = np.minimum(len(self._recent) - self._end + (frames + 1) * self._hop, len(self._recent))
        waves = np.zeros((len(frames), self.pairs, 2), np.int16)
        if self.pairs:
            parts = self._newest(ends, self._span)[:, : self._span - self._span % self.pairs]
            parts = np.clip(parts.reshape(len(frames), self.pairs, -1), -1, 1) * FULL_SCALE
            waves[..., 0], waves[..., 1] = np.floor(parts.min(2)), np.ceil(parts.max(2))
        if not self.bins:
            return waves, np.zeros((len(frames), 0), np.float32)
        spectrum = np.fft.rfft(self._newest(ends, len(self._window)) * self._window, axis=1)[:, :-1]
        return waves, (np.abs(spectrum) ** 2 * self._scale).astype(np.float32)

    def _newest(self, ends: NDArray[np.int64], samples: int) -> NDArray[np.float32]:
        """(n, samples): those before each end."""
        return self._recent[ends[:, None] + np.arange(-samples, 0)]
