"""Does sound come without holes? A stream's own time stamps beside the samples that came. Knows no I/O, no container.

Stamps of cameras jitter and their clocks drift, so a single one proves nothing: only what is off by GAP_S, counted from
the samples that came, is a loss. Smaller losses add up until they are told. A stamp that goes back, or far ahead, says
that the sender began anew: what was lost between is not known.
"""

GAP_S = 0.1
TRACK = (
    0.002  # share of what is off that is forgotten with each block: over half a minute a drifting clock costs nothing
)
MAX_GAP_S = 60.0
UNKNOWN = 1  # sample, told where it is not known how many were lost


class Timeline:
    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._due: float | None = None  # s, the stamp that the next block should have; None: before the first

    def lost(self, stamp_s: float | None, samples: int) -> int:
        """Samples missing before this block of `samples`, stamped `stamp_s` (None: it has no stamp)."""
        missing = 0
        if stamp_s is not None:
            off_s = 0.0 if self._due is None else stamp_s - self._due
            if self._due is None or abs(off_s) < GAP_S:
                self._due = stamp_s if self._due is None else self._due + TRACK * off_s
            else:
                missing = round(off_s * self._rate_hz) if 0 < off_s <= MAX_GAP_S else UNKNOWN
                self._due = stamp_s
        if self._due is not None:
            self._due += samples / self._rate_hz
        return missing
