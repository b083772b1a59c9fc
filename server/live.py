"""WS /v1/stream: one socket. Moves messages between the socket and a conversation's queues; knows no audio.

The conversation outlives a socket that is lost; a new socket whose first message is a `start` with `resume` goes on
with it. No task moves a message: what comes is put into the inbox as it comes, what is told is written as it is told.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic_core import to_json
from starlette.websockets import WebSocketState

from server import commands as c
from server import elsewhere
from server import protocol as p
from server.errors import Close, Code, Refusal
from server.outbox import encoded
from server.service import Service
from server.session import Session
from server.sessions import Sessions
from server.transport import SOCKET, cut_after
from server.transport import WebSocket as Socket

log = logging.getLogger("spiccato.live")
router = APIRouter()

CLOSE_TIMEOUT_S = 2.0  # for a reader that does not even take the close
WANTED_CLOSES = frozenset({1000, 1001, 1005})  # of a client that leaves on purpose: done, page left, no code


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    service: Service = websocket.app.state.service
    try:
        service.check_ready()
        service.sessions.admit()
    except Refusal as refusal:
        log.info("refused peer=%s code=%s", _peer(websocket), refusal.code)
        service.metrics.refused[refusal.code] += 1
        await _refuse(websocket, refusal)
        return
    await Connection(websocket, service.sessions, service.settings.reader_s).serve()


class Connection:
    """One socket, joined to one conversation at a time: first to a new one, then perhaps to one that waited."""

    def __init__(self, websocket: WebSocket, sessions: Sessions, reader_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._websocket = websocket
        self._socket: Socket = websocket.scope[SOCKET]
        self._reader_s = reader_s
        self._sessions = sessions
        self._end: asyncio.Future[tuple[int, str]] = loop.create_future()  # how the server closes
        self._waiting: deque[tuple[str | bytes, float]] = deque()  # what came and found no room in the inbox
        self._let_in = asyncio.Event()  # none of them is left
        self._let_in.set()
        self._take: Callable[[bytes, float], bool] | None = None  # is offered what comes as bytes first
        self._open = False  # the handshake is done
        self._first = True  # nothing came yet
        self._patience: asyncio.TimerHandle | None = None  # with a reader that takes nothing
        self._conversation = sessions.enter(self)
        self._other: elsewhere.Session | None = None  # it is another worker's
        self._passing: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None  # the session may be another process's

    async def serve(self) -> None:
        for_good = False
        reading = asyncio.create_task(self._until_gone())
        try:
            await self._websocket.accept()
            self._open = True
            session = self._conversation.session
            log.info("connect session=%s peer=%s sessions=%d", session.id, _peer(self._websocket), len(self._sessions))
            self._conversation.outbox.put(encoded(session.ready()))
            self._socket.take(self)
            ends: list[asyncio.Future[Any]] = [reading, self._end]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                await self._close(*self._end.result())
            else:
                for_good = reading.result()
        except WebSocketDisconnect:
            pass  # lost: the session waits
        finally:
            ours = [task for task in (reading, self._passing, self._fetching) if task is not None]
            for task in ours:
                task.cancel()
            self._trust()
            await asyncio.gather(*ours, return_exceptions=True)  # cancelled
            self._sessions.leave(self, self._conversation, for_good=for_good)

    # --- what comes ---

    def came(self, data: str | bytes) -> None:
        """A message of the client."""
        if self._end.done():
            return
        arrived = time.monotonic()
        if self._first:
            self._first = False
            if isinstance(data, str) and (start := c.resuming(data)) is not None:
                if (worker := self._sessions.elsewhere(start)) is not None:
                    self._pass_on(worker, data)
                elif self._sessions.failover is not None:
                    self._fetching = asyncio.create_task(self._fetch(start))
                else:
                    self._resume(start)
                return
        if self._other is not None:
            self._other.came(data)
        elif self._waiting or self._fetching is not None or not self._conversation.came(data, arrived):
            self._waiting.append((data, arrived))
            self._let_in.clear()
            self._socket.hold(True)
            self._place()

    def let_in(self) -> None:
        if self._fetching is not None:
            return
        waiting = self._waiting
        while waiting and self._conversation.came(*waiting[0]):
            waiting.popleft()
        if not waiting and not self._let_in.is_set():
            self._let_in.set()
            self._socket.hold(False)
            self._place()

    def seat(self, take: Callable[[bytes, float], bool] | None) -> None:
        self._take = take
        self._place()

    def _place(self) -> None:
        """Nothing may pass what waits, and after the end nothing comes."""
        self._socket.ask_first(None if self._waiting or self._end.done() else self._take)

    async def _until_gone(self) -> bool:
        """Returns whether the client left on purpose, once all that it had sent is in the inbox."""
        message = await self._websocket.receive()
        await self._let_in.wait()
        # uvicorn says 1005 of a lost connection too, but then without a reason
        return "reason" in message and message["code"] in WANTED_CLOSES

    def _resume(self, start: c.Start) -> None:
        instead = self._conversation
        try:
            self._conversation = self._sessions.resume(start, instead, self)
        except Refusal as refusal:
            instead.inbox.order(partial(Session.fail, refusal=refusal))
        self.flush()

    async def _fetch(self, start: c.Start) -> None:
        refusal: Refusal | None = None
        try:
            await self._sessions.fetch(start)
        except Refusal as error:
            refusal = error
        except Exception:
            log.exception("a session could not be fetched, by a fault of ours")
            refusal = Refusal(Code.INTERNAL, "the server failed on this message; the log says why")
        if refusal is None:
            self._resume(start)
        else:
            self._conversation.inbox.order(partial(Session.fail, refusal=refusal))
        self._fetching = None
        self.let_in()

    def _pass_on(self, worker: Path, start: str) -> None:
        """The session to resume is another worker's."""
        self._sessions.give_up(self._conversation)
        self._other = elsewhere.Session(self._socket.tell, self._socket.hold)
        self._other.came(start)

        async def passing(other: elsewhere.Session) -> None:
            self._finish(*await other.run(worker))

        self._passing = asyncio.create_task(passing(self._other))

    # --- what goes ---

    def flush(self) -> None:
        """Everything that is told, to the socket, as far as the network takes it; then the close."""
        if not self._open or self._end.done():
            return
        outbox, socket = self._conversation.outbox, self._socket
        while takes := socket.takes:
            if (data := outbox.take()) is None:
                break
            socket.tell(data)
        if takes:
            self._trust()
            if outbox.over:
                self._finish(self._conversation.session.closed or Close.INTERNAL)
        elif self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(self._reader_s, self._too_slow)

    @property
    def takes(self) -> bool:
        return self._open and not self._end.done() and self._socket.takes

    def tell(self, text: str) -> None:
        self._socket.tell(text)

    def cut(self, close: Close, reason: str) -> None:
        """Close, now: nothing more is read from here, and nothing sent."""
        self._waiting.clear()
        self._finish(close, reason)

    def _too_slow(self) -> None:
        self._patience = None
        log.warning("reader too slow session=%s", self._conversation.session.id)
        self._finish(Close.READER_TOO_SLOW, f"took nothing for {self._reader_s:g} s")

    def _trust(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _finish(self, close: int, reason: str = "") -> None:
        if not self._end.done():
            self._end.set_result((close, reason))
            self._place()

    async def _close(self, close: int, reason: str) -> None:
        if close is self._conversation.session.closed:  # all was said: what the network holds may take its time
            await self._websocket.close(close)
            return
        cut_after(self._websocket.scope, CLOSE_TIMEOUT_S)
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        with contextlib.suppress(TimeoutError, WebSocketDisconnect):  # a reader that takes nothing takes no close
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._websocket.close(close, reason)


async def _refuse(websocket: WebSocket, refusal: Refusal) -> None:
    """In place of the upgrade; but a page cannot read that answer, so a browser (it has an Origin) is told after it."""
    if "origin" not in websocket.headers:
        await websocket.send_denial_response(refused(refusal))
        return
    retryable = refusal.handling.retryable
    error = p.Error(session="", seq=0, code=refusal.code, message=refusal.message, retryable=retryable, fatal=True)
    cut_after(websocket.scope, CLOSE_TIMEOUT_S)
    with contextlib.suppress(WebSocketDisconnect):  # it has gone
        await websocket.accept()
        await websocket.send_text(to_json(p.dumped(error)).decode())
        await websocket.close(Close.TRY_AGAIN, refusal.code)


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "unknown"


def refused(refusal: Refusal) -> JSONResponse:
    """A refusal as a REST answer."""
    headers = {"Retry-After": "5"} if refusal.handling.http == 503 else None
    return JSONResponse(refusal.body(), refusal.handling.http, headers)
