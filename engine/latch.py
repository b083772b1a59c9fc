"""From evidence to on and off. Knows membranes, thresholds and frame counts; nothing of spectra or clocks.

Each instrument's output neuron is a leaky integrator of evidence; its membrane `v` is a log-odds, its score
`1 / (1 + exp(-v))`. The latch adds hysteresis:

* off, and `v > on`: the label turns on (an onset), but not within `refractory` frames of its last end;
* on, and `v < off` for `min_off` frames in a row: it turns off, back-dated to the first of them (an offset), or, if it
  was then on for less than `min_on` frames, it is taken back (a retract);
* a shorter dip changes nothing: the latch holds.

Comparisons are made on membranes, so no exponential stands between the evidence and the decision.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.jit import Record, inlined

ONSET, OFFSET, RETRACT = 0, 1, 2
PHASES = ("onset", "offset", "retract")

# One row of the event buffer. Samples count from the stream's start.
RAW_EVENT = np.dtype(
    [
        ("phase", np.int32),
        ("label", np.int32),
        ("onset", np.int64),
        ("offset", np.int64),  # -1 while open
        ("decided", np.int64),  # samples that had been heard when the latch decided
        ("v", np.float32),  # evidence at the decision
        ("peak", np.float32),  # greatest evidence since the onset
    ],
    align=True,
)

# A label is dated back to the last rise of the sound, if that was not longer ago than this. On notes of libraries left
# out, 1 s dates 57 % of the onsets within 50 ms (median error 0), 0.3 s only 18 % (`docs/decisions.md`).
ATTACK_LOOKBACK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class LatchSettings:
    """How a stream decides; each stream may have its own. Thresholds are scores, one for each label of the model."""

    on: tuple[float, ...]
    off: tuple[float, ...]
    enabled: tuple[bool, ...]
    min_on_ms: float = 40.0
    min_off_ms: float = 120.0
    refractory_ms: float = 0.0  # after an end no onset for so long

    def __post_init__(self) -> None:
        for on, off in zip(self.on, self.off, strict=True):
            if not 0 < off < on < 1:
                raise ValueError(f"thresholds on={on}, off={off}: needs 0 < off < on < 1")
        for name in ("min_on_ms", "min_off_ms", "refractory_ms"):
            value = getattr(self, name)
            if not 0 <= value <= 60_000:
                raise ValueError(f"{name}={value} is outside 0..60000")


def log_odds(score: float) -> float:
    """The membrane at which the score is `score` (0..1, both excluded)."""
    return math.log(score / (1.0 - score))


def score_of(v: float) -> float:
    """The score of a membrane, 0..1."""
    return 1.0 / (1.0 + math.exp(-v)) if v >= 0 else math.exp(v) / (1.0 + math.exp(v))


def settings_dtype(labels: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("on", np.float32, (labels,)),  # membranes
            ("off", np.float32, (labels,)),
            ("enabled", np.uint8, (labels,)),
            ("min_on", np.int64),  # frames
            ("min_off", np.int64),
            ("refractory", np.int64),
            ("lookback", np.int64),
        ],
        align=True,
    )


def settings_record(settings: LatchSettings, hop_s: float) -> NDArray[np.void]:
    """Settings as the kernel reads them, (1,) of `settings_dtype`. A minimum time is rounded up to whole hops."""
    record = np.zeros(1, settings_dtype(len(settings.on)))
    record["on"][0] = [log_odds(score) for score in settings.on]
    record["off"][0] = [log_odds(score) for score in settings.off]
    record["enabled"][0] = settings.enabled
    record["min_on"] = math.ceil(settings.min_on_ms / 1000.0 / hop_s - 1e-9)
    record["min_off"] = max(1, math.ceil(settings.min_off_ms / 1000.0 / hop_s - 1e-9))
    record["refractory"] = math.ceil(settings.refractory_ms / 1000.0 / hop_s - 1e-9)
    record["lookback"] = round(ATTACK_LOOKBACK_S / hop_s)
    return record


def state_fields(labels: int) -> list[tuple[object, ...]]:
    return [
        ("is_on", np.uint8, (labels,)),
        ("below", np.int64, (labels,)),  # frames in a row under the off threshold, while on
        ("rise", np.int64, (labels,)),  # frame from which the evidence has stayed above the off threshold
        ("ended", np.int64, (labels,)),  # frame from which it was last off: no onset is dated before it; 0: never on
        ("onset", np.int64, (labels,)),  # sample
        ("opened", np.int64, (labels,)),  # frame in which it turned on
        ("peak", np.float32, (labels,)),
    ]


@inlined
def rests(settings: Record, state: Record, label: int, frame: int) -> bool:
    """Did its last event end too short a time ago for another one to begin in this frame?"""
    return state.ended[label] > 0 and frame - state.ended[label] < settings.refractory


@inlined
def latch_step(
    v: NDArray[np.float32],
    first: int,
    settings: Record,
    state: Record,
    frame: int,
    attack: int,
    hop: int,
    events: Record,
    count: int,
) -> int:
    """Let every latch decide on one frame; returns the number of events now in `events`.

    v: (neurons,) float32, the labels' membranes from `first` on. settings: record of `settings_dtype`. state: record
    with `state_fields`. frame: index of this frame. attack: frame in which the present sound rose. hop:
    samples. events: (capacity,) of RAW_EVENT with room for one more event a label. count: events already there.
    """
    for label in range(settings.on.shape[0]):
        value = v[first + label]
        if not state.is_on[label]:
            if value <= settings.off[label]:
                state.rise[label] = frame + 1
            if value > settings.on[label] and settings.enabled[label] and not rests(settings, state, label, frame):
                begun = state.rise[label]
                if frame - attack <= settings.lookback:
                    begun = attack
                elif frame - begun > settings.lookback:
                    begun = frame - settings.lookback
                begun = max(begun, state.ended[label])
                state.is_on[label] = 1
                state.below[label] = 0
                state.opened[label] = frame
                state.onset[label] = begun * hop
                state.peak[label] = value
                event = events[count]
                event.phase = ONSET
                event.label = label
                event.onset = begun * hop
                event.offset = -1
                event.decided = (frame + 1) * hop
                event.v = value
                event.peak = value
                count += 1
        else:
            state.peak[label] = max(state.peak[label], value)
            if value < settings.off[label]:
                state.below[label] += 1
            else:
                state.below[label] = 0
            if state.below[label] >= settings.min_off:
                ended = frame + 1 - state.below[label]
                state.is_on[label] = 0
                state.rise[label] = frame + 1
                state.ended[label] = ended
                event = events[count]
                event.phase = RETRACT if ended - state.opened[label] < settings.min_on else OFFSET
                event.label = label
                event.onset = state.onset[label]
                event.offset = ended * hop
                event.decided = (frame + 1) * hop
                event.v = value
                event.peak = state.peak[label]
                count += 1
    return count
