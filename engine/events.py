"""What the engine says: a label turned on, turned off, or was taken back. Knows samples; nothing of UTC or JSON."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["onset", "offset", "retract"]


@dataclass(frozen=True, slots=True)
class Event:
    """One decision of one latch. Samples count from the stream's start, at the engine's rate.

    `reason` is None for an onset, `decay` where the evidence ended it, otherwise what the caller gave.
    """

    phase: Phase
    label: str
    onset_sample: int
    offset_sample: int | None
    decided_sample: int  # samples heard when it was decided: minus `onset_sample`, the algorithm's latency
    score: float  # 0..1, at the decision
    peak: float  # 0..1, greatest since the onset
    threshold: float  # the score that it had to pass to turn on
    reason: str | None = None
