"""What one session said, held back until the session is saved as it was then: nothing was told that is not saved.

So whoever goes on with it from there repeats no number, no id and no event. Telemetry passes, as long as nothing waits
before it. Where saving fails for too long everything is told all the same; a run of LEAP numbers is left out
before it, by which a later reader of the saved state sees that it is void. Knows messages and times; nothing of Redis.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from pydantic_core import to_json

from server.outbox import TELEMETRY, Told
from server.saved import SavedSession
from server.session import Out, Session
from server.store import MESSAGES, Answer, Save

PASSING = TELEMETRY | {"started"}  # a client that waits for it has nothing yet to lose
LEAP = 1 << 20  # numbers; so much telemetry is never told between two saves

Release = Callable[[list[Out], list[Told]], None]


class Escrow:
    def __init__(
        self, session: Session, digest: str, release: Release, want: Callable[[], None], now: float, owner: int = 0
    ) -> None:
        """release: is given what may be told. want: asks for a save. now: monotonic."""
        self.owner = owner
        self.saved_at = now  # or begun
        self.waits_since: float | None = None  # the first of what is held
        self.void = False  # more was told than is saved
        self.leapt: list[int] = []  # first numbers of runs that were left out
        self.gone = -1  # messages up to this number cannot be told again from what is saved
        self._session = session
        self._digest = digest
        self._release = release
        self._want = want
        self._held: deque[tuple[Out, Told]] = deque()
        self._owed: list[Told] = []  # messages that are to be saved beside the state
        self._fresh = owner == 0  # Redis need not know it
        self._mending = False  # it was void, and the first save since is under way
        self._saved_as = (-1, -1)  # clock and number
        self._empty = asyncio.Event()
        self._empty.set()

    def say(self, outs: Sequence[Out], told: Sequence[Told], now: float) -> None:
        passing: tuple[list[Out], list[Told]] = ([], [])
        for out, one in zip(outs, told, strict=True):
            plain = isinstance(out, bytes) or out["type"] in PASSING
            if one.first >= 0 and one.kind is None:
                self._owed.append(one)
            if not self._held and (plain or self.void):
                passing[0].append(out)
                passing[1].append(one)
            else:
                self._held.append((out, one))
        if passing[0]:
            self._release(*passing)
        if self._held:
            self._empty.clear()
            self.waits_since = self.waits_since or now
            self._want()
        for lost in self._owed[: -2 * MESSAGES]:
            self.gone = lost.last
            self._owed.remove(lost)

    @property
    def holds(self) -> bool:
        """Something waits: what is said now waits behind it."""
        return bool(self._held)

    async def empty(self) -> None:
        """Until all was told."""
        await self._empty.wait()

    @property
    def is_safe(self) -> bool:
        """What was told is saved."""
        return not self.void and not self._fresh and not self._mending

    def changed(self, clock: int) -> bool:
        """Since it was saved. clock: of all that was heard."""
        return self._saved_as != (clock, self._session.numbered)

    # --- while nothing of the session is being heard ---

    def save(self, now: float) -> Save | None:
        """None where a client has let go of sound that would be needed, which does not last."""
        session, stream = self._session, self._session.stream
        state = session.saved()
        state.leapt = list(self.leapt)
        if self.void:
            if state.stream is not None and stream is not None:
                stream.safe = stream.hearing.sample if stream.safe is None else stream.safe
                if state.stream.hearing.sample < stream.safe:
                    return None
            self.void, self._mending, self.saved_at = False, True, now  # from here on it holds back again
        live = state.stream is not None and stream is not None
        return Save(
            id=session.id,
            owner=self.owner,
            digest=self._digest,
            fresh=self._fresh,
            gone=self.gone,
            seq=state.seq,
            leaps=len(self.leapt),
            clock=-1 if stream is None else stream.hearing.sample,
            sample=state.stream.hearing.sample if state.stream is not None else None,
            state=partial(_packed, state),
            snapshot=stream.hearing.pipeline.capture() if live and stream is not None else bytes,
            messages=[(one.last, str(one.data)) for one in self._owed],
        )

    def give_up(self) -> None:
        """It cannot be saved: what waits is told."""
        if self.void:
            return
        self.void = True
        stream = self._session.stream
        first = self._session.leap(LEAP)
        if stream is not None:
            stream.safe = None  # a client that kept what was heard would keep it in vain
        for out, one in self._held:
            if isinstance(out, dict):
                first = min(first, one.first)
                out["seq"] += LEAP
                one.first = one.last = out["seq"]
                one.data = to_json(out).decode()
        self.leapt.append(first)
        self._release([], [Told(first, first + LEAP - 1, None, None)])
        self._free()

    # --- what became of a save ---

    def answered(self, save: Save, answer: Answer, now: float) -> None:
        """But for `taken`."""
        if answer == "forgotten":
            self._fresh = True
            self.gone = max(self.gone, (self._owed[0].first if self._owed else save.seq) - 1)
            self._want()
            return
        if save.leaps != len(self.leapt):  # it was given up meanwhile
            self._want()
            return
        self._fresh = self._mending = False
        self.saved_at, self._saved_as = now, (save.clock, save.seq)
        del self._owed[: len(save.messages)]
        if self._session.stream is not None and save.sample is not None:
            self._session.stream.safe = save.sample
        self._free(save.seq)

    def _free(self, seq: int | None = None) -> None:
        """Tell what waits, up to that number."""
        outs: list[Out] = []
        told: list[Told] = []
        while self._held and (seq is None or self._held[0][1].last < seq):
            out, one = self._held.popleft()
            outs.append(out)
            told.append(one)
        if outs:
            self._release(outs, told)
        self.waits_since = None if not self._held else self.saved_at
        if not self._held:
            self._empty.set()


def _packed(state: SavedSession) -> bytes:
    return state.model_dump_json().encode()
