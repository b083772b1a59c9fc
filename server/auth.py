"""Who is asking: a token or a ticket with each request, and a limit on guessing. Knows headers and roles; where tokens
come from is `tokens.py`.

A token comes in `Authorization: Bearer`, or, where a browser can set no header, as the WebSocket subprotocol
`spiccato.bearer.TOKEN` beside `spiccato.v1`, which is the one that is answered. A one-time ticket comes the same ways
(`Authorization: Ticket`, `spiccato.ticket.TICKET`). Never in an address, which ends in logs and histories.
"""

import logging
import math
import time

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.below import routed
from server.errors import Code, Refusal
from server.limits import Attempts, is_loopback, one_address
from server.place import TRUSTED, Place
from server.roles import Role, allowed
from server.settings import Settings
from server.tickets import Tickets
from server.tokens import Tokens, check

log = logging.getLogger("spiccato.auth")

SUBPROTOCOL = "spiccato.v1"
WRONG_BURST, WRONG_PER_MINUTE = 10, 10.0  # wrong tokens of one address


class Access:
    """What the middleware decides by, for one app."""

    def __init__(self, settings: Settings, place: Place | None = None) -> None:
        self._used_tickets = None if place is None else place.used_tickets
        self.use(check(settings))
        self.wrong = Attempts(WRONG_BURST, WRONG_PER_MINUTE)
        self.connects = Attempts(settings.connects_per_minute, settings.connects_per_minute)

    def use(self, tokens: Tokens) -> None:
        """From now on these are known. Connections that are open stay so."""
        self.tokens = tokens
        self.tickets = Tickets(tokens.key(), self._used_tickets)

    def role(self, headers: Headers, subprotocols: list[str], address: str) -> Role:
        """Whose request it is. Raises Refusal."""
        if not self.tokens:
            return Role.ADMIN
        kind, secret = _credential(headers, subprotocols)
        if not secret:
            raise Refusal(Code.NOT_AUTHENTICATED, "a token is asked for: send it as Authorization: Bearer TOKEN")
        now = time.monotonic()
        if (wait_s := self.wrong.wait_s(address, now)) > 0:
            raise TooOften("too many wrong tokens came from this address", wait_s)
        role = self.tickets.use(secret, time.time()) if kind == "ticket" else self.tokens.of(secret)
        if role is None:
            self.wrong.count(address, now)
            raise Refusal(Code.NOT_AUTHENTICATED, f"this {kind} is not known, too old, or was used already")
        return role

    def admit(self, address: str) -> None:
        """Count a WebSocket's attempt to connect. This machine's own programs have no limit. Raises Refusal."""
        if is_loopback(address):
            return
        now = time.monotonic()
        if (wait_s := self.connects.wait_s(address, now)) > 0:
            raise TooOften(f"over {self.connects.burst} connections a minute came from this address", wait_s)
        self.connects.count(address, now)


class TooOften(Refusal):
    def __init__(self, reason: str, wait_s: float) -> None:
        self.wait_s = math.ceil(wait_s)
        super().__init__(Code.TOO_MANY_ATTEMPTS, f"{reason}: try again in {self.wait_s} s")


def _credential(headers: Headers, subprotocols: list[str]) -> tuple[str, str]:
    """(`token` or `ticket`, the secret), or an empty secret."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    kind = {"bearer": "token", "ticket": "ticket"}.get(scheme.lower())
    if kind is not None:
        return kind, secret.strip()
    for offered in subprotocols:
        for prefix, kind in (("spiccato.bearer.", "token"), ("spiccato.ticket.", "ticket")):
            if offered.startswith(prefix):
                return kind, offered.removeprefix(prefix)
    return "token", ""


class Authenticated:
    """ASGI middleware: no request and no socket passes without the role that it needs."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if TRUSTED in scope:
            scope["spiccato.role"] = scope[TRUSTED]
            await self._app(scope, receive, send)
            return
        method = scope.get("method", "WS")
        path = routed(scope)
        subprotocols: list[str] = scope.get("subprotocols", [])
        try:
            may = allowed(method, path)
            if may is not None:
                address = one_address(scope["client"][0]) if scope.get("client") else ""
                if method == "WS":
                    self._access.admit(address)
                scope["spiccato.role"] = role = self._access.role(Headers(scope=scope), subprotocols, address)
                if role not in may:
                    who = " or ".join(sorted(may))
                    raise Refusal(Code.NOT_ALLOWED, f"this token has the role {role}: {method} {path} is for {who}")
        except Refusal as refusal:
            peer = scope["client"][0] if scope.get("client") else "unknown"
            log.info("refused peer=%s method=%s path=%.200r code=%s", peer, method, path, refusal.code)
            scope["app"].state.service.metrics.refused[refusal.code] += 1
            await refuse(refusal, scope, receive, send)
            return
        if SUBPROTOCOL in subprotocols:
            send = _answering(send)
        await self._app(scope, receive, send)


def _answering(send: Send) -> Send:
    """Of the subprotocols offered the one that is no secret is answered: without an answer browsers close."""

    async def answering(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": SUBPROTOCOL}
        await send(message)

    return answering


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """A refusal as HTTP, before the upgrade where it is a WebSocket's."""
    headers = {}
    if isinstance(refusal, TooOften):
        headers["Retry-After"] = str(refusal.wait_s)
    if refusal.code is Code.NOT_AUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="spiccato"'
    response = JSONResponse(refusal.body(), refusal.handling.http, headers)
    if scope["type"] == "http":
        await response(scope, receive, send)
    else:
        await WebSocket(scope, receive, send).send_denial_response(response)
