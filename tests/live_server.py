"""The real app on uvicorn, on a free port, in a thread of this process; and a small way to talk to it.

with live_server(model=path) as server: httpx.get(server.url + "/v1/info")
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from websockets.sync.client import ClientConnection, connect

from server.app import server as make_server
from server.config import Config
from server.protocol import schema
from server.service import Service
from server.settings import Settings

START_S = 100.0  # kernels may have to be compiled


@dataclass(frozen=True)
class LiveServer:
    url: str  # http://127.0.0.1:PORT
    settings: Settings
    service: Service

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)


@contextmanager
def live_server(*, config: Config | None = None, **settings: Any) -> Iterator[LiveServer]:
    """Serve with these settings, or a configuration's, until the block ends. The port (free, or `port`) is taken before
    the start."""
    with socket.create_server(("127.0.0.1", settings.get("port", 0))) as listening:
        port = listening.getsockname()[1]
        running = make_server(config.settings if config else Settings(**{"port": port, **settings}), config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, name=f"server-{port}")
        thread.start()
        url = f"{'https' if 'tls_cert' in settings else 'http'}://127.0.0.1:{port}"
        try:
            eventually(lambda: _answers(url) or not thread.is_alive(), START_S)
            assert thread.is_alive(), "the server stopped while starting"
            app: Any = running.config.app
            yield LiveServer(url, app.state.service.settings, app.state.service)
        finally:
            running.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server does not stop"


def _answers(url: str) -> bool:
    """Is it ready? Whose certificate it shows does not matter here."""
    try:
        return httpx.get(f"{url}/readyz", verify=False).status_code == 200
    except httpx.TimeoutException:  # a machine that has much else to do
        return False


def eventually(condition: Any, seconds: float = 60.0) -> None:
    """Poll until `condition()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.01)


@contextmanager
def streaming(server: LiveServer, rate: int = 16_000, **start: Any) -> Iterator[ClientConnection]:
    """A started session. `start`: fields of the start message; `audio` defaults to mono pcm_s16le at `rate`."""
    with connect(f"{server.ws}/v1/stream", max_size=None) as ws:
        assert receive(ws)["type"] == "ready"
        audio = {"encoding": "pcm_s16le", "sample_rate": rate, "channels": 1}
        send(ws, "start", **{"audio": audio, **start})
        yield ws


def send(ws: ClientConnection, type: str, **fields: Any) -> None:
    ws.send(json.dumps({"type": type, **fields}))


def receive(ws: ClientConnection, timeout: float = 60.0) -> dict[str, Any]:
    """The next JSON message; binary ones are skipped."""
    while isinstance(data := ws.recv(timeout), bytes):
        pass
    message: dict[str, Any] = json.loads(data)
    if "seq" in message:  # of a session
        assert_published(message)
    return message


def assert_published(message: dict[str, Any]) -> None:
    """It is what /v1/schema says of its type: every field, and no other."""
    said, known = _published(message["type"])
    said.validate(message)
    assert message.keys() - {"source"} <= known  # `WS /v1/events` adds the source's name


@cache
def _published(type: str) -> tuple[jsonschema.Draft202012Validator, frozenset[str]]:
    server = schema()["server"]
    kinds = {kind["properties"]["type"]["const"]: kind for kind in server["$defs"].values() if _is_message(kind)}
    form = {**kinds[type], "$defs": server["$defs"]}
    return jsonschema.Draft202012Validator(form), frozenset(form["properties"])


def _is_message(form: dict[str, Any]) -> bool:
    return {"type", "seq"} <= form.get("properties", {}).keys()


def until(ws: ClientConnection, type: str) -> list[dict[str, Any]]:
    """All JSON messages up to the first of `type`, which is the last of the list."""
    messages = [receive(ws)]
    while messages[-1]["type"] != type:
        messages.append(receive(ws))
    return messages


def stream(server: LiveServer, pcm: bytes, chunk_bytes: int = 640, rate: int = 16_000, **start: Any) -> list[Any]:
    """A whole session: everything from `started` to `summary`."""
    with streaming(server, rate, **start) as ws:
        for at in range(0, len(pcm), chunk_bytes):
            ws.send(pcm[at : at + chunk_bytes])
        send(ws, "stop")
        return until(ws, "summary")


# what differs from one run to the next of the same audio
VOLATILE = {"session", "seq", "event_id", "latency_ms", "utc_onset", "source"}


def bare(messages: list[Any]) -> list[dict[str, Any]]:
    """The events among the messages, without what differs from run to run: equal for the same audio, bit for bit."""
    return [
        {key: value for key, value in message.items() if key not in VOLATILE}
        for message in messages
        if isinstance(message, dict) and message["type"] == "event"
    ]


@pytest.fixture(scope="session")
def server(toy_path: Path) -> Iterator[LiveServer]:
    """The real service with the hand-made model: labels `low` and `high`."""
    with live_server(model=toy_path, allowed_hosts="stage.test") as running:
        yield running


@pytest.fixture(scope="session")
def orchestra_server() -> Iterator[LiveServer]:
    """The real service with the shipped model."""
    if not Settings().model.exists():
        pytest.skip(f"{Settings().model} does not exist")
    with live_server() as running:
        yield running
