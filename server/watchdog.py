"""Is a source well? Its states, from what happens to it. Knows no I/O and no clock: times and levels are given to it.

recovering   being opened
healthy      sound comes
silent       samples come, but below `silent_dbfs` for `silent_s`: the wrong input, or it is muted elsewhere
stalled      no sample for `stall_ms`: open labels are closed; the same opening may go on
lost         it cannot be opened, went away, or gave nothing for `give_up_s`: opened anew after a while
failed       trying again would not help
ended        a file is over, or the source was removed
"""

import random
from collections.abc import Callable

from server.protocol import SourceState, State
from server.reader import Opened, ReadError, Watch


class Watchdog:
    """Each method returns the new state where it changed, None where not."""

    def __init__(self, watch: Watch, chance: Callable[[], float] = random.random) -> None:
        self.watch = watch
        self.state = SourceState(state="recovering", detail="not yet opened")
        self._chance = chance  # 0 to 1
        self._failures = 0  # openings in a row that did not last
        self._opened_at: float | None = None  # s; None: it is not open
        self._sounds = ""  # the healthy state's detail
        self._heard_at = 0.0  # s, the last sample, or the opening
        self._quiet_since: int | None = None  # sample from which the level stayed below `silent_dbfs`

    def opening(self, title: str) -> SourceState | None:
        self._opened_at = None
        return self._become("recovering", f"opening {title}")

    def opened(self, opened: Opened, now: float) -> None:
        """It is open; whether samples come is to be seen."""
        self._sounds = f"{opened.name} at {opened.sample_rate} Hz"
        self._opened_at = self._heard_at = now
        self._quiet_since = None

    def heard(self, now: float) -> SourceState | None:
        """A block came."""
        self._heard_at = now
        return self._become("healthy", self._sounds) if self.state.state == "recovering" else None

    def level(self, peak_dbfs: float | None, sample: int, rate_hz: int) -> SourceState | None:
        """The peak since the last level (None: digital silence), `sample` being the newest that is in it."""
        if peak_dbfs is not None and peak_dbfs >= self.watch.silent_dbfs:
            self._quiet_since = None
            return self._become("healthy", self._sounds) if self.state.state == "silent" else None
        if self._quiet_since is None:
            self._quiet_since = sample
        if self.state.state != "healthy" or sample - self._quiet_since < self.watch.silent_s * rate_hz:
            return None
        floor = f"stays below {self.watch.silent_dbfs:g} dBFS"
        return self._become("silent", f"{self._sounds}: the level {floor}; is it the right input, and not muted?")

    def told(self, state: SourceState) -> None:
        """The session says it: no sample came for `stall_ms`, or they come again."""
        self.state = state

    def overdue(self, now: float) -> bool:
        """No sample for so long that it is to be opened anew."""
        return now - self._heard_at > self.watch.give_up_s

    def lost(self, error: ReadError, now: float) -> SourceState:
        """It could not be opened, or went away. `retry_in_ms` of the answer: when to open it anew; None: never."""
        if error.retry == "never":
            return self._tell("failed", str(error))
        if self._opened_at is not None and now - self._opened_at > self.watch.steady_s:
            self._failures = 0
        waits = self.watch.retry_s
        wait_s = waits[min(self._failures, len(waits) - 1)] * (1 + self.watch.jitter * self._chance())
        self._failures += 1
        return self._tell("lost", str(error), 0 if error.retry == "at_once" and self._failures == 1 else wait_s)

    def ended(self, detail: str) -> SourceState:
        return self._tell("ended", detail)

    def failed(self, detail: str) -> SourceState:
        return self._tell("failed", detail)

    def _become(self, state: State, detail: str) -> SourceState | None:
        return None if (state, detail) == (self.state.state, self.state.detail) else self._tell(state, detail)

    def _tell(self, state: State, detail: str, wait_s: float | None = None) -> SourceState:
        wait_ms = None if wait_s is None else round(wait_s * 1000)
        self.state = SourceState(state=state, detail=detail, retry_in_ms=wait_ms)
        return self.state
