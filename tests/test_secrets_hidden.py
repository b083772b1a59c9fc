"""No password of an address is shown or logged, wherever addresses are: settings, answers, messages, metrics, log."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner
from websockets.sync.client import connect

from server import logs
from server.config import load
from spiccato.cli import app
from tests.live_server import eventually, live_server, stream
from tests.synth import low_high, pcm16

SECRET = "s3cr3t"
SETTINGS = f"""
history = "postgresql://ear:{SECRET}@127.0.0.1:1/x?sslpassword={SECRET}"

[[sources]]
kind = "stream"
id = "radio"
url = "http://user:{SECRET}@127.0.0.1:1/live?key={SECRET}"

[[sources]]
kind = "stream"
id = "camera"
url = "rtsp://user:{SECRET}@127.0.0.1:1/live?key={SECRET}"

[[outputs]]
kind = "webhook"
url = "http://user:{SECRET}@127.0.0.1:1/hook/{SECRET}?key={SECRET}"

[[outputs]]
kind = "mqtt"
host = "127.0.0.1"
port = 1
user = "ear"
password = "{SECRET}"
"""
ASKED = ("v1/sources", "v1/outputs", "v1/info", "v1/history", "readyz", "metrics", "openapi.json")
WRONG: list[dict[str, Any]] = [
    {"kind": "stream", "url": f"ftp://user:{SECRET}@127.0.0.1/x"},
    {"kind": "stream", "url": f"rtsp://user:{SECRET}@127.0.0.1:99999/x"},
    {"kind": "stream", "url": f"http://user:{SECRET}@169.254.1.1/x"},
    {"kind": "stream", "url": [f"http://user:{SECRET}@127.0.0.1/x"]},
    {"kind": "stream", "url": f"http://user:{SECRET}@127.0.0.1/{'x' * 2_000}"},
    {"kind": "strem", "url": f"http://user:{SECRET}@127.0.0.1/x"},
    {"kind": "stream", "url": f"http://user:{SECRET}@127.0.0.1/x", "device": "USB"},
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """As `spiccato serve --log-level debug` logs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.begin("debug", "text")
    handler, told = root.handlers[0], io.StringIO()
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(told)
    yield told
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _settings_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPICCATO_HISTORY")


def test_a_service_shows_no_password_of_an_address(toy_path: Path, tmp_path: Path, log: io.StringIO) -> None:
    file = tmp_path / "spiccato.toml"
    file.write_text(f'model = "{toy_path}"\nport = 0\n{SETTINGS}')
    shown = [CliRunner().invoke(app, ["config", "show", str(file)]).stdout]
    assert "http://127.0.0.1:1/live?..." in shown[0]
    with live_server(config=load(file)) as server, connect(f"{server.ws}/v1/events") as events:
        lost: set[str] = set()

        def all_lost() -> bool:
            sources = httpx.get(f"{server.url}/v1/sources", timeout=60).json()["sources"]
            lost.update(source["id"] for source in sources if source["state"] == "lost")
            return len(lost) == 2

        def both_retrying() -> bool:
            outputs = httpx.get(f"{server.url}/v1/outputs").json()["outputs"]
            return [output["state"] for output in outputs] == ["retrying"] * 2

        eventually(all_lost)
        stream(server, pcm16(low_high()))  # events for the ways out
        eventually(both_retrying)
        shown += [httpx.get(f"{server.url}/{path}", timeout=60).text for path in ASKED]
        for wrong in WRONG:
            answer = httpx.post(f"{server.url}/v1/sources", json=wrong)
            assert answer.status_code in (400, 403, 422), answer.text
            shown.append(answer.text)
        changed = httpx.patch(
            f"{server.url}/v1/sources/radio", json={"url": f"http://u:{SECRET}@127.0.0.1:2/{SECRET}?"}
        )
        assert SECRET in changed.json()["url"]  # of the path: that is no password, and people have to know it
        shown += [str(events.recv(60)) for _ in range(3)]
    told = log.getvalue()
    assert "source radio: lost: http://127.0.0.1:1/live?...: connection refused" in told
    assert "history" in told
    assert [text for text in (*shown, *told.replace(f"/{SECRET}", "").splitlines()) if SECRET in text] == []


def test_a_mistake_in_an_address_is_told_without_it(tmp_path: Path) -> None:
    for line in (
        f'history = "mysql://ear:{SECRET}@db/x"',
        f'history = ["postgresql://ear:{SECRET}@db/x"]',
        f'sources = [{{kind = "stream", url = "http://u:{SECRET}@h/{"x" * 2_000}"}}]',
        f'sources = [{{kind = "strem", url = "http://u:{SECRET}@h/"}}]',
        f'sources = "http://u:{SECRET}@h/"',
        f'outputs = [{{kind = "webhook", url = ["http://u:{SECRET}@h/"]}}]',
        f'outputs = ["http://u:{SECRET}@h/"]',
        f'outputs = [{{kind = "mqtt", host = "u:{SECRET}@h/"}}]',
    ):
        file = tmp_path / "spiccato.toml"
        file.write_text(line)
        done = CliRunner().invoke(app, ["config", "check", str(file)])
        assert done.exit_code == 1, line
        assert SECRET not in done.output, line


def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://ear:{SECRET}@127.0.0.1:1/x"
    for command in (["list"], ["backup", str(tmp_path / "copy.sqlite")]):
        done = CliRunner().invoke(app, ["history", *command, "--database", url])
        assert done.exit_code == 1
        assert SECRET not in done.output
