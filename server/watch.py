"""WS /v1/events: what the server's own sources say, for anybody who watches. Moves messages from the hub to a socket.

`?source=` chooses one source; only then come its binary `frame` messages, which do not name where they are from.
What the client sends is ignored. A reader too slow even for its events is closed with 4431.
"""

import asyncio
import contextlib

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from server.errors import Close
from server.hub import Hub, Subscriber

router = APIRouter()

CLOSE_TIMEOUT_S = 2.0  # for a reader that does not even take the close


@router.websocket("/v1/events")
async def events(websocket: WebSocket, source: str | None = None) -> None:
    hub: Hub = websocket.app.state.service.hub
    await websocket.accept()
    subscriber = hub.subscribe(source)
    tasks = {
        asyncio.create_task(_send(websocket, subscriber)),
        asyncio.create_task(_until_disconnect(websocket)),
        asyncio.create_task(subscriber.too_slow.wait()),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if subscriber.too_slow.is_set():
            with contextlib.suppress(TimeoutError, WebSocketDisconnect):  # it may be gone, or take nothing any more
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await websocket.close(Close.READER_TOO_SLOW, "reader too slow")
    finally:
        hub.unsubscribe(subscriber)
        for task in tasks:
            task.cancel()


async def _send(websocket: WebSocket, subscriber: Subscriber) -> None:
    """Until the reader is gone, or the server stops and all was sent."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            message = await subscriber.next()
            if message is None:
                await websocket.close(Close.SHUTDOWN)
                return
            if isinstance(message, bytes):
                await websocket.send_bytes(message)
            else:
                await websocket.send_text(message)


async def _until_disconnect(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
