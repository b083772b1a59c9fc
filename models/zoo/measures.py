"""Twenty named measures of a second of sound, of its course in time and of its spectrum. Knows samples and power.

Each is told in FEATURES. Silence measures 0 in all of them. Definitions: Peeters, A large set of audio features for
sound description, Ircam 2004, where not said otherwise.
"""

import numpy as np
from numpy.typing import NDArray

from models.zoo.spectra import FRAME, RATE_HZ

FEATURES = {
    "log_attack_time": "log10 of the seconds in which the envelope rises from 10 to 90 % of its greatest value",
    "attack_slope": "the greatest rise of the envelope from one 5 ms step to the next, as a share of its maximum",
    "decay_rate": "dB a second that the envelope loses from its maximum to the window's end",
    "temporal_centroid": "where the envelope's centre of mass lies in the time that sounds, 0 to 1",
    "effective_duration": "the share of the window in which the envelope is over 40 % of its maximum",
    "crest": "log10 of the peak against the root mean square",
    "zero_crossings": "sign changes for each sample that sounds",
    "tremolo": "the share of the envelope's variation that lies between 3 and 10 Hz",
    "centroid": "log2 of the spectrum's mean frequency over 1 kHz",
    "spread": "the spectrum's standard deviation around it in kHz",
    "skewness": "whether the spectrum leans to low (positive) or high frequencies",
    "kurtosis": "log of how peaked the spectrum is around its mean",
    "rolloff": "log2 of the frequency below which 85 % of the power lies, over 1 kHz",
    "flatness": "log of geometric over arithmetic mean of the power: 0 is noise, a tone is far below",
    "slope": "of a line through the spectrum in dB over octaves from 125 Hz to 8 kHz",
    "flux": "mean change of the normalised spectrum from one frame to the next",
    "centroid_variation": "standard deviation of the frames' centroids over their mean",
    "pitch": "log2 of the strongest period's frequency over 1 kHz, 50 to 2 000 Hz, by autocorrelation",
    "harmonicity": "height of that peak of the autocorrelation, 0 to 1",
    "odd_to_even": "log10 of the power at odd over that at even multiples of the pitch, the first ten",
}
NAMES = tuple(FEATURES)
HZ = np.arange(FRAME // 2 + 1, dtype=np.float32) * np.float32(RATE_HZ / FRAME)
ENVELOPE_STEP = 80  # 5 ms
TINY = 1e-12


def measures(window: NDArray[np.float32], power: NDArray[np.float32]) -> NDArray[np.float32]:
    """window: (n,) samples. power: (frames, bins) of `power_frames`. Returns (20,) float32 in the order of NAMES."""
    if float(np.abs(window).max(initial=0.0)) < 1e-6:
        return np.zeros(len(NAMES), np.float32)
    return np.array([*in_time(window), *in_frequency(power)], np.float32)


def in_time(window: NDArray[np.float32]) -> list[float]:
    """The first eight."""
    steps = window[len(window) % ENVELOPE_STEP :].reshape(-1, ENVELOPE_STEP).astype(np.float64)
    envelope = np.convolve(np.sqrt(np.mean(steps**2, axis=1)), np.ones(4) / 4.0, mode="same")
    greatest = float(envelope.max())
    loud = np.flatnonzero(envelope > 0.01 * greatest)
    own = envelope[loud[0] : loud[-1] + 1]
    top = int(np.argmax(own))
    step_s = ENVELOPE_STEP / RATE_HZ
    reached = int(np.argmax(own >= 0.9 * greatest))
    attack_s = max(reached - int(np.argmax(own >= 0.1 * greatest)), 1) * step_s
    lost_db = 20.0 * np.log10(own[-1] / greatest + 1e-6)
    sounding = window[loud[0] * ENVELOPE_STEP : (loud[-1] + 1) * ENVELOPE_STEP]
    signs = np.signbit(sounding)
    rms = float(np.sqrt(np.mean(np.square(sounding, dtype=np.float64)))) + TINY
    return [
        np.log10(attack_s),
        float(np.diff(own, prepend=0.0).max()) / greatest,
        -lost_db / max((len(own) - top) * step_s, step_s) if top < len(own) - 1 else 0.0,
        float(own @ np.arange(len(own))) / float(own.sum()) / len(own),
        float(np.mean(envelope > 0.4 * greatest)),
        np.log10(float(np.abs(sounding).max()) / rms),
        float(np.mean(signs[1:] != signs[:-1])) if len(signs) > 1 else 0.0,
        _tremolo(own, step_s),
    ]


def in_frequency(power: NDArray[np.float32]) -> list[float]:
    """The last twelve."""
    frames = power[power.sum(axis=1) > 1e-4 * power.sum(axis=1).max()].astype(np.float64)
    mean = frames.mean(axis=0)
    share = mean / mean.sum()
    centre = float(share @ HZ)
    spread = float(np.sqrt(share @ (HZ - centre) ** 2)) + 1.0
    standard = (HZ - centre) / spread
    each = frames / frames.sum(axis=1, keepdims=True)
    centres = each @ HZ
    inner = mean[1:] + TINY * mean.sum()
    octaves = np.log2(HZ[8:] / 1000.0)
    levels = 10.0 * np.log10(mean[8:] + TINY * mean.sum())
    octaves = octaves - octaves.mean()
    pitch_hz, height = _pitch(mean)
    return [
        np.log2(max(centre, 20.0) / 1000.0),
        spread / 1000.0,
        float(share @ standard**3),
        np.log(float(share @ standard**4) + 1e-3),
        np.log2(max(float(HZ[np.searchsorted(np.cumsum(share), 0.85)]), 20.0) / 1000.0),
        float(np.mean(np.log(inner)) - np.log(np.mean(inner))),
        float(octaves @ levels / (octaves @ octaves)),
        float(np.mean(np.abs(np.diff(each, axis=0)).sum(axis=1))) if len(each) > 1 else 0.0,
        float(centres.std() / (centres.mean() + 1.0)),
        np.log2(pitch_hz / 1000.0),
        height,
        _odd_to_even(mean, pitch_hz),
    ]


def _tremolo(envelope: NDArray[np.float64], step_s: float) -> float:
    """Of what is left without the straight line through the envelope."""
    if len(envelope) < 40:  # 0.2 s
        return 0.0
    time = np.arange(len(envelope)) - (len(envelope) - 1) / 2
    rest = envelope - envelope.mean() - time * float(time @ envelope) / float(time @ time)
    spectrum = np.abs(np.fft.rfft(rest * np.hanning(len(rest)))) ** 2
    hz = np.fft.rfftfreq(len(rest), step_s)
    return float(spectrum[(hz >= 3.0) & (hz <= 10.0)].sum() / (spectrum[hz > 0].sum() + TINY))


def _pitch(mean: NDArray[np.float64]) -> tuple[float, float]:
    """Hz and height of the autocorrelation's peak; of the square root of the power, which evens the partials out."""
    correlation = np.fft.irfft(np.sqrt(mean))
    correlation = correlation / (correlation[0] + TINY)
    low, high = RATE_HZ // 2_000, RATE_HZ // 50
    own = correlation[low : high + 1]
    fall = int(np.argmax(own < 0.5 * own[0])) if np.any(own < 0.5 * own[0]) else 0  # past the peak at lag zero
    lag = low + fall + int(np.argmax(own[fall:]))
    return RATE_HZ / lag, float(np.clip(correlation[lag], 0.0, 1.0))


def _odd_to_even(mean: NDArray[np.float64], pitch_hz: float) -> float:
    multiples = np.arange(1, 11) * pitch_hz
    multiples = multiples[multiples < RATE_HZ / 2]
    at = np.minimum(np.round(multiples / (RATE_HZ / FRAME)).astype(int), len(mean) - 1)
    power = mean[at] + 1e-9 * mean.sum()
    return float(np.log10((power[::2].sum() + TINY) / (power[1::2].sum() + 1e-9 * mean.sum())))
