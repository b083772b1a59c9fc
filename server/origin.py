"""Refuses requests and sockets that a page of another site sends with a visitor's browser. Knows two headers.

A browser names the page's origin; a program names none and passes. Same origin: the Origin's host and port are those of
the Host header.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.errors import Code, Refusal


def is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:  # not a URL
        return False


class SameOrigin:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or is_same(origin, headers.get("host", "")):
            await self._app(scope, receive, send)
            return
        refusal = Refusal(
            Code.FOREIGN_ORIGIN, f"the origin {origin[:200]!r} is not this service, {headers.get('host', '')[:200]!r}"
        )
        response = JSONResponse(refusal.body(), refusal.handling.http)
        if scope["type"] == "http":
            await response(scope, receive, send)
        else:
            await WebSocket(scope, receive, send).send_denial_response(response)
