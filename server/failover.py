"""Saves the live sessions of this process, so that another one can go on with them: each second, and before anything
but telemetry is told. What is saved is copied on the event loop, between two batches; a thread packs and sends it.

Where Redis is away sessions go on, and what they hold back is told after a moment; until they are saved again another
process cannot go on with them. Knows conversations and the store; nothing of sound.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from engine.weights import Model
from server import commands as c
from server.errors import Code, Refusal
from server.escrow import LEAP
from server.saved import FORM, SavedSession
from server.store import Claimed, Save, Seen, Store, digest

if TYPE_CHECKING:
    from server.conversation import Conversation

log = logging.getLogger("spiccato.failover")

EVERY_S = 1.0  # a session that hears is saved
REFRESH_S = 20.0  # one that does not, so that Redis keeps it
LOOK_S = 0.05
BATCH = 32  # sessions in one request
PATIENCE_S = 1.0  # that a message waits for a Redis that is away
GIVE_UP_S = 5.0  # without a save; then a client need no longer keep its sound for another process
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  # between tries, a random half of it left out

T = TypeVar("T")


class Failover:
    """Raises ValueError where `url` cannot be one of Redis."""

    def __init__(self, url: str, keep_s: float, store: Store | None = None) -> None:
        self.store = Store(url, keep_s) if store is None else store
        self.problem: str | None = None
        self.saved = self.failed = self.lost = self.claimed = 0  # saves, requests; sessions to and from other processes
        self.on_taken: Callable[[Conversation], None] = lambda conversation: None  # another process goes on with it
        self._away_since: float | None = None
        self._sessions: dict[Conversation, None] = {}
        self._wanted: dict[Conversation, None] = {}  # to be saved at once, in that order
        self._asked: set[Conversation] = set()  # being saved
        self._ready: list[tuple[Conversation, Save]] = []
        self._more = asyncio.Event()
        self._threads = ThreadPoolExecutor(2, "failover")  # one saves, one asks for those that come back
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, conversation: "Conversation") -> None:
        self._sessions[conversation] = None
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._write())]
        self.want(conversation)

    def remove(self, conversation: "Conversation", *, for_good: bool) -> None:
        """It has ended. for_good: nobody will ask for its last messages."""
        self._sessions.pop(conversation, None)
        self._wanted.pop(conversation, None)
        if for_good and conversation.escrow is not None:
            self._threads.submit(self._drop, conversation.session.id, conversation.escrow.owner)

    def want(self, conversation: "Conversation") -> None:
        """Save it as soon as that can be."""
        if conversation not in self._wanted and conversation in self._sessions:
            self._wanted[conversation] = None
            asyncio.get_running_loop().call_soon(self._ask, conversation)

    async def look(self, id: str, secret: str) -> Seen | None:
        return await self._answered(lambda: self.store.look(id, digest(secret)))

    async def claim(self, id: str, secret: str) -> Claimed | None:
        claimed = await self._answered(lambda: self.store.claim(id, digest(secret)))
        self.claimed += claimed is not None
        return claimed

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    async def _answered(self, ask: Callable[[], T]) -> T:
        """Raises Refusal where Redis is away."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except self.store.passing as error:
            log.warning("failover: Redis is away: %s", error)
            raise Refusal(Code.STORE_AWAY, "what is saved of sessions cannot be read now: try again") from error

    # --- who is to be saved ---

    def _ask(self, conversation: "Conversation") -> None:
        if conversation in self._wanted and conversation not in self._asked and self.problem is None:
            self._asked.add(conversation)
            conversation.at_rest(lambda: self._collect(conversation))

    def _collect(self, conversation: "Conversation") -> None:
        self._wanted.pop(conversation, None)
        if conversation not in self._sessions:
            self._asked.discard(conversation)
            return
        if (save := conversation.save(time.monotonic())) is None:
            self._asked.discard(conversation)
            return
        self._ready.append((conversation, save))
        self._more.set()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            asked = 0
            for conversation in tuple(self._sessions):
                escrow = conversation.escrow
                assert escrow is not None
                if self._hopeless(conversation, now):
                    conversation.at_rest(escrow.give_up)
                old_s = now - escrow.saved_at
                if old_s >= REFRESH_S or (old_s >= EVERY_S and escrow.changed(conversation.clock)):
                    self._wanted.setdefault(conversation)
                if conversation in self._wanted and asked < BATCH:
                    asked += 1
                    self._ask(conversation)

    def _hopeless(self, conversation: "Conversation", now: float) -> bool:
        """It has waited long enough. One whose client is away can wait."""
        escrow = conversation.escrow
        assert escrow is not None
        if self._away_since is None or escrow.void:
            return False
        if conversation.connection is None and conversation.session.closed is None:
            return False
        held = escrow.waits_since is not None and now - escrow.waits_since >= PATIENCE_S
        return held or now - self._away_since >= GIVE_UP_S

    # --- saving ---

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._more.wait()
            batch, self._ready = self._ready[:BATCH], self._ready[BATCH:]
            if not self._ready:
                self._more.clear()
            try:
                answers = await loop.run_in_executor(self._threads, self.store.save, [save for _, save in batch])
            except Exception as error:
                await self._trouble(error, batch)
                continue
            now = time.monotonic()
            for (conversation, save), answer in zip(batch, answers, strict=True):
                self._asked.discard(conversation)
                assert conversation.escrow is not None
                if answer == "taken":
                    self._taken(conversation)
                else:
                    self.saved += answer == "saved"
                    conversation.escrow.answered(save, answer, now)
                if conversation in self._wanted:
                    self._ask(conversation)

    def _taken(self, conversation: "Conversation") -> None:
        self.lost += 1
        log.warning("failover: session %s goes on elsewhere", conversation.session.id)
        if conversation in self._sessions:
            self.on_taken(conversation)

    async def _trouble(self, error: Exception, batch: "list[tuple[Conversation, Save]]") -> None:
        """Until Redis answers again."""
        if not isinstance(error, self.store.passing):
            log.error("failover: a fault of ours in saving", exc_info=error)
        self.failed += 1
        log.warning("failover: sessions cannot be saved: %s", error)
        self.problem = str(error) or type(error).__name__
        self._away_since = time.monotonic()
        for conversation, _ in batch:
            self._asked.discard(conversation)
            if conversation in self._sessions:
                self._wanted.setdefault(conversation)
        pause_s = FIRST_PAUSE_S
        while self.problem is not None:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            with contextlib.suppress(*self.store.passing):
                await asyncio.get_running_loop().run_in_executor(self._threads, self.store.ping)
                self.problem = self._away_since = None
        log.info("failover: Redis takes sessions again")

    def _drop(self, id: str, owner: int) -> None:
        with contextlib.suppress(*self.store.passing):  # then it is forgotten by itself
            self.store.drop(id, owner)


def restored(state: bytes, start: c.Start, model: Model, compare: Model | None) -> SavedSession:
    """What was saved, for a client that comes back with this `start`. Raises Refusal where it cannot go on here."""
    assert start.resume is not None
    try:
        saved = SavedSession.model_validate_json(state)
    except ValidationError as error:
        raise Refusal(Code.RESUME_UNKNOWN, "the session was saved by another version of the service") from error
    heard_by = compare if saved.apart else model
    if saved.form != FORM or heard_by is None or heard_by.sha256 != saved.model:
        raise Refusal(Code.RESUME_UNKNOWN, "the session was heard by another model, or another version of the service")
    if start.audio != saved.start.audio:
        raise Refusal(Code.BAD_MESSAGE, "start.audio differs from that of the session to resume")
    if start.resume.last_seq >= saved.seq + LEAP // 2:
        raise Refusal(Code.RESUME_UNKNOWN, "it was told more than could be saved before its service ended")
    return saved
