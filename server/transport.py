"""uvicorn's connections: an end that needs nobody's consent, and a short way for messages. Knows not what is sent.

Closing a connection waits until what was written is taken. A reader that takes nothing would keep its socket and buffer
for ever; so what is behind a request's scope can be cut: `cut_after`. A client that connects and never says what it
wants is cut off too.
"""

import asyncio
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this machine
    from websockets.utils import apply_mask

KEY = "spiccato.abort"
SOCKET = "spiccato.socket"  # the WebSocket below, behind the scope of its request
HEAD_S = 20.0  # from connecting, or from a request's first byte, to the end of its headers

# of a frame, RFC 6455, 5.2
FIN, MASKED = 0x80, 0x80
TEXT, BINARY = FIN | 0x1, FIN | 0x2
WHOLE = frozenset({0x1, 0x2, 0x8, 0x9, 0xA})  # opcodes of frames that continue no other
HEAD = 6  # bytes of the shortest head with a mask
SHORT, LONG = struct.Struct("!BBH"), struct.Struct("!BBQ")
SMALL = 65_536  # bytes: a larger frame is not put together here


class Http(HttpToolsProtocol):
    _patience: asyncio.TimerHandle | None = None  # until the headers must be there

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(Scope, self.scope)[KEY] = self.transport.abort
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        self._have_headers()
        super().on_headers_complete()

    def _wait_for_headers(self) -> None:
        self._have_headers()
        self._patience = self.loop.call_later(HEAD_S, self.transport.abort)

    def _have_headers(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


Quick = Callable[[bytes, float], bool]  # a binary message and when it came (monotonic): does it want it?


class Taker(Protocol):
    """Who gets a socket's messages directly, in place of the ASGI application."""

    def came(self, data: str | bytes) -> None:
        """A whole message."""

    def flush(self) -> None:
        """What was written has gone; there is room for more."""


class WebSocket(WebSocketsSansIOProtocol):
    """After `take`, messages go to one who takes them, without a task, a queue and a dict for each.

    From then on a usual binary frame (whole, masked, up to SMALL bytes) is read here, which costs a tenth of the
    library's parser; every other frame goes to the library as it came.
    """

    # slots lie beside each other in memory: of hundreds of sockets none is in a cache when its turn comes
    __slots__ = ("_begin", "_like", "_owed", "_quick", "_rest", "_size", "_taker", "_usual")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taker: Taker | None = None
        self._quick: Quick | None = None
        self._usual = True  # no frame came that is split or strange
        self._rest = b""  # of a frame that is not complete
        self._owed = 0  # bytes of a large frame that go to the library as they come
        self._like = b""  # how the last frame began, up to its mask: the next one often does too
        self._begin = 0  # where its payload did
        self._size = 0  # its bytes; 0: what comes next is to be looked at

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # without one the handshake was refused
            cast(Scope, self.scope)[KEY] = self.transport.abort  # the app begins to run after this
            cast(Scope, self.scope)[SOCKET] = self

    def take(self, taker: Taker) -> None:
        """From now on `taker` gets what comes, first what waits; the application hears of the end only."""
        self._taker = taker
        self.hold(False)
        ends = []
        while not self.queue.empty():
            event = cast(dict[str, Any], self.queue.get_nowait())
            if event["type"] == "websocket.receive":
                taker.came(event["text"] if event.get("bytes") is None else event["bytes"])
            else:
                ends.append(event)
        for event in ends:
            self.queue.put_nowait(cast(Any, event))

    def ask_first(self, quick: Quick | None) -> None:
        """Binary messages go to `quick`, and to the taker only where that does not want them. None: to the taker."""
        self._quick = quick

    def hold(self, held: bool) -> None:
        """Read no more from the network, or go on; what was read already still comes."""
        if held != self.read_paused and not self.transport.is_closing():
            self.read_paused = held
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    @property
    def takes(self) -> bool:
        """The network takes more at once, or is closed and never will."""
        return self.writable.is_set()

    def tell(self, data: str | bytes) -> None:
        """Send a message, at once; one after the end is dropped."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        opcode, data = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        size = len(data)
        if size < 126:
            head = bytes((opcode, size))
        elif size < 65_536:
            head = SHORT.pack(opcode, 126, size)
        else:
            head = LONG.pack(opcode, 127, size)
        self.transport.write(head + data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taker is not None:
            self._taker.flush()

    def data_received(self, data: bytes) -> None:
        if len(data) == self._size and data.startswith(self._like):  # one frame like the last one
            begin, quick = self._begin, self._quick
            data = apply_mask(data[begin:], data[begin - 4 : begin])
            if quick is None or not quick(data, monotonic()):
                self._taker.came(data)  # type: ignore[union-attr]
            return
        self._size = 0
        if self._taker is None or not self._usual:
            super().data_received(data)
            return
        if self._owed:
            whole, data = data[: self._owed], data[self._owed :]
            self._owed -= len(whole)
            super().data_received(whole)
        if self._rest:
            data = self._rest + data
        at = self._frames(data)
        self._rest = data[at:] if self._usual else b""

    def _frames(self, data: bytes) -> int:
        """Take the frames that `data` begins with; returns where the first incomplete one begins."""
        at, end, taker = 0, len(data), self._taker
        assert taker is not None
        while end - at >= HEAD:
            first, length = data[at], data[at + 1] - MASKED
            begin = at + HEAD
            if length == 126:
                if end < begin + 2:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                begin += 2
            elif length == 127:
                if end < begin + 8:
                    break
                length = int.from_bytes(data[at + 2 : at + 10])
                begin += 8
            if length < 0 or length > self.config.ws_max_size or first & 0x7F not in WHOLE or not first & FIN:
                self._usual = False  # the library says what is wrong with it, or puts it together; the rest is its too
                super().data_received(data[at:])
                return end
            stop = begin + length
            if stop > end and length <= SMALL:
                break
            if first == BINARY and length <= SMALL:
                taker.came(apply_mask(data[begin:stop], data[begin - 4 : begin]))
                if stop == end:
                    self._like, self._begin, self._size = data[at : begin - 4], begin - at, stop - at
            else:
                self._owed = max(0, stop - end)
                super().data_received(data[at:stop])
                if self.transport.is_closing():
                    return end
            at = min(stop, end)
        return at

    def send_receive_event_to_app(self) -> None:
        if self._taker is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = b"".join(self.frames)
        try:
            message = data.decode() if self.curr_msg_data_type == "text" else data
        except UnicodeDecodeError:
            super().send_receive_event_to_app()  # which ends the connection
            return
        self.frames = []
        self._taker.came(message)


def cut_after(scope: Scope, seconds: float) -> None:
    """Then end the connection, whatever was not yet taken. One that has ended by then stays ended."""
    if (abort := scope.get(KEY)) is not None:
        asyncio.get_running_loop().call_later(seconds, abort)
