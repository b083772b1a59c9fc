"""One-time tickets: what a page shows in place of its token where it can send no header. `POST /v1/tickets`.

A ticket is its role, its end and a random part, signed. It is good once and for a short time. The key comes from the
tokens, so that another process of the same service takes it too; each process remembers those that it has seen, and
workers of one service leave a file of each.
"""

import hashlib
import hmac
import secrets
import time
from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from server.errors import Code, Refusal
from server.roles import Role

router = APIRouter()

LIFE_S = 30  # from asking to connecting
MAX_USED = 100_000  # remembered at once; beyond it none is taken for up to LIFE_S


class Tickets:
    def __init__(self, key: bytes, folder: Path | None = None) -> None:
        """folder: where workers of one service leave a file for each ticket that was used."""
        self._key = key
        self._folder = folder
        self._used: dict[str, float] = {}  # ticket's random part: its end

    def make(self, role: Role, now: float) -> str:
        body = f"{role}.{int(now) + LIFE_S}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._sign(body)}"

    def use(self, ticket: str, now: float) -> Role | None:
        """Its role, once; None if it was never made here, is too old or was used."""
        body, _, signature = ticket.rpartition(".")
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            return None
        role, end, nonce = body.split(".")
        if now > int(end) or nonce in self._used:
            return None
        if len(self._used) >= MAX_USED:
            self._used = {used: until for used, until in self._used.items() if until >= now}
            if len(self._used) >= MAX_USED:
                return None
        if not self._is_first_use(nonce):
            return None
        self._used[nonce] = float(end)
        return Role(role)

    def _is_first_use(self, nonce: str) -> bool:
        """Of all workers, by a file that only one of them can make."""
        if self._folder is None:
            return True
        try:
            (self._folder / nonce).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def forget(self, now: float) -> None:
        """The files of tickets that are too old by now."""
        for path in self._folder.iterdir() if self._folder is not None else ():
            if path.stat().st_mtime < now - LIFE_S:
                path.unlink(missing_ok=True)

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()


class Wanted(BaseModel):
    """Body of POST /v1/tickets."""

    role: Role = Field(description="what the ticket is for: `listen`, `produce` or `admin`")


class Ticket(BaseModel):
    ticket: str
    role: Role
    expires_s: int


@router.post("/v1/tickets", status_code=201)
async def ticket(request: Request, wanted: Wanted) -> Ticket:
    """A ticket for a role that the asker has."""
    role: Role = request.scope["spiccato.role"]
    if role not in (wanted.role, Role.ADMIN):
        raise Refusal(Code.NOT_ALLOWED, f"this token has the role {role}: it gives no tickets for {wanted.role}")
    tickets: Tickets = request.app.state.access.tickets
    tickets.forget(time.time())
    return Ticket(ticket=tickets.make(wanted.role, time.time()), role=wanted.role, expires_s=LIFE_S)
