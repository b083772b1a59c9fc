"""Refuses what a page of another site sends with a visitor's browser. Knows two headers, Host and Origin.

A browser names the page's origin; a program names none and passes. Same origin: the Origin's host and port are those of
the Host header. A page whose own name was made to lead here (DNS rebinding) has the same origin; so the Host must be a
name that is ours. An address made of numbers always is: nobody else can make it lead here.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.auth import refuse
from server.errors import Code, Refusal
from server.limits import is_loopback

DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:  # not a URL
        return False
    port = DEFAULT_PORTS.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(port) == host.lower().removesuffix(port) != ""


def is_ours(host: str, names: frozenset[str]) -> bool:
    """Is the Host header's name one under which we may be reached? `*` among the names: any is."""
    if "*" in names:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # not a host
        return False
    return is_loopback(name) or name in names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class SameOrigin:
    """ASGI middleware. `names`: host names that are ours, without ports."""

    def __init__(self, app: ASGIApp, names: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if not is_ours(host, self._names):
            why = f"the host {host[:200]!r} is not known here: SPICCATO_ALLOWED_HOSTS names those that are"
            await refuse(Refusal(Code.FOREIGN_HOST, why), scope, receive, send)
        elif origin is not None and not is_same(origin, host):
            why = f"the origin {origin[:200]!r} is not this service, {host[:200]!r}"
            await refuse(Refusal(Code.FOREIGN_ORIGIN, why), scope, receive, send)
        else:
            await self._app(scope, receive, send)


def names(host: str, allowed_hosts: str) -> frozenset[str]:
    """Those of the settings `host` and `allowed_hosts`."""
    return frozenset(name.strip().lower() for name in (host, *allowed_hosts.split(",")) if name.strip())
