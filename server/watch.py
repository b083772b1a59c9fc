"""What the server's own sources say, for anybody who watches: WS /v1/events, and GET /v1/events/stream (SSE).

`?source=` and `?label=` choose. What a watcher sends is ignored. One too slow even for its events gets `lagged` and is
closed with 4431, cut where it takes not even that. Knows the hub's queues; nothing of what is in a message.
"""

import asyncio
import contextlib
from collections.abc import Awaitable

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from starlette.types import Receive, Scope, Send

from server import transport
from server.errors import Close
from server.hub import Hub
from server.subscriber import Subscriber

router = APIRouter()

CLOSE_TIMEOUT_S = 2.0  # for a reader that does not even take the close
COMMENT_S = 15.0  # an idle stream says that it is alive, or proxies and browsers would end it
RETRY_MS = 2000  # after which a browser comes back


@router.websocket("/v1/events")
async def events(websocket: WebSocket, source: str | None = None, label: str | None = None) -> None:
    hub: Hub = websocket.app.state.service.hub
    await websocket.accept()
    subscriber = hub.subscribe(source, label)
    try:
        await _first(_send(websocket, subscriber), _until_disconnect(websocket), subscriber.too_slow.wait())
        if subscriber.too_slow.is_set():
            await _dismiss(websocket, subscriber)
    finally:
        hub.unsubscribe(subscriber)


async def _first(*waiting: Awaitable[object]) -> None:
    """Until one of them is done."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _send(websocket: WebSocket, subscriber: Subscriber) -> None:
    """Until the reader is gone, or the server stops and all was sent."""
    with contextlib.suppress(WebSocketDisconnect):
        while (published := await subscriber.next()) is not None:
            if isinstance(published.data, bytes):
                await websocket.send_bytes(published.data)
            else:
                await websocket.send_text(published.data)
        await websocket.close(Close.SHUTDOWN)


async def _until_disconnect(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _dismiss(websocket: WebSocket, subscriber: Subscriber) -> None:
    transport.cut_after(websocket.scope, CLOSE_TIMEOUT_S)
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):  # it has gone, or is cut
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await websocket.send_text(subscriber.lagged)
            await websocket.close(Close.READER_TOO_SLOW, "reader too slow")


class EventStream(Response):
    """Messages as Server-Sent Events: `id` is the number on the bus, telemetry has none."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, source: str | None, label: str | None, after: int | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-store, no-transform"
        self.headers["Connection"] = "close"  # a stream that is cut off may end with its connection
        self.headers["X-Accel-Buffering"] = "no"  # nginx would wait for a full buffer
        self._hub = hub
        self._asked = (source, label, after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscriber = self._hub.subscribe(*self._asked)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _first(_tell(send, subscriber), _until_gone(receive), subscriber.too_slow.wait())
            if subscriber.too_slow.is_set():
                transport.cut_after(scope, CLOSE_TIMEOUT_S)
                await send(_body(f"data: {subscriber.lagged}\n\n"))
                await send(_body("", more=False))
        finally:
            self._hub.unsubscribe(subscriber)


@router.get("/v1/events/stream", response_class=EventStream, status_code=200)
async def stream(request: Request, source: str | None = None, label: str | None = None) -> Response:
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 20 else None
    return EventStream(request.app.state.service.hub, source, label, after)


async def _tell(send: Send, subscriber: Subscriber) -> None:
    await send(_body(f"retry: {RETRY_MS}\n\n"))
    while True:
        try:
            async with asyncio.timeout(COMMENT_S):
                published = await subscriber.next()
        except TimeoutError:
            await send(_body(": alive\n\n"))
            continue
        if published is None:
            await send(_body("", more=False))
            return
        if isinstance(published.data, str):
            number = "" if published.number is None else f"id: {published.number}\n"
            await send(_body(f"{number}data: {published.data}\n\n"))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(text: str, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
