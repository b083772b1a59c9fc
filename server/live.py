"""WS /v1/stream: one session on one socket. Moves messages between socket, inbox, session and back; knows no audio.

The event loop only moves bytes: each message is one hand-off to the engine's threads.
"""

import asyncio
import logging
import time

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic_core import to_json

from server.errors import Code, Refusal
from server.inbox import Inbox
from server.service import Service
from server.session import Out, Session

log = logging.getLogger("spiccato.live")
router = APIRouter()

TICK_S = 0.25  # how often time passes for a session: heartbeats, stalls, idling


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    service: Service = websocket.app.state.service
    try:
        service.admit()
    except Refusal as refusal:
        log.info("refused peer=%s code=%s", _peer(websocket), refusal.code)
        await websocket.send_denial_response(refused(refusal))
        return
    inbox = Inbox(service.settings.max_chunk_bytes)
    service.enter(inbox)
    reading: asyncio.Task[None] | None = None
    try:
        session = Session(service.model, service.limits)
        await websocket.accept()
        log.info("connect session=%s peer=%s sessions=%d", session.id, _peer(websocket), len(service.sessions))
        reading = asyncio.create_task(_read(websocket, inbox))
        await _converse(websocket, service, session, inbox)
        summary = session.summary()
        log.info(
            "disconnect session=%s code=%s reason=%s audio_ms=%.0f dropped_ms=%.0f events=%d wall_s=%.1f",
            session.id,
            session.closed,
            inbox.closed or "ended",
            summary.audio_ms,
            summary.dropped_ms,
            summary.events,
            summary.wall_s,
        )
    finally:
        if reading is not None:
            reading.cancel()
        service.leave(inbox)


async def _read(websocket: WebSocket, inbox: Inbox) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            inbox.close("disconnect")
            return
        data = message.get("bytes")
        await inbox.put(message["text"] if data is None else data)


async def _converse(websocket: WebSocket, service: Service, session: Session, inbox: Inbox) -> None:
    loop = asyncio.get_running_loop()
    ticked = time.monotonic()
    try:
        await _send(websocket, session.ready())
        while session.closed is None:
            item = await inbox.get(TICK_S)
            if item is not None:
                await _send(websocket, await loop.run_in_executor(service.pool, _hear, session, *item))
                inbox.limit_bytes = session.bytes_of(service.settings.queue_ms) or inbox.limit_bytes
            elif inbox.closed is not None:
                await _send(websocket, await loop.run_in_executor(service.pool, session.end, inbox.closed))
            if (now := time.monotonic()) - ticked >= TICK_S:
                ticked = now
                await _send(websocket, session.tick(now, inbox.audio_bytes))
        await websocket.close(session.closed)
    except WebSocketDisconnect:
        inbox.close("disconnect")
        await loop.run_in_executor(service.pool, session.end, "disconnect")


def _hear(session: Session, message: str | bytes, arrived: float) -> list[Out]:
    try:
        return session.text(message) if isinstance(message, str) else session.audio(message, arrived)
    except Exception:
        log.exception("failed session=%s", session.id)
        return session.fail(Refusal(Code.INTERNAL, "the server failed on this message; the log says why"))


async def _send(websocket: WebSocket, outs: list[Out]) -> None:
    for out in outs:
        if isinstance(out, bytes):
            await websocket.send_bytes(out)
        else:
            await websocket.send_text(to_json(out).decode())


def _peer(websocket: WebSocket) -> str:
    return f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "unknown"


def refused(refusal: Refusal) -> JSONResponse:
    """A refusal as a REST answer."""
    headers = {"Retry-After": "5"} if refusal.handling.http == 503 else None
    return JSONResponse(refusal.body(), refusal.handling.http, headers)
