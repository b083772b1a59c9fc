"""Does captured sound come as fast as its declared sample rate says? Knows counts and arrival times.

A microphone that was declared with a wrong rate is heard slow or fast and nothing else would tell. A stall followed by
a burst is not a wrong rate: only windows in a row that are off on the same side count.
"""

WINDOW_S = 1.0
SUSTAINED_S = 2.0
TOLERANCE = 0.2


class Pace:
    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._since: float | None = None  # arrival of the chunk before the window
        self._samples = 0  # that came in the window
        self._side = 0  # of the windows in a row that are off: -1 too slow, 1 too fast, 0 in step
        self._windows = 0  # in a row
        self._off_s = 0.0  # how long they are together
        self._off_samples = 0

    def restart(self) -> None:
        """The connection was lost: what was measured before says nothing about what comes."""
        self.__init__(self._rate_hz)  # type: ignore[misc]

    def lost(self, samples: int) -> None:
        """Samples that the client captured and lost: time passed for them too."""
        self._samples += samples

    def feed(self, samples: int, arrived: float) -> float | None:
        """The measured rate in Hz when it has just been off for long enough, else None."""
        if self._since is None:
            self._since = arrived
            return None
        self._samples += samples
        elapsed = arrived - self._since
        if elapsed < WINDOW_S:
            return None
        ratio = self._samples / self._rate_hz / elapsed
        side = 0 if abs(ratio - 1.0) <= TOLERANCE else 1 if ratio > 1.0 else -1
        was_off = self._sustained
        if side != self._side:
            self._side, self._windows, self._off_s, self._off_samples = side, 0, 0.0, 0
            was_off = False
        self._windows += 1
        self._off_s += elapsed
        self._off_samples += self._samples
        self._since, self._samples = arrived, 0
        return self._off_samples / self._off_s if self._sustained and not was_off else None

    @property
    def _sustained(self) -> bool:
        return self._side != 0 and self._windows >= 2 and self._off_s >= SUSTAINED_S
