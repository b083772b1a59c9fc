"""How the log looks: a line for each event, `name key=value ...`, as text for people or as JSON for machines.

Knows the form of our messages and the number of the request; nothing of what happened. Every line is an event with
fields, written as `log.info("connect session=%s peer=%s", ...)`; JSON has them as fields of their own.
"""

import json
import logging
import re
import sys
import time
from typing import Any

from server.headers import request_id

TIME = "%Y-%m-%dT%H:%M:%S%z"
FIELD = re.compile(r"(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*)")


def begin(level: str, form: str) -> None:
    """Log to stderr from now on. level: a name of `logging`; form: `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # uvicorn and websockets would write headers and whole addresses down, tokens among them
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for library in ("websockets", "asyncio", "httpcore", "httpx", "multipart", "numba"):
        logging.getLogger(library).setLevel(logging.WARNING)


class Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:
        number = request_id.get()
        line = super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")  # one event, one line
        return line if number is None else f"{line} request={number}"


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        told: dict[str, Any] = {
            "time": time.strftime(TIME, time.localtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if (number := request_id.get()) is not None:
            told["request"] = number
        told |= {name: _value(text) for name, text in FIELD.findall(message) if name not in told}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def _value(text: str) -> str | float | int:
    """A number where it is one."""
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if value == value and abs(value) != float("inf") else text
