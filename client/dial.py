"""Opens connections to `WS /v1/stream`, and says in a sentence why one did not open or was closed. Knows addresses,
tokens and closes; nothing of the messages.
"""

import json

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

PATH = "/v1/stream"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class StreamError(Exception):
    """The service refused or ended the session: its code, its sentence, and whether trying again may help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


async def dialled(address: str, token: str | None) -> ClientConnection:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return await connect_websocket(address, max_size=MAX_MESSAGE_BYTES, additional_headers=headers)
    except InvalidStatus as error:
        raise refused(address, error) from error
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise StreamError(
            "unreachable", f"no Spiccato service answers at {address}: {error}", retryable=True
        ) from error


def stream_address(url: str) -> str:
    """`http://host:8000/` or `ws://host:8000/v1/stream` -> `ws://host:8000/v1/stream`."""
    scheme, found, rest = url.partition("://")
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if not found or scheme not in schemes:
        raise StreamError("unreachable", f"{url!r} is not an address: write ws://HOST:PORT or wss://HOST:PORT")
    rest = rest.rstrip("/")
    return f"{schemes[scheme]}://{rest if rest.endswith(PATH) else rest + PATH}"


def refused(address: str, error: InvalidStatus) -> StreamError:
    """The service's own sentence, from the answer that it gave in place of the connection."""
    try:
        told = json.loads(error.response.body or b"")["error"]
        return StreamError(told["code"], f"{address}: {told['message']}", retryable=told["retryable"])
    except (ValueError, KeyError, TypeError):  # not an answer of this service: a proxy's, or another program's
        status = error.response.status_code
        return StreamError("unreachable", f"no Spiccato service answers at {address}: HTTP {status}", retryable=True)


def why_closed(error: ConnectionClosed) -> StreamError:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
    return StreamError(f"closed_{code}", f"the server closed the connection ({code} {reason})".replace(" )", ")"))
