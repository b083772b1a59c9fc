"""What the engine says: a label turned on, turned off, or was taken back. Knows samples; nothing of UTC or JSON."""

from typing import Literal, NamedTuple

Phase = Literal["onset", "offset", "retract"]


class Event(NamedTuple):
    """One decision of one latch. Samples count from the stream's start, at the engine's rate.

    A tuple: made in 1 us less than a frozen dataclass, which counts in a pool. `reason` is None for an onset, `decay`
    where the evidence ended it, otherwise what the caller gave.
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
