"""A webhook: each event as an HTTP POST, signed, in order, tried again until it is taken.

Signature and headers are those of the Standard Webhooks specification, so its libraries verify them: `webhook-id` (the
same in each try, so that a receiver knows a repetition), `webhook-timestamp` and `webhook-signature`. An address may be
a secret: it is told as its host alone.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
import re
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from server.outputs.config import Webhook
from server.outputs.sender import Lost, Message, Refused, Retry, Sender
from server.outputs.template import filled
from server.version import VERSION

log = logging.getLogger("spiccato.outputs")

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # of a header (RFC 9110)
AGAIN = frozenset({408, 409, 425, 429})  # beside 5xx: answers that may be another one next time
LONGEST_WISH_S = 3_600.0  # of Retry-After


class WebhookSender(Sender):
    def __init__(self, config: Webhook) -> None:
        self.attempts = config.attempts
        self._config = config
        self._client: httpx.AsyncClient | None = None
        self._url = httpx.URL("")
        self._key: bytes | None = None

    @property
    def target(self) -> str:
        return (
            f"{self._url.scheme}://{self._url.netloc.decode().rpartition('@')[2]}"
            if self._url.host
            else "a web service"
        )

    async def open(self) -> None:
        try:
            self._url = address(self._config.url.read())
            headers = {name: header(name, value.read()) for name, value in self._config.headers.items()}
            self._key = None if self._config.secret is None else key(self._config.secret.read())
        except ValueError as error:  # a SecretError too
            raise Lost(str(error)) from error
        headers = {"User-Agent": f"spiccato/{VERSION}", **headers}
        self._client = httpx.AsyncClient(headers=headers, timeout=self._config.timeout_s, verify=self._believed())

    def _believed(self) -> ssl.SSLContext | bool:
        if self._config.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self._config.ca_file)
        except OSError as error:
            raise Lost(f"{self._config.ca_file} cannot be read as certificates: {error}") from error

    async def send(self, source: str, message: Message) -> None:
        assert self._client is not None
        kind, body = written(self._config.body, message)
        id = f"{message['event_id']}.{message['phase']}"
        now = int(time.time())
        headers = {"Content-Type": kind, "webhook-id": id, "Idempotency-Key": id, "webhook-timestamp": str(now)}
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, id, now, body)
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Retry(f"{self.target}: {str(error) or type(error).__name__}") from error
        if answer.is_success:
            return
        why = f"{self.target} answered {answer.status_code} {answer.reason_phrase}"
        if answer.status_code in AGAIN or answer.is_server_error:
            raise Retry(why, wish_s(answer.headers.get("Retry-After", "")))
        raise Refused(why)

    def dead(self, source: str, message: Message, why: str) -> None:
        if self._config.dead_letters is None:
            return
        line = json.dumps({"why": why, "event": message})
        try:
            _append(self._config.dead_letters, line)
        except OSError as error:
            log.error(
                "dead_letters=%s cannot be written: %s; lost: %s", self._config.dead_letters, error.strerror, line
            )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def written(template: object, event: Message) -> tuple[str, bytes]:
    """(content type, body)."""
    if isinstance(template, str):
        return "text/plain; charset=utf-8", str(filled(template, event)).encode()
    return "application/json", json.dumps(event if template is None else filled(template, event)).encode()


# What a secret holds is in none of their errors.


def address(text: str) -> httpx.URL:
    """Raises ValueError where nothing could be posted to it."""
    with contextlib.suppress(httpx.InvalidURL):
        url = httpx.URL(text)
        if url.scheme in ("http", "https") and url.host:
            return url
    raise ValueError("this is no address of a web service: http://HOST/PATH or https://HOST/PATH")


def header(name: str, value: str) -> str:
    """The value. Raises ValueError where HTTP has no such header."""
    if not NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
        raise ValueError(f"no header can be {name!r} with this value: ASCII without control characters")
    return value


def key(secret: str) -> bytes:
    """`whsec_` and base64, as the specification has it, or any text as it is. Raises ValueError."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    with contextlib.suppress(binascii.Error):
        if decoded := base64.b64decode(secret.removeprefix("whsec_"), validate=True):
            return decoded
    raise ValueError("what stands behind whsec_ is no base64")


def signature(key: bytes, id: str, timestamp_s: int, body: bytes) -> str:
    """Source: Standard Webhooks, "Signature scheme" (v1, symmetric)."""
    signed = f"{id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def wish_s(retry_after: str) -> float:
    """Seconds that `Retry-After` asks for, as a number or a date; 0 where it says nothing that can be read."""
    try:
        wish = float(retry_after)
    except ValueError:
        try:
            wish = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(wish, LONGEST_WISH_S) if wish > 0 else 0.0  # nor is NaN


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
