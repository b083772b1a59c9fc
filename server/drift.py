"""By how much a device's clock has run away from this machine's: 100 parts in a million are 8.6 s a day.

The time by the sample count is compared with the arrival of the chunks, by the monotonic clock, which nobody sets. A
chunk may come late but never early, so the least delay of a minute is what counts. Knows times; nothing of events.
"""

WINDOW_S = 60.0
LEAST_S = 0.02  # no smaller correction is worth its step


class Drift:
    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._origin_s: float | None = None  # when sample 0 would have been, by the newest correction
        self._since = 0.0  # when the window began
        self._least_s = float("inf")  # delay in it

    def restart(self) -> None:
        """What comes next does not follow what came before."""
        self._origin_s = None

    def feed(self, sample: int, arrived: float) -> float:
        """The samples up to `sample` are there at `arrived` (monotonic). Seconds to add to times from here on."""
        at = arrived - sample / self._rate_hz
        if self._origin_s is None:
            self._origin_s, self._since, self._least_s = at, arrived, float("inf")
        self._least_s = min(self._least_s, at - self._origin_s)
        if arrived - self._since < WINDOW_S:
            return 0.0
        drift_s, self._since, self._least_s = self._least_s, arrived, float("inf")
        if abs(drift_s) < LEAST_S:
            return 0.0
        self._origin_s += drift_s
        return drift_s
