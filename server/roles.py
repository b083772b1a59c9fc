"""Who may do what: three roles, and for each address of the service the roles that may use it. Knows no tokens.

`listen` reads events, `produce` sends sound, `admin` does everything. What is not named here is for `admin` alone, so a
route that somebody adds and forgets is closed, not open. The page and the two health checks are for everybody.
"""

from enum import StrEnum


class Role(StrEnum):
    LISTEN = "listen"
    PRODUCE = "produce"
    ADMIN = "admin"


EVERYBODY = frozenset(Role)
LISTENERS = frozenset({Role.LISTEN, Role.ADMIN})
PRODUCERS = frozenset({Role.PRODUCE, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

# (method, path): who. WS is a WebSocket; a path that ends in `/` holds for everything below it.
ALLOWED: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/v1/info"): EVERYBODY,
    ("GET", "/v1/schema"): EVERYBODY,
    ("GET", "/v1/neurons/"): EVERYBODY,
    ("POST", "/v1/tickets"): EVERYBODY,  # of a role that the asker has
    ("WS", "/v1/stream"): PRODUCERS,
    ("POST", "/v1/classify"): PRODUCERS,
    ("WS", "/v1/events"): LISTENERS,
    ("GET", "/v1/events"): LISTENERS,
    ("GET", "/v1/events/stream"): LISTENERS,
    ("GET", "/v1/clips/"): LISTENERS,
    ("GET", "/v1/history"): LISTENERS,
    ("GET", "/v1/history/"): LISTENERS,
    ("GET", "/v1/history/summary"): LISTENERS,
    ("GET", "/v1/history/sessions"): LISTENERS,
    ("GET", "/v1/history/corrections.zip"): LISTENERS,
    ("POST", "/v1/history/"): ADMINS,  # corrections
    ("DELETE", "/v1/history"): ADMINS,
    ("DELETE", "/v1/history/"): ADMINS,
    ("GET", "/metrics"): LISTENERS,
    ("GET", "/v1/sources"): ADMINS,
    ("POST", "/v1/sources"): ADMINS,
    ("PATCH", "/v1/sources/"): ADMINS,
    ("DELETE", "/v1/sources/"): ADMINS,
    ("GET", "/v1/outputs"): ADMINS,
    ("POST", "/v1/reload"): ADMINS,
}
CLOSED = ("/v1", "/metrics")  # everything below; the rest is the page and the health checks


def allowed(method: str, path: str) -> frozenset[Role] | None:
    """The roles that may; None: no token is asked for. `path` is the one that the router sees."""
    if not any(path == closed or path.startswith(f"{closed}/") for closed in CLOSED):
        return None
    method = "GET" if method == "HEAD" else method
    found = ALLOWED.get((method, path))
    if found is None:
        below = [who for (verb, prefix), who in ALLOWED.items() if verb == method and _is_below(path, prefix)]
        found = below[0] if below else ADMINS
    return found


def _is_below(path: str, prefix: str) -> bool:
    return prefix.endswith("/") and path.startswith(prefix)
