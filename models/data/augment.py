"""What a microphone and a room do to a note, drawn at random. Knows samples; nothing of labels or files.

Clips of one instrument from one library share a level, a colour and a noise floor; without these a network would
learn those instead of the instrument.
"""

import av
import av.filter
import numpy as np
import scipy.fft
from av.error import BlockingIOError
from av.error import EOFError as EndOfFile
from numpy.typing import NDArray

from models.data.corpus import RATE_HZ

Samples = NDArray[np.float32]

TAIL_S = 0.4  # longest reverberation kept
TILT_DB_PER_OCTAVE = 3.0
COLOUR_DB = 8.0  # standard deviation of the response between neighbouring octave points is about half of it
COLOUR_HZ = np.array([62.5, 125, 250, 500, 1000, 2000, 4000, 8000])


def transposed(samples: Samples, ratio: float) -> Samples:
    """Played `ratio` times as fast and as high, by linear interpolation."""
    count = int((len(samples) - 1) / ratio)
    return np.interp(np.arange(count) * ratio, np.arange(len(samples)), samples).astype(np.float32)


def stretched(samples: Samples, factor: float) -> Samples:
    """`factor` times as long at the same pitch, by FFmpeg's `atempo` (WSOLA). Raises ValueError outside 0.5 to 2."""
    if not 0.5 <= factor <= 2.0:
        raise ValueError(f"factor={factor} must be between 0.5 and 2")
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE_HZ, format="flt", layout="mono")
    tempo = graph.add("atempo", f"{1.0 / factor:.9f}")
    sink = graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono")
    frame.sample_rate, frame.pts = RATE_HZ, 0
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray()[0])
        except (BlockingIOError, EndOfFile):
            break
    return np.concatenate(pieces)[: round(len(samples) * factor)] if pieces else np.zeros(0, np.float32)


def shifted(samples: Samples, semitones: float) -> Samples:
    """As long as before and `semitones` higher: transposed, then stretched back."""
    ratio = 2.0 ** (semitones / 12.0)
    return stretched(transposed(samples, ratio), ratio)


def with_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """The samples with `noise` of the same length so far below them, by their mean power."""
    power, noise_power = (float(np.mean(np.square(one, dtype=np.float64))) for one in (samples, noise))
    return samples + noise * np.float32(np.sqrt(power / (noise_power + 1e-30) * 10.0 ** (-snr_db / 10.0)))


def recorded(rng: np.random.Generator, samples: Samples) -> Samples:
    """The note through a random microphone colour and, for two in three, a random room; up to TAIL_S longer."""
    size = scipy.fft.next_fast_len(len(samples) + round(TAIL_S * RATE_HZ), real=True)
    spectrum = scipy.fft.rfft(samples, size)
    spectrum *= colour(rng, scipy.fft.rfftfreq(size, 1 / RATE_HZ).astype(np.float32))
    if rng.random() < 0.65:
        spectrum *= scipy.fft.rfft(room(rng), size)
    length = min(size, len(samples) + round(TAIL_S * RATE_HZ))
    return np.asarray(scipy.fft.irfft(spectrum, size)[:length], np.float32)


def colour(rng: np.random.Generator, hz: Samples) -> Samples:
    """A smooth random magnitude response over frequency: a tilt, octave bumps and at times a low or high cut."""
    octaves = np.log2(COLOUR_HZ / 1000.0)
    points_db = rng.uniform(-TILT_DB_PER_OCTAVE, TILT_DB_PER_OCTAVE) * octaves
    points_db += rng.uniform(-COLOUR_DB / 2, COLOUR_DB / 2, len(octaves))
    if rng.random() < 0.2:
        points_db[-1] -= rng.uniform(10, 30)
    if rng.random() < 0.2:
        points_db[0] -= rng.uniform(10, 30)
    octave_of = np.log2(np.maximum(hz, 20.0) / 1000.0)
    return (10.0 ** (np.interp(octave_of, octaves, points_db) / 20.0)).astype(np.float32)


def room(rng: np.random.Generator) -> Samples:
    """An impulse response: the direct sound, then noise that decays and darkens, 3 to 20 ms later."""
    reverberation_s = rng.uniform(0.1, 1.2)
    count = round(TAIL_S * RATE_HZ)
    time_s = np.arange(count) / RATE_HZ
    tail = rng.standard_normal(count).astype(np.float32) * (10.0 ** (-3.0 * time_s / reverberation_s))
    tail[: round(rng.uniform(0.003, 0.020) * RATE_HZ)] = 0.0
    darker = tail.copy()
    darker[1:] += tail[:-1]
    darker *= 10.0 ** (-rng.uniform(0.0, 18.0) / 20.0) / np.sqrt(np.sum(darker**2))
    darker[0] = 1.0
    return darker.astype(np.float32)


def coloured_noise(rng: np.random.Generator, count: int) -> Samples:
    """Noise of unit power whose spectrum falls as f ** -a, a drawn from 0 (white) to 2 (brown)."""
    size = scipy.fft.next_fast_len(count, real=True)
    spectrum = scipy.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    hz = np.maximum(scipy.fft.rfftfreq(size, 1 / RATE_HZ), 20.0)
    noise = scipy.fft.irfft(spectrum * hz ** (-rng.uniform(0.0, 1.0)), size)[:count]
    return np.asarray(noise / np.sqrt(np.mean(noise**2) + 1e-20), np.float32)


def faded(samples: Samples, fade_s: float) -> Samples:
    """With a linear fade over the last `fade_s` seconds, as when a player stops."""
    count = min(len(samples), round(fade_s * RATE_HZ))
    out = samples.copy()
    if count:
        out[-count:] *= np.linspace(1.0, 0.0, count, dtype=np.float32)
    return out
