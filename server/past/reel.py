"""The newest sound of one session by sample index, and the clips to be cut from it. Knows samples and events.

A clip goes from `pre` before the onset to `post` after the offset, and is cut once that tail has come (or the session
has ended). Sound is kept from the onset of the oldest open event on, else for a few seconds. Where samples were lost
there is silence of their length, so that sample k of a clip is sample `first + k` of the session's clock.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOOK_BACK_S = 5.0  # an onset is dated back by so much at most, nearly always; else its clip begins later
MAX_KEPT_S = 180.0  # of sound in all; beyond it the oldest open event gets no clip

Block = tuple[int, NDArray[np.int16]]  # first sample, mono samples


@dataclass(frozen=True)
class Cut:
    """A clip to be written."""

    event: dict[str, Any]  # its final message
    rate_hz: int
    first: int
    end: int
    blocks: list[Block]

    def samples(self) -> NDArray[np.int16]:
        """(end - first,), silence where samples were lost."""
        clip = np.zeros(self.end - self.first, np.int16)
        for first, block in self.blocks:
            begin, end = max(first, self.first), min(first + len(block), self.end)
            if begin < end:
                clip[begin - self.first : end - self.first] = block[begin - first : end - first]
        return clip


@dataclass
class _Wanted:
    first: int
    most: int  # samples
    final: dict[str, Any] | None = None
    end: int | None = None  # known once it is final
    held: list[Block] | None = None  # its sound, once as much came as a clip may have, and it still is not final


class Reel:
    """Calls come one after the other, from any thread; `cut` is called from them and returns at once."""

    def __init__(
        self,
        rate_hz: int,
        cut: Callable[[Cut], None],
        given_up: Callable[[], None] = lambda: None,
        *,
        pre_s: float,
        post_s: float,
        max_s: float,
    ) -> None:
        self._rate_hz = rate_hz
        self._cut = cut
        self._given_up = given_up
        self._pre, self._post, self._most = (round(s * rate_hz) for s in (pre_s, post_s, max_s))
        self._look_back = self._pre + round(LOOK_BACK_S * rate_hz)
        self._max_kept = round(max(MAX_KEPT_S, 2 * max_s) * rate_hz)
        self._blocks: deque[Block] = deque()
        self._kept = 0  # samples in them
        self._end = 0  # the clock
        self._wanted: dict[str, _Wanted] = {}  # by event id, the oldest first

    @property
    def kept(self) -> int:
        """Samples held, about."""
        return self._kept + sum(wanted.most for wanted in self._wanted.values() if wanted.held is not None)

    def heard(self, first: int, mono: NDArray[np.float32]) -> None:
        """Samples (n,) from `first` on; what lies between the last ones and these was lost."""
        block = np.rint(np.clip(mono * np.float32(32768), -32768, 32767)).astype(np.int16)
        self._blocks.append((first, block))
        self._kept += len(block)
        self._end = first + len(block)
        self._cut_ready()
        while self.kept > self._max_kept and self._wanted:
            del self._wanted[next(iter(self._wanted))]
            self._given_up()
            self._trim()

    def told(self, message: dict[str, Any]) -> None:
        """A message of the session: events open and close clips, the summary ends all."""
        if message["type"] == "event":
            self._event(message)
        elif message["type"] == "summary":
            for event_id in list(self._wanted):
                self._finish(event_id, self._end)
            self._blocks.clear()
            self._kept = 0

    def _event(self, event: dict[str, Any]) -> None:
        event_id = event["event_id"]
        if event["phase"] == "onset":
            kept_from = self._blocks[0][0] if self._blocks else self._end
            self._wanted[event_id] = _Wanted(max(event["onset_sample"] - self._pre, kept_from), self._most)
        elif event["phase"] == "retract":
            self._wanted.pop(event_id, None)
        elif event["is_final"] and (wanted := self._wanted.get(event_id)) is not None:
            wanted.final = event
            wanted.end = min(event["offset_sample"] + self._post, wanted.first + wanted.most)
            self._cut_ready()

    def _cut_ready(self) -> None:
        for event_id, wanted in list(self._wanted.items()):
            if wanted.end is not None and wanted.end <= self._end:
                self._finish(event_id, wanted.end)
            elif wanted.held is None and wanted.first + wanted.most <= self._end:
                wanted.held = self._between(wanted.first, wanted.first + wanted.most)
        self._trim()

    def _finish(self, event_id: str, end: int) -> None:
        wanted = self._wanted.pop(event_id)
        end = min(end, wanted.end or end)
        if wanted.final is None or end <= wanted.first:
            return
        blocks = self._between(wanted.first, end) if wanted.held is None else wanted.held
        self._cut(Cut(wanted.final, self._rate_hz, wanted.first, end, blocks))

    def _between(self, first: int, end: int) -> list[Block]:
        return [block for block in self._blocks if block[0] < end and block[0] + len(block[1]) > first]

    def _trim(self) -> None:
        """Let go what no clip needs and none that may yet begin."""
        oldest = self._end - self._look_back
        while self._blocks and not self._needed(*self._blocks[0], oldest):
            self._kept -= len(self._blocks.popleft()[1])

    def _needed(self, first: int, block: NDArray[np.int16], oldest: int) -> bool:
        end = first + len(block)
        return end > oldest or any(w.held is None and end > w.first for w in self._wanted.values())
