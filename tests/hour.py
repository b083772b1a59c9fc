"""Sound without end for the engine's proofs: cheap to make, and of every kind."""

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def minute_of_sound(minute: int) -> NDArray[np.float32]:
    """Two voices with overtones, rests, hiss, levels over 60 dB; another every time, the same for the same number."""
    rng = np.random.default_rng(minute)
    sound = (10 ** rng.uniform(-5, -1.5) * rng.standard_normal(60 * RATE, np.float32)).astype(np.float32)
    sound[: 10 * RATE] *= minute % 3 == 0  # else ten seconds without even hiss
    partials = np.sin(2 * np.pi * np.outer(np.arange(1, 11), np.arange(4096) / 4096))
    for _ in range(2):
        at = 0
        while at < len(sound):
            count = min(round(RATE * rng.uniform(0.05, 1.5)), len(sound) - at)
            if rng.random() < 0.8:
                overtones = rng.random(10) / np.arange(1, 11) ** rng.uniform(0.3, 2)
                wave = overtones @ partials
                wave *= 10 ** rng.uniform(-3, -0.3) / np.abs(wave).max()
                step = np.uint32(40 * 2 ** rng.uniform(0, 7) / RATE * 2**32)  # cycles a sample, in 32 bits that wrap
                note = wave.astype(np.float32)[np.arange(count, dtype=np.uint32) * step >> np.uint32(20)]
                if rng.random() < 0.7:
                    note *= np.exp(np.arange(count, dtype=np.float32) * np.float32(-rng.uniform(3, 30) / RATE))
                sound[at : at + count] += note
            at += count
    return sound
