"""uvicorn's connections, with an end that needs nobody's consent. Knows transports; nothing of what is sent.

Closing a connection waits until what was written is taken. A reader that takes nothing would keep its socket and buffer
for ever; so what is behind a request's scope can be cut: `cut_after`.
"""

import asyncio
from typing import cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

KEY = "spiccato.abort"


class Http(HttpToolsProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(Scope, self.scope)[KEY] = self.transport.abort


class WebSocket(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # without one the handshake was refused
            cast(Scope, self.scope)[KEY] = self.transport.abort  # the app begins to run after this


def cut_after(scope: Scope, seconds: float) -> None:
    """Then end the connection, whatever was not yet taken. One that has ended by then stays ended."""
    if (abort := scope.get(KEY)) is not None:
        asyncio.get_running_loop().call_later(seconds, abort)
