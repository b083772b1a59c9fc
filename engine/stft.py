"""The analysis window and what a frame is. Knows frames and hops; nothing of bands or hearing.

Frame `k` is the newest `frame_samples` samples when hop `k` is complete: it covers the samples
`[(k + 1) * hop - frame, (k + 1) * hop)`. History before sample 0 is zeros, so the first frame is ready after one
hop, and `k * hop` is the first sample that frame `k` is the first to see.
"""

import numpy as np
from numpy.typing import NDArray


def window(frame_samples: int) -> NDArray[np.float32]:
    """Periodic Hann window, (frame_samples,) float32, scaled to unit energy.

    With unit energy, white noise of mean square `a` has an expected power of `a` in every bin, whatever the frame.
    Source: Harris 1978, "On the use of windows for harmonic analysis with the discrete Fourier transform".
    """
    n = np.arange(frame_samples)
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * n / frame_samples)
    return (hann / np.sqrt(np.sum(hann**2))).astype(np.float32)
