"""The service below a path of a proxy, `/spiccato/`: whether the proxy cuts the path off or leaves it. Knows paths.

Starlette's router looks at what follows `root_path`, and at the whole path where it does not begin with that.
"""

from starlette.datastructures import URL
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._root and scope["type"] in ("http", "websocket"):
            if scope["type"] == "http" and scope["path"] == self._root:
                # the page's own addresses are relative: without the last `/` they would lead elsewhere
                await RedirectResponse(URL(f"{self._root}/"), 308)(scope, receive, send)
                return
            scope = {**scope, "root_path": self._root}
        await self._app(scope, receive, send)


def routed(scope: Scope) -> str:
    """The path that the router sees."""
    path, root = scope["path"], scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
