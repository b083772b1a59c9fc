"""The tokens of this service: read from the settings, kept as digests, compared in constant time. Knows no request.

A token is never an argument of a command (every user of the machine sees those) and stands in no message of ours.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from server.limits import is_loopback
from server.roles import Role
from server.settings import Settings

TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")  # may stand in a header and in a subprotocol
MAX_TOKENS = 1_000
MAKE_ONE = "`spiccato token` makes one, for SPICCATO_TOKEN or for a file that SPICCATO_TOKEN_FILE names"


class AuthError(ValueError):
    """The settings would leave the service open, or name tokens that cannot be used. The message holds no token."""


class Tokens:
    """Those that are known, as digests: `of(token)` is its role."""

    def __init__(self, known: list[tuple[str, Role]]) -> None:
        self._digests = [(_digest(token), role) for token, role in known]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def of(self, token: str) -> Role | None:
        """Compares with every one, each in constant time: how long it takes says nothing."""
        digest = _digest(token)
        found = None
        for known, role in self._digests:
            if hmac.compare_digest(digest, known):
                found = role
        return found

    def key(self) -> bytes:
        """For signing tickets: the same in each process that has these tokens."""
        if not self._digests:
            return secrets.token_bytes(32)
        return hashlib.sha256(b"tickets" + b"".join(sorted(digest for digest, _ in self._digests))).digest()


def tokens(settings: Settings) -> Tokens:
    """Those of the settings. Raises AuthError."""
    known: list[tuple[str, Role]] = []
    if settings.token is not None and (token := settings.token.get_secret_value().strip()):
        known.append((_checked(token, "SPICCATO_TOKEN"), Role.ADMIN))
    if settings.token_file is not None:
        known += _read(settings.token_file)
    return Tokens(known)


def check(settings: Settings) -> Tokens:
    """The tokens, once it is certain that the service may listen where it shall. Raises AuthError."""
    known = tokens(settings)
    if not known and not is_loopback(settings.host):
        raise AuthError(
            f"host={settings.host} is open to the network and there is no token: whoever reaches the port could use "
            f"the service. {MAKE_ONE}. Without a token it listens on 127.0.0.1 only"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise AuthError("SPICCATO_TLS_CERT and SPICCATO_TLS_KEY belong together: one of them is missing")
    for name, path in (("TLS_CERT", settings.tls_cert), ("TLS_KEY", settings.tls_key)):
        if path is not None and not path.is_file():
            raise AuthError(f"SPICCATO_{name}={path}: there is no such file")
    return known


def _read(path: Path) -> list[tuple[str, Role]]:
    """Lines of `TOKEN` or `ROLE TOKEN`; empty ones and those with # in front are left out."""
    known = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise AuthError(f"the token file {path} cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"line {number} of {path}"
        role = words[0] if len(words) == 2 else Role.ADMIN
        if len(words) > 2 or role not in set(Role):
            raise AuthError(f"{place} is neither TOKEN nor ROLE TOKEN; the roles are {', '.join(Role)}")
        known.append((_checked(words[-1], place), Role(role)))
    if not 1 <= len(known) <= MAX_TOKENS:
        raise AuthError(f"the token file {path} has {len(known)} tokens: the limits are 1..{MAX_TOKENS}. {MAKE_ONE}")
    return known


def _checked(token: str, place: str) -> str:
    if not TOKEN.fullmatch(token):
        raise AuthError(
            f"{place}: a token of {len(token)} characters that cannot be used: 16 to 256 of A-Z a-z 0-9 . _ ~ -. "
            f"{MAKE_ONE}"
        )
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
