"""Vibrato and tremolo as spikes: pitch and level of a note, each told by the moments when it rose or fell by a step.

Real notes that stand still are given a vibrato (a wave in time), a tremolo (a wave in gain), a drift (slow waves of
random rates in both) or nothing. So the truth is known, and the note's player, room and instrument tell nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.zoo.system import Run, ZooError

if TYPE_CHECKING:
    from models.data.corpus import Clip

RATE_HZ = 16_000
HOP, FRAME = 160, 1_024
LAGS = (10, 267)  # samples: 1 600 to 60 Hz
VOICED = 0.6  # correlation one period later
CENTS, DECIBELS = 8.0, 0.7  # that make a spike
LEAP_CENTS = 80.0  # from frame to frame: another note, or a wrong octave
NAMES = ("vibrato", "tremolo")
KINDS = ("steady", "drift", "vibrato", "tremolo")
SHORTEST_S, LONGEST_S = 1.5, 3.0
STEADY_CENTS, STEADY_DB = 6.0, 1.0  # a standing note's deviation from a straight line, at most
STEADIEST = 120  # notes


@dataclass(frozen=True)
class Notes:
    spikes: NDArray[np.float32]  # (steps, notes, 4)
    steps: NDArray[np.intp]  # (notes,) that each has; behind them there are no spikes
    truth: NDArray[np.bool_]  # (notes, 2): vibrato, tremolo
    kinds: NDArray[np.str_]  # (notes,)

    def __len__(self) -> int:
        return len(self.kinds)


def notes_of(clips: "Sequence[Clip]", seed: int, run: Run) -> Notes:
    """Each kind of each steady clip, at most STEADIEST of them, in the order that the seed gives."""
    random = np.random.default_rng((seed, 4))
    long = [clip for clip in clips if clip.pitch is not None and len(clip.samples) >= SHORTEST_S * RATE_HZ]
    steady: list[NDArray[np.float32]] = []
    for index in random.permutation(len(long)):
        sound = long[index].samples[: round(LONGEST_S * RATE_HZ)].astype(np.float32) / 32768.0
        if is_steady(sound):
            steady.append(sound)
            if len(steady) == STEADIEST:
                break
    if not steady:
        raise ZooError("temporal-pattern: no note of this part of the data stands still for 1.5 s")
    run.report(f"{len(steady)} steady notes")
    made = [(kind, modulations(modulated(random, sound, kind))) for sound in steady for kind in KINDS]
    spikes = np.zeros((max(len(own) for _, own in made), len(made), 4), np.float32)
    for index, (_, own) in enumerate(made):
        spikes[: len(own), index] = own
    kinds = np.array([kind for kind, _ in made])
    return Notes(
        spikes, np.array([len(own) for _, own in made]), np.stack([kinds == name for name in NAMES], axis=1), kinds
    )


def modulated(random: np.random.Generator, sound: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """The note as one of KINDS. sound: (n,) float32."""
    t = np.arange(len(sound)) / RATE_HZ
    cents, decibels = random.uniform(25.0, 60.0), random.uniform(1.5, 5.0)
    if kind == "drift":
        rates = random.uniform(0.3, 2.5, (2, 3))
    else:
        rates = np.repeat(random.uniform(4.0, 7.5), 2)[:, None]
    phases = random.uniform(0.0, 2.0 * np.pi, rates.shape)
    angle = 2.0 * np.pi * rates[:, :, None] * t + phases[:, :, None]
    moved = t
    if kind in ("vibrato", "drift"):
        bend = (2.0 ** (cents / 1200.0) - 1.0) / (2.0 * np.pi * rates[0])[:, None]
        moved = t + (bend * np.sin(angle[0])).mean(axis=0)
    bent = np.interp(moved * RATE_HZ, np.arange(len(sound)), sound)
    if kind in ("tremolo", "drift"):
        bent = bent * 10.0 ** (decibels * np.sin(angle[1]).mean(axis=0) / 20.0)
    return bent.astype(np.float32)


def modulations(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) to (n // HOP, 4) of 0 and 1: pitch up, pitch down, level up, level down. A step hears nothing later."""
    cents, decibels, voiced = tracks(sound)
    spikes = np.zeros((len(cents), 4), np.float32)
    pitch = level = None
    last = 0.0
    for step in range(len(cents)):
        if not voiced[step]:
            pitch = level = None
            continue
        if pitch is None or abs(cents[step] - last) > LEAP_CENTS:
            pitch = cents[step]
        level = decibels[step] if level is None else level
        last = cents[step]
        for channel, value, seen, size in ((0, cents[step], pitch, CENTS), (2, decibels[step], level, DECIBELS)):
            spikes[step, channel] = value - seen >= size
            spikes[step, channel + 1] = seen - value >= size
        pitch += CENTS * (spikes[step, 0] - spikes[step, 1])
        level += DECIBELS * (spikes[step, 2] - spikes[step, 3])
    return spikes


def tracks(sound: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Pitch in cents, level in dB and whether there is a pitch, of each hop, by autocorrelation of the newest frame."""
    steps = len(sound) // HOP
    if steps == 0:
        raise ZooError(f"temporal-pattern: the sound has {len(sound)} samples, a step {HOP}")
    padded = np.concatenate([np.zeros(FRAME - HOP), sound.astype(np.float64)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:steps]
    power = np.abs(np.fft.rfft(frames, 2 * FRAME)) ** 2
    correlation = np.fft.irfft(power)[:, : LAGS[1] + 2]
    energy = correlation[:, :1] + 1e-9
    correlation = correlation / energy * FRAME / (FRAME - np.arange(LAGS[1] + 2))
    inside = correlation[:, LAGS[0] : LAGS[1] + 1]
    peaks = (inside >= correlation[:, LAGS[0] - 1 : LAGS[1]]) & (inside > correlation[:, LAGS[0] + 1 :])
    good = peaks & (inside >= 0.9 * np.where(peaks, inside, 0.0).max(axis=1, keepdims=True))
    lag = good.argmax(axis=1) + LAGS[0]
    below, at, above = np.take_along_axis(correlation, lag[:, None] + [-1, 0, 1], axis=1).T
    bend = below - 2.0 * at + above
    shift = np.divide(below - above, 2.0 * bend, out=np.zeros_like(bend), where=bend < 0.0)
    cents = 1200.0 * np.log2(RATE_HZ / (lag + np.clip(shift, -0.5, 0.5)))
    return cents, 10.0 * np.log10(energy[:, 0] / FRAME), good.any(axis=1) & (at > VOICED) & (energy[:, 0] > 1e-4)


def is_steady(sound: NDArray[np.float32]) -> bool:
    """Whether pitch and level, once the note has begun, keep to straight lines."""
    cents, decibels, voiced = (track[20:-10] for track in tracks(sound))
    if len(cents) < 50 or not voiced.all():
        return False
    t = np.arange(len(cents))
    for track, most in ((cents, STEADY_CENTS), (decibels, STEADY_DB)):
        if np.std(track - np.polyval(np.polyfit(t, track, 1), t)) > most:
            return False
    return True
