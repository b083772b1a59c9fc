"""A small asyncio client of `WS /v1/stream`: audio in, messages out. Knows the protocol's order of messages; nothing
of audio files, devices or terminals.

    async with connect("ws://127.0.0.1:8000", sample_rate=48_000) as stream:
        await stream.send(pcm)                # interleaved samples, 20 to 100 ms at a time
        async for message in stream: ...      # another task: dicts, and bytes for `frame`, until the summary
        summary = await stream.stop()         # the last events stay in the iterator
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

Message = dict[str, Any]

PROTOCOL = 1
PATH = "/v1/stream"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class StreamError(Exception):
    """The service refused or ended the session: its code, its sentence, and whether trying again may help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class Stream:
    """One started session. `ready` and `started` are the server's messages; `summary` comes with its end."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._receiving = asyncio.Lock()  # the iterator and `stop` may wait for messages at the same time
        self._unread: deque[Message | bytes] = deque()  # received by `stop`, for the iterator
        self.ready: Message = {}
        self.started: Message = {}
        self.summary: Message | None = None
        self._error: StreamError | None = None  # fatal: the server closes
        self._ended = False  # the server closed after its summary

    async def send(self, pcm: bytes) -> None:
        """Send interleaved samples in the session's encoding. Waits when the server does not keep up."""
        try:
            await self._socket.send(pcm)
        except ConnectionClosed as error:
            raise await self._why(error) from error

    async def command(self, type: str, **fields: Any) -> None:
        """Send a JSON message: configure, flush, gap, keepalive, ack."""
        try:
            await self._socket.send(json.dumps({"type": type, **fields}))
        except ConnectionClosed as error:
            raise await self._why(error) from error

    async def stop(self) -> Message:
        """End the stream; the server's `summary`. Messages that come before the end are left for the iterator."""
        await self.command("stop")
        await self._to_the_end()
        assert self.summary is not None
        return self.summary

    async def __aiter__(self) -> AsyncIterator[Message | bytes]:
        """Every message up to the end: JSON ones as dicts, `frame` as bytes. Then StreamError if it was an error."""
        while True:
            async with self._receiving:
                message = self._unread.popleft() if self._unread else await self._receive()
            if message is None:
                return
            yield message

    async def _receive(self) -> Message | bytes | None:
        """The next message, or None after the end."""
        if self._ended:
            return None
        try:
            data = await self._socket.recv()
        except ConnectionClosed as error:
            if self._error is not None:
                raise self._error from error
            if self.summary is None:
                raise _closed(error) from error
            self._ended = True
            return None
        if isinstance(data, bytes):
            return data
        message: Message = json.loads(data)
        if message["type"] == "error" and message["fatal"]:
            self._error = StreamError(message["code"], message["message"], retryable=message["retryable"])
        if message["type"] == "summary":
            self.summary = message
        return message

    async def _to_the_end(self) -> None:
        """Receive until the server has closed; what comes is kept for the iterator."""
        while not self._ended:
            async with self._receiving:
                if (message := await self._receive()) is not None:
                    self._unread.append(message)

    async def _expect(self, type: str) -> Message:
        """The next message, which must be `type`."""
        while (message := await self._receive()) is not None:
            if isinstance(message, dict) and message["type"] == type:
                return message
            if self._error is None:
                break
        raise StreamError("bad_message", f"the server sent something else where {type!r} was expected")

    async def _why(self, closed: ConnectionClosed) -> StreamError:
        """The error that the server sent before it closed, if it is still unread."""
        try:
            await self._to_the_end()
        except StreamError as error:
            return error
        return _closed(closed)


@asynccontextmanager
async def connect(
    url: str,
    *,
    sample_rate: int,
    encoding: str = "pcm_f32le",
    channels: int = 1,
    source: Message | None = None,
    detect: Message | None = None,
    emit: Message | None = None,
    token: str | None = None,
) -> AsyncIterator[Stream]:
    """Open a session at `url`, the service's address (ws:, wss:, http: or https:, with or without `/v1/stream`).

    `source`, `detect` and `emit` are those of the protocol's `start`; `token` is what a service that asks for one
    wants. Raises StreamError.
    """
    address = stream_address(url)
    start: Message = {
        "protocol": PROTOCOL,
        "audio": {"encoding": encoding, "sample_rate": sample_rate, "channels": channels},
    }
    given = {"source": source, "detect": detect, "emit": emit}
    start |= {name: value for name, value in given.items() if value is not None}
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        socket = await connect_websocket(address, max_size=MAX_MESSAGE_BYTES, additional_headers=headers)
    except InvalidStatus as error:
        raise _refused(address, error) from error
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise StreamError(
            "unreachable", f"no Spiccato service answers at {address}: {error}", retryable=True
        ) from error
    async with socket:
        stream = Stream(socket)
        stream.ready = await stream._expect("ready")
        await stream.command("start", **start)
        stream.started = await stream._expect("started")
        yield stream


def stream_address(url: str) -> str:
    """`http://host:8000/` or `ws://host:8000/v1/stream` -> `ws://host:8000/v1/stream`."""
    scheme, found, rest = url.partition("://")
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if not found or scheme not in schemes:
        raise StreamError("unreachable", f"{url!r} is not an address: write ws://HOST:PORT or wss://HOST:PORT")
    rest = rest.rstrip("/")
    return f"{schemes[scheme]}://{rest if rest.endswith(PATH) else rest + PATH}"


def _refused(address: str, error: InvalidStatus) -> StreamError:
    """The service's own sentence, from the answer that it gave in place of the connection."""
    try:
        told = json.loads(error.response.body or b"")["error"]
        return StreamError(told["code"], f"{address}: {told['message']}", retryable=told["retryable"])
    except (ValueError, KeyError, TypeError):  # not an answer of this service: a proxy's, or another program's
        status = error.response.status_code
        return StreamError("unreachable", f"no Spiccato service answers at {address}: HTTP {status}", retryable=True)


def _closed(error: ConnectionClosed) -> StreamError:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
    return StreamError(f"closed_{code}", f"the server closed the connection ({code} {reason})".replace(" )", ")"))
