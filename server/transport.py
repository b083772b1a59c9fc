"""uvicorn's connections, with an end that needs nobody's consent. Knows transports; nothing of what is sent.

Closing a connection waits until what was written is taken. A reader that takes nothing would keep its socket and buffer
for ever; so what is behind a request's scope can be cut: `cut_after`. A client that connects and never says what it
wants is cut off too.
"""

import asyncio
from typing import cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

KEY = "spiccato.abort"
HEAD_S = 20.0  # from connecting, or from a request's first byte, to the end of its headers


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


class WebSocket(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # without one the handshake was refused
            cast(Scope, self.scope)[KEY] = self.transport.abort  # the app begins to run after this


def cut_after(scope: Scope, seconds: float) -> None:
    """Then end the connection, whatever was not yet taken. One that has ended by then stays ended."""
    if (abort := scope.get(KEY)) is not None:
        asyncio.get_running_loop().call_later(seconds, abort)
