"""Flutes that no one blew: random patches of FM, additive, wavetable and subtractive synthesis. Knows no recordings.

A patch is what a synthesiser would keep: method, spectrum, envelope, vibrato. One patch plays many notes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.render import through_codec

RATE_HZ = 16_000
METHODS = ("fm", "additive", "wavetable", "subtractive")
LOWEST, HIGHEST = 58, 98  # MIDI notes: a flute's, so that the pitch tells nothing
PARTIALS = 24


@dataclass(frozen=True)
class Patch:
    method: str
    spectrum: NDArray[np.float64]  # (PARTIALS,) amplitudes of additive and wavetable
    phases: NDArray[np.float64]  # (PARTIALS,)
    ratio: float  # of FM's modulator to its carrier
    index: float  # of FM at the note's peak
    attack_s: float
    decay: float  # of the level, in a second
    release_s: float
    vibrato_hz: float
    vibrato_cents: float
    detune_cents: float  # of a second voice; 0: there is none
    breath: float  # white noise beside the tone
    tremolo: float  # of the level, at the vibrato's rate
    cutoff: float  # of subtractive: partials over which a low-pass falls by 12 dB an octave, once the note is up


def patch(random: np.random.Generator, method: str) -> Patch:
    slope = random.uniform(0.8, 3.0)
    spectrum = np.arange(1, PARTIALS + 1) ** -slope * random.uniform(0.3, 1.0, PARTIALS)
    spectrum[1::2] *= random.choice([0.05, 0.5, 1.0])  # as a square, in between, or a saw
    if random.random() < 0.3:
        spectrum[int(random.integers(2, PARTIALS)) :] = 0.0
    return Patch(
        method=method,
        spectrum=spectrum,
        phases=random.uniform(0.0, 2.0 * np.pi, PARTIALS),
        ratio=float(random.choice([0.5, 1.0, 2.0, 3.0, 4.0])),
        index=random.uniform(0.2, 4.0),
        attack_s=10.0 ** random.uniform(-2.3, -0.7),
        decay=random.choice([0.0, random.uniform(0.2, 3.0)]),
        release_s=random.uniform(0.05, 0.5),
        vibrato_hz=random.uniform(3.5, 7.0),
        vibrato_cents=random.choice([0.0, random.uniform(3.0, 30.0)]),
        detune_cents=random.choice([0.0, random.uniform(2.0, 15.0)]),
        breath=random.choice([0.0, 10.0 ** random.uniform(-3.0, -1.3)]),
        tremolo=random.choice([0.0, random.uniform(0.02, 0.3)]),
        cutoff=random.uniform(1.0, 12.0),
    )


def note(random: np.random.Generator, own: Patch, midi: int, seconds: float = 2.0) -> NDArray[np.float32]:
    """One note through the corpus's codec, (seconds * RATE_HZ,) with its peak at half of full scale."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hz = 440.0 * 2.0 ** ((midi - 69) / 12.0)
    held = np.minimum(t / own.attack_s, 1.0) * np.exp(-own.decay * t)
    envelope = held * np.clip((seconds - t) / own.release_s, 0.0, 1.0)
    sound = _voice(own, hz, t, held)
    if own.detune_cents:
        sound = sound + _voice(own, hz * 2.0 ** (own.detune_cents / 1200.0), t, held)
    sound = sound / np.abs(sound).max() + own.breath * random.standard_normal(len(t))
    sound = sound * envelope * (1.0 + own.tremolo * np.sin(2.0 * np.pi * own.vibrato_hz * t))
    return through_codec((0.5 * sound / np.abs(sound).max()).astype(np.float32)).astype(np.float32) / 32768.0


def _voice(own: Patch, hz: float, t: NDArray[np.float64], held: NDArray[np.float64]) -> NDArray[np.float64]:
    bend = (2.0 ** (own.vibrato_cents / 1200.0) - 1.0) / (2.0 * np.pi * own.vibrato_hz)
    angle = 2.0 * np.pi * hz * (t + bend * np.sin(2.0 * np.pi * own.vibrato_hz * t))
    if own.method == "fm":
        index = min(own.index, max(0.0, (7_000.0 / hz - 1.0) / own.ratio))  # its sidebands below half the rate
        return np.asarray(np.sin(angle + index * held * np.sin(own.ratio * angle)))
    audible = int(np.clip(7_900.0 // hz, 1, PARTIALS))
    if own.method == "subtractive":  # a saw or square, whose filter opens with the level
        tone = np.zeros(len(t))
        for k in range(1, audible + 1):
            level = (1.0 if k % 2 or own.ratio > 1.0 else 0.05) / k
            tone += level * np.sin(k * angle) / (1.0 + (k / (own.cutoff * (0.1 + held))) ** 2)
        return tone
    if own.method == "additive":
        return sum(
            (own.spectrum[k] * np.sin((k + 1) * angle + own.phases[k]) for k in range(audible)), start=np.zeros(len(t))
        )
    cycle = np.arange(256) * 2.0 * np.pi / 256
    table = sum(own.spectrum[k] * np.sin((k + 1) * cycle + own.phases[k]) for k in range(audible))
    place = angle / (2.0 * np.pi) % 1.0 * 256
    return np.interp(place, np.arange(257), np.append(table, table[0]))
