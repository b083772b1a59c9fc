"""One hand-off to a thread for all that waits in many sessions: what comes while a batch is heard is the next batch.

A hand-off for each chunk costs several times what hearing it does. Sessions that are heard alone (their trace is
wanted, or their chunks are large) have hand-offs of their own. Knows conversations and threads; nothing of messages.
A session is in one hand-off at a time, so its calls come one after the other.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from engine.pool import Pool
from engine.weights import Model
from server import chorus

if TYPE_CHECKING:
    from server.conversation import Conversation, Heard

    Batch = list[Heard]


class Lane:
    def __init__(self, model: Model, places: int, executor: Executor) -> None:
        """places: streams that can be heard together; more are heard alone."""
        self.pool = Pool(model, places)
        self._executor = executor
        self._waiting: list[Conversation] = []
        self._running = False

    def want(self, conversation: "Conversation") -> None:
        """Something waits there. Not to be said again before its `done`."""
        if conversation.alone:
            self._submit([conversation], self._done)
            return
        self._waiting.append(conversation)
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_soon(self._hand_over)  # with the others that come in this turn

    def _hand_over(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._submit(waiting, self._go_on)

    def _submit(self, conversations: "list[Conversation]", back: "Callable[[Batch], None]") -> None:
        batch = [conversation.next() for conversation in conversations]
        self._executor.submit(self._work, asyncio.get_running_loop(), batch, back)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: "Batch", back: "Callable[[Batch], None]") -> None:
        began = time.perf_counter()
        said = chorus.hear(self.pool, [(heard.conversation.session, heard.items) for heard in batch])
        for heard, outs in zip(batch, said, strict=True):
            heard.said(outs)
        share_s = (time.perf_counter() - began) / len(batch)
        for heard in batch:
            heard.conversation.meter.engine_s += share_s
        loop.call_soon_threadsafe(back, batch)

    def _done(self, batch: "Batch") -> None:
        for heard in batch:
            heard.conversation.done(heard)

    def _go_on(self, batch: "Batch") -> None:
        self._done(batch)
        self._running = bool(self._waiting)
        if self._running:
            self._hand_over()
