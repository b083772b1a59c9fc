"""What another worker of this service has to answer: passed on to it over its own socket, in full, as it comes.

Knows HTTP, WebSockets and where the other workers are; nothing of what is asked. Who asks was let in by this worker,
which says so with a role: the socket is for the workers alone.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from server.auth import refuse
from server.below import routed
from server.errors import Close, Code, Refusal
from server.hub import Hub, Message
from server.place import FIRST, TRUSTED, Place
from server.roles import Role

log = logging.getLogger("spiccato.workers")

ROLE = "x-spiccato-role"
HEARD = "/v1/internal/heard"  # what other workers' sessions say, for the first one's history and outputs
HERE = frozenset({"/v1/stream", "/v1/classify", "/v1/info", "/v1/schema"})  # below /v1, what each worker answers itself
NOT_PASSED = frozenset({b"authorization", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"})
NOT_RETURNED = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"x-request-id"})
WAITING = 256  # messages of a client that wait for the other worker, above which its socket is not read
HEARD_WAITING = 10_000  # messages for the first worker; beyond it the oldest are lost, with a line in the log
AGAIN_S = 1.0  # after the first worker was not there
LOST = Refusal(Code.DRAINING, "the worker that has this is being started again: try again in a few seconds")


class Trusted:
    """The app on a worker's own socket: whoever comes was let in by another worker, with a role."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == HEARD:
            await self._hear(receive, send)
        elif scope["type"] in ("http", "websocket"):
            role = dict(scope["headers"]).get(ROLE.encode(), Role.ADMIN.encode()).decode()
            await self._app({**scope, TRUSTED: Role(role)}, receive, send)

    async def _hear(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            source, said = json.loads(message["text"])
            self._hub.tell(source, said)


class Forward:
    """ASGI middleware of every worker but the first: what only that one has is asked of it."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = routed(scope) if scope["type"] in ("http", "websocket") else ""
        if not path.startswith("/v1/") or path in HERE or TRUSTED in scope:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(path, scope, receive, send)
        else:
            await self._websocket(path, scope, receive, send)

    async def _http(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name not in NOT_PASSED]
        headers.append((ROLE.encode(), scope["spiccato.role"].encode()))
        query = scope["query_string"].decode()
        url = f"http://localhost{path}" + (f"?{query}" if query else "")
        gone = asyncio.Event()
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(self._place.socket_of(FIRST)))  # no TLS in a file
        try:
            async with httpx.AsyncClient(transport=transport, timeout=None) as http:
                request = http.build_request(scope["method"], url, headers=headers, content=_body(receive, gone))
                answer = await http.send(request, stream=True)
                try:
                    await self._answer(answer, receive, send, gone)
                finally:
                    await answer.aclose()
        except httpx.HTTPError as error:
            log.warning("the first worker did not answer path=%s error=%r", path, str(error))
            await JSONResponse(LOST.body(), LOST.handling.http, {"Retry-After": "1"})(scope, receive, send)

    async def _answer(self, answer: httpx.Response, receive: Receive, send: Send, gone: asyncio.Event) -> None:
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in NOT_RETURNED]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        watching = asyncio.create_task(_until_gone(receive, gone))
        telling = asyncio.create_task(_tell(answer, send))
        try:
            await asyncio.wait({watching, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
        finally:
            watching.cancel()
            telling.cancel()
            await asyncio.gather(watching, telling, return_exceptions=True)

    async def _websocket(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        query = scope["query_string"].decode()
        try:
            other = await dialled(self._place.socket_of(FIRST), f"{path}?{query}", scope["spiccato.role"])
        except (OSError, InvalidHandshake):
            await refuse(LOST, scope, receive, send)
            return
        await send({"type": "websocket.accept"})
        going = asyncio.create_task(_until_disconnect(receive, other))
        try:
            with contextlib.suppress(ConnectionClosed):  # with whatever code: it is passed on
                while True:
                    message = await other.recv()
                    kind = "text" if isinstance(message, str) else "bytes"
                    await send({"type": "websocket.send", kind: message})
            code = other.close_code if other.close_code not in (None, 1006) else Close.SHUTDOWN
            if not going.done():
                await send({"type": "websocket.close", "code": code, "reason": other.close_reason or ""})
        finally:
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            await other.close()


class Session:
    """A connection's session is another worker's: what comes goes there, what that says comes here."""

    def __init__(self, tell: Callable[[str | bytes], None], hold: Callable[[bool], None]) -> None:
        self._tell = tell
        self._hold = hold
        self._waiting: asyncio.Queue[str | bytes] = asyncio.Queue()

    def came(self, data: str | bytes) -> None:
        self._waiting.put_nowait(data)
        if self._waiting.qsize() >= WAITING:
            self._hold(True)

    async def run(self, path: Any) -> tuple[int, str]:
        """Until the other worker closes; how it did. Cancelled, it leaves as a connection that was lost."""
        try:
            other = await dialled(path, "/v1/stream", Role.PRODUCE)
        except (OSError, InvalidHandshake):
            return Close.RESUME_GONE, "the worker that had this session is gone, and the session with it"
        passing = asyncio.create_task(self._pass_on(other))
        try:
            with contextlib.suppress(ConnectionClosed):  # with whatever code: it is passed on
                await other.recv()  # `ready` of a session that is given up for the waiting one: the client has had one
                while True:
                    self._tell(await other.recv())
            return other.close_code or Close.INTERNAL, other.close_reason or ""
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            other.transport.abort()

    async def _pass_on(self, other: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # `run` tells how
            while True:
                await other.send(await self._waiting.get())
                if self._waiting.empty():
                    self._hold(False)


async def tell_first(place: Place, hub: Hub) -> None:
    """For ever: what this worker's sessions say is told to the first one."""
    waiting: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()

    def heard(source: str, message: Message) -> None:
        if waiting.qsize() >= HEARD_WAITING:
            log.warning("lost for the history: message=%s", waiting.get_nowait()[1]["type"])
        waiting.put_nowait((source, message))

    hub.tap(heard)
    pending: tuple[str, Message] | None = None
    while True:
        try:
            first = await dialled(place.socket_of(FIRST), HEARD, Role.ADMIN)
            while True:
                pending = pending or await waiting.get()
                await first.send(json.dumps(pending))
                pending = None
        except (OSError, InvalidHandshake, ConnectionClosed):
            await asyncio.sleep(AGAIN_S)


async def dialled(path: Any, address: str, role: Role) -> ClientConnection:
    uri = f"ws://localhost{address}"
    return await unix_connect(str(path), uri=uri, max_size=None, compression=None, additional_headers={ROLE: role})


async def _body(receive: Receive, gone: asyncio.Event) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            gone.set()
            return
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def _tell(answer: httpx.Response, send: Send) -> None:
    async for part in answer.aiter_raw():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, gone: asyncio.Event) -> None:
    while not gone.is_set() and (await receive())["type"] != "http.disconnect":
        pass


async def _until_disconnect(receive: Receive, other: ClientConnection) -> None:
    """What a watcher sends is nobody's; its end is the end."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
    await other.close()
