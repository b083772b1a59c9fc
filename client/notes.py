"""A little music from a formula, for a load: notes with harmonics and rests. Knows numbers; nothing of who hears it."""

import numpy as np

NOTE_S = 0.5
HARMONICS = 12
SEMITONES = 24  # above the lowest note
LOWEST_HZ = 220.0
NOISE = 0.003


def notes(seconds: float, rate_hz: int) -> bytes:
    """Mono 16-bit PCM. The same for the same arguments."""
    rng = np.random.default_rng(1)
    length, note = round(seconds * rate_hz), round(NOTE_S * rate_hz)
    t = np.arange(length) / rate_hz
    steps = rng.integers(0, SEMITONES, length // note + 1).repeat(note)[:length]
    phase = 2 * np.pi * np.cumsum(LOWEST_HZ * 2 ** (steps / 12)) / rate_hz
    tone = sum(np.sin(k * phase) / k for k in range(1, HARMONICS))
    loudness = 0.1 * np.exp(-(t / NOTE_S % 1) * 3) * (t % (3 * NOTE_S) < 2 * NOTE_S)  # every third note is a rest
    samples = loudness * tone + NOISE * rng.standard_normal(length)
    return np.round(np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()
