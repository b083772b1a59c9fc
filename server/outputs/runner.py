"""One output, kept going: its rule, a queue with a limit, tries with growing pauses, and what is told of it.

Whatever its other side does, it harms nothing else: the queue drops its oldest, which is counted, and a fault of ours
is logged and tried again. Knows senders by their interface only.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from server.outputs.config import Output
from server.outputs.gate import Gate, Passed
from server.outputs.sender import Lost, Message, Refused, Retry, Sender

log = logging.getLogger("spiccato.outputs")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0  # between tries; doubled each time, a random half of it left out
LAST_WORDS_S = 3.0  # for what waits when the output is stopped

State = Literal["starting", "ok", "retrying", "failed", "stopped"]


class Waiting(NamedTuple):
    came_s: float  # by the loop's clock
    source: str
    message: Message


class Runner:
    def __init__(self, config: Output, sender: Sender, families: Mapping[str, str]) -> None:
        """families: label to family. Begins at once."""
        self.config = config
        self.name = config.name or config.kind
        self.state: State = "starting"
        self.detail = "not yet opened"
        self.sent = self.dropped = self.failed = 0  # messages
        self.gate = Gate(config.rule, families)
        self._sender = sender
        self._queue: deque[Waiting] = deque()
        self._current: Waiting | None = None  # taken from the queue, not yet sent
        self._wake = asyncio.Event()  # something is in the queue, or it is time to stop
        self._idle = asyncio.Event()  # nothing is in the queue
        self._idle.set()
        self._task = asyncio.create_task(self._run(), name=f"output {self.name}")

    # --- what comes in, on the event loop ---

    def tell(self, source: str, message: Message) -> None:
        """A message of a source or a session. Returns at once."""
        loop = asyncio.get_running_loop()
        if message["type"] == "event":
            self._put(self.gate.feed(source, {**message, "source": source}, loop.time()))
            if (due_s := self.gate.next_s) is not None:
                loop.call_at(due_s, self._due)
        elif message["type"] in ("source", "removed") and self.gate.hears(source) and self._sender.states:
            self._put([(source, message)])

    def known(self, sources: Iterable[str]) -> None:
        """All of the server's own sources, once they are known after a start. Returns at once."""
        self._sender.known([source for source in sources if self.gate.hears(source)])

    def scores(self, source: str, top: list[tuple[str, float]]) -> None:
        """The scores of one of the server's own sources. Returns at once."""
        self._put(self.gate.scores(source, top, asyncio.get_running_loop().time()))
        if self.state == "ok" and not self._queue and self.gate.hears(source):
            self._sender.scores(source, [(label, score) for label, score in top if label in self.gate.labels()])

    def _due(self) -> None:
        self._put(self.gate.due(asyncio.get_running_loop().time()))

    def _put(self, passed: Passed) -> None:
        for source, message in passed:
            self._sender.passing(source, message)
            if len(self._queue) >= self.config.queue:
                self._queue.popleft()
                if self.dropped % self.config.queue == 0:  # not a line for each
                    log.warning("output %s: queue=%d is full: the oldest are dropped", self.name, self.config.queue)
                self.dropped += 1
            self._queue.append(Waiting(asyncio.get_running_loop().time(), source, message))
            self._idle.clear()
            self._wake.set()

    # --- what goes out ---

    def told(self) -> dict[str, Any]:
        """What `GET /v1/outputs` says of it."""
        return {
            "name": self.name,
            "kind": self.config.kind,
            "target": self._sender.target,
            "state": self.state,
            "detail": self.detail,
            "waiting": len(self._queue) + (self._current is not None),
            "sent": self.sent,
            "dropped": self.dropped,
            "failed": self.failed + self._sender.failed,
        }

    async def stop(self) -> None:
        """Send what waits, where that goes without trouble and within `LAST_WORDS_S`; then close."""
        if self.state == "ok":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LAST_WORDS_S)
        self._task.cancel()
        await asyncio.wait({self._task})
        left = [self._current, *self._queue] if self._current else list(self._queue)
        for waiting in left:
            if waiting.message["type"] == "event":  # a source's state is told anew at the next start
                self._give_up(waiting, "the output was stopped")
        self._note("stopped", "it was stopped")

    async def _run(self) -> None:
        tries = 0
        while True:
            try:
                await self._sender.open()
                tries = 0
                self._note("ok", f"sends to {self._sender.target}")
                await self._pump()
            except Lost as error:
                tries += 1
                self._note("retrying", str(error))
            except Exception:
                tries += 1
                log.exception("output %s: a fault of ours", self.name)
                self._note("failed", "a fault of ours; the log says where")
            finally:
                await self._sender.close()
            await asyncio.sleep(_pause_s(tries))

    async def _pump(self) -> None:
        """Everything in the queue, in order. Raises Lost."""
        losing = asyncio.ensure_future(self._sender.lost())
        try:
            while True:
                if self._current is None:
                    await self._next(losing)
                assert self._current is not None
                await self._send(self._current)
                self._current = None
        finally:
            losing.cancel()

    async def _next(self, losing: "asyncio.Future[None]") -> None:
        """Take the next message, once there is one. Raises Lost."""
        while not self._queue:
            self._idle.set()
            self._wake.clear()
            waking = asyncio.ensure_future(self._wake.wait())
            either: set[asyncio.Future[Any]] = {waking, losing}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
            if losing.done():
                losing.result()
        self._current = self._queue.popleft()

    async def _send(self, waiting: Waiting) -> None:
        """One message, until it is taken or given up. Raises Lost."""
        tries = 0
        while True:
            try:
                self._sender.came_s = waiting.came_s
                await self._sender.send(waiting.source, waiting.message)
            except Refused as error:
                self._give_up(waiting, str(error))
                return
            except Retry as error:
                tries += 1
                if tries >= self._sender.attempts:
                    self._give_up(waiting, f"{error} ({tries} times)")
                    return
                self._note("retrying", str(error))
                await asyncio.sleep(max(error.after_s, _pause_s(tries)))
            else:
                self.sent += 1
                self._note("ok", f"sends to {self._sender.target}")
                return

    def _give_up(self, waiting: Waiting, why: str) -> None:
        self.failed += 1
        message, source = waiting.message, waiting.source
        what = f"{message.get('phase', message['type'])} of {message.get('label', source)}"
        log.error("output %s: gave up %s id=%s: %s", self.name, what, message.get("event_id"), why)
        self._sender.dead(source, message, why)

    def _note(self, state: State, detail: str) -> None:
        if (state, detail) == (self.state, self.detail):
            return
        changed, self.state, self.detail = state != self.state, state, detail
        if changed:
            log.log(
                logging.INFO if state in ("ok", "stopped") else logging.WARNING,
                "output %s: %s: %s",
                self.name,
                state,
                detail,
            )


def _pause_s(tries: int) -> float:
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries - 1))
    return longest * random.uniform(0.5, 1.0)
