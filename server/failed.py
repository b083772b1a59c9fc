"""What every answer that is an error looks like, for the description of the service in `/openapi.json`."""

from typing import Any

from server.errors import Code

_WHY = {
    "type": "object",
    "required": ["code", "message", "retryable"],
    "properties": {
        "code": {"enum": [str(code) for code in Code]},
        "message": {"type": "string", "description": "names the value and the limit"},
        "retryable": {"type": "boolean", "description": "the same again may succeed later"},
    },
}
_BODY = {"application/json": {"schema": {"type": "object", "required": ["error"], "properties": {"error": _WHY}}}}

# of every route, in place of FastAPI's own 422
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused: `error.message` says why", "content": _BODY},
    "5XX": {"description": "Not now, or a fault of the server", "content": _BODY},
}
