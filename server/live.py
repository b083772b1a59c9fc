"""WS /v1/stream: one socket. Moves messages between the socket and a conversation's queues; knows no audio.

The conversation outlives a socket that is lost; a new socket whose first message is a `start` with `resume` goes on
with it. Reader and writer are tasks of their own, so that a client that does not read is still heard, and the other way
round.
"""

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketState

from server import commands as c
from server.errors import Close, Refusal
from server.outbox import encoded
from server.service import Service
from server.session import Session
from server.sessions import Sessions
from server.transport import cut_after

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
        await websocket.send_denial_response(refused(refusal))
        return
    await Connection(websocket, service.sessions, service.settings.reader_s).serve()


class Connection:
    """One socket, joined to one conversation at a time: first to a new one, then perhaps to one that waited."""

    def __init__(self, websocket: WebSocket, sessions: Sessions, reader_s: float) -> None:
        self._websocket = websocket
        self._reader_s = reader_s
        self._sessions = sessions
        self._cut: asyncio.Future[tuple[Close, str]] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._conversation = sessions.enter(self)

    def cut(self, close: Close, reason: str) -> None:
        """Close, now: nothing more is read from here, and nothing sent."""
        for task in self._tasks:
            task.cancel()
        if not self._cut.done():
            self._cut.set_result((close, reason))

    async def serve(self) -> None:
        for_good = False
        try:
            await self._websocket.accept()
            session = self._conversation.session
            log.info("connect session=%s peer=%s sessions=%d", session.id, _peer(self._websocket), len(self._sessions))
            self._conversation.outbox.put(encoded(session.ready()))
            writing = asyncio.create_task(self._write())
            reading = asyncio.create_task(self._read())
            self._tasks = {writing, reading}
            ends: list[asyncio.Future[Any]] = [writing, reading, self._cut]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._cut.done():
                await self._close(*self._cut.result())
            elif reading.done():
                for_good = reading.result()
            else:
                writing.result()
        except WebSocketDisconnect:
            pass  # lost: the session waits
        except TimeoutError:
            log.warning("reader too slow session=%s", self._conversation.session.id)
            await self._close(Close.READER_TOO_SLOW, f"took nothing for {self._reader_s:g} s")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)  # cancelled, or failed with the socket
            self._sessions.leave(self, self._conversation, for_good=for_good)

    async def _read(self) -> bool:
        """Everything that comes, to the inbox. Returns, at the end, whether the client left on purpose."""
        first = True
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                # uvicorn says 1005 of a lost connection too, but then without a reason
                return "reason" in message and message["code"] in WANTED_CLOSES
            data = message.get("bytes")
            if data is None:
                data = message["text"]
            start = c.resuming(data) if first and isinstance(data, str) else None
            first = False
            if start is None:
                await self._conversation.inbox.put(data)
            else:
                self._resume(start)

    def _resume(self, start: c.Start) -> None:
        instead = self._conversation
        try:
            self._conversation = self._sessions.resume(start, instead, self)
        except Refusal as refusal:
            instead.inbox.order(partial(Session.fail, refusal=refusal))

    async def _write(self) -> None:
        """Everything that is told, to the socket; then the close. Raises TimeoutError if nobody takes it."""
        while True:
            outbox = self._conversation.outbox
            data = await outbox.next()
            async with asyncio.timeout(self._reader_s):
                if isinstance(data, bytes):
                    await self._websocket.send_bytes(data)
                elif data is not None:
                    await self._websocket.send_text(data)
                elif outbox is self._conversation.outbox:
                    await self._websocket.close(self._conversation.session.closed or Close.INTERNAL)
                    return

    async def _close(self, close: Close, reason: str) -> None:
        cut_after(self._websocket.scope, CLOSE_TIMEOUT_S)
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return  # the writer was about to
        with contextlib.suppress(TimeoutError, WebSocketDisconnect):  # a reader that takes nothing takes no close
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._websocket.close(close, reason)


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "unknown"


def refused(refusal: Refusal) -> JSONResponse:
    """A refusal as a REST answer."""
    headers = {"Retry-After": "5"} if refusal.handling.http == 503 else None
    return JSONResponse(refusal.body(), refusal.handling.http, headers)
