"""Settings that change while the service runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server import reload as reload_module
from server.config import load
from tests import live_server as live_server_module
from tests.conftest import ROOT
from tests.live_server import LiveServer, bare, eventually, live_server, stream
from tests.synth import low_high, pcm16
from tests.test_sources import until, watching
from tests.virtual_mic import fake_portaudio

TOKEN, OTHER = "a-token-of-the-first-day", "a-token-of-the-second-day"


class Running:
    """A service and the file of its settings."""

    def __init__(self, file: Path, head: str) -> None:
        self.file = file
        self.head = head
        self.write("")

    def write(self, text: str) -> None:
        self.file.write_text(self.head + text)

    def reload(self, text: str, status: int = 200, token: str | None = None) -> Any:
        self.write(text)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{self.server.url}/v1/reload", headers=headers, timeout=60)
        assert answer.status_code == status, answer.text
        return answer.json()

    def serve(self, server: LiveServer) -> "Running":
        self.server = server
        return self


@pytest.fixture
def service(toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(reload_module, "LOOK_S", 3_600.0)  # only when it is asked
    running = Running(tmp_path / "spiccato.toml", f'model = "{toy_path}"\nhistory = "off"\n')
    with live_server(config=load(running.file)) as server:
        yield running.serve(server)


def test_a_change_between_the_reading_and_the_start_is_not_missed(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_module, "LOOK_S", 0.05)
    running = Running(tmp_path / "spiccato.toml", f'model = "{toy_path}"\nhistory = "off"\n')

    def made(*given: Any) -> Any:
        server = make_server(*given)
        running.write("thresholds.low.on = 0.9\n")
        return server

    make_server = live_server_module.make_server
    monkeypatch.setattr(live_server_module, "make_server", made)
    with live_server(config=load(running.file)) as server:
        eventually(lambda: thresholds(server)["on"] == 0.9)


def thresholds(server: LiveServer, label: str = "low") -> Any:
    return httpx.get(f"{server.url}/v1/info").json()["detect"]["thresholds"][label]


def test_thresholds_outputs_and_log_level_change_and_the_rest_waits_for_a_restart(service: Running) -> None:
    server = service.server
    before = stream(server, pcm16(low_high()))
    told = service.reload(
        'queue_ms = 500\nthreads = 1\n[thresholds.high]\non = 0.999\n[[outputs]]\nkind = "osc"\nport = 9\n'
    )
    assert told == {"changed": ["thresholds", "outputs"], "restart": ["threads", "queue_ms"]}
    assert thresholds(server, "high") == {"on": 0.999, "off": 0.4}
    assert [one["name"] for one in httpx.get(f"{server.url}/v1/outputs").json()["outputs"]] == ["osc"]
    after = stream(server, pcm16(low_high()))
    assert {event["label"] for event in bare(before)} == {"low", "high"}
    assert {event["label"] for event in bare(after)} == {"low"}
    assert server.service.settings.queue_ms == 2_000
    assert service.reload("") == {"changed": ["thresholds", "outputs"], "restart": []}
    assert thresholds(server, "high") == {"on": 0.7, "off": 0.4}
    assert httpx.get(f"{server.url}/v1/outputs").json()["outputs"] == []


def test_a_bad_file_changes_nothing_and_says_why(service: Running) -> None:
    good = '[thresholds.low]\non = 0.9\n[[outputs]]\nkind = "osc"\nport = 9\n'
    service.reload(good)
    before = httpx.get(f"{service.server.url}/v1/outputs").json()
    for bad, line, reason in (
        ("[thresholds.low]\non = 7\n", 4, "thresholds.low.on=7: input should be less than 1"),
        ("[thresholds.horn]\non = 0.5\n", 3, "thresholds.horn: 'horn' is not a label"),
        ('[[outputs]]\nkind = "osc"\n', 3, "outputs.0 has no port"),
        ("[[outputs\n", 3, "this is not TOML"),
    ):
        error = service.reload(bad, status=422)["error"]
        assert error["code"] == "bad_config"
        assert error["message"].startswith(f"nothing has changed: {service.file}:{line}: {reason}")
        assert thresholds(service.server)["on"] == 0.9
        assert httpx.get(f"{service.server.url}/v1/outputs").json() == before
    service.file.unlink()
    answer = httpx.post(f"{service.server.url}/v1/reload")
    assert "cannot be read: No such file" in answer.json()["error"]["message"]
    assert service.reload(good) == {"changed": [], "restart": []}


def test_an_output_that_stays_the_same_goes_on(service: Running) -> None:
    one = '[[outputs]]\nname = "one"\nkind = "osc"\nport = 9\n'
    two = '[[outputs]]\nname = "two"\nkind = "osc"\nport = 9\n'
    service.reload(one + two)
    running = service.server.service.outputs._running
    first = dict(running)
    service.reload(one + two.replace("9", "10"))
    assert running["one"] is first["one"]
    assert running["two"] is not first["two"]
    assert first["two"].state == "stopped"


def test_tokens_change_and_the_old_one_is_let_in_no_more(service: Running) -> None:
    url = f"{service.server.url}/v1/sources"
    assert service.reload(f'token = "{TOKEN}"\n') == {"changed": ["token"], "restart": []}
    assert httpx.get(url).status_code == 401
    service.reload(f'token = "{OTHER}"\n', token=TOKEN)
    status = [httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code for token in (TOKEN, OTHER)]
    assert status == [401, 200]
    service.write("")
    answer = httpx.post(f"{service.server.url}/v1/reload", headers={"Authorization": f"Bearer {OTHER}"})
    assert answer.json()["changed"] == ["token"]


def test_sources_come_go_and_decide_by_the_new_thresholds(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    stage = '[[sources]]\nid = "stage"\nkind = "microphone"\nname = "{}"\n'
    with watching(service.server) as ws:
        assert service.reload(stage.format("Stage"))["changed"] == ["sources"]
        assert until(ws, "event", phase="onset")[-1]["source"] == "stage"
        service.reload(stage.format("Stage left"))
        assert until(ws, "source", name="Stage left")[-1]["state"] == "healthy"
        service.reload(stage.format("Stage left") + "[thresholds.low]\non = 0.999\noff = 0.99\n")
        told = until(ws, "configured")[-1]
        assert told["detect"]["thresholds"]["low"] == {"on": 0.999, "off": 0.99}
        service.reload("")
        until(ws, "summary")
    assert httpx.get(f"{service.server.url}/v1/sources").json()["sources"] == []


def test_sighup_a_change_of_the_file_and_the_command_reload(toy_path: Path, tmp_path: Path) -> None:
    file, log = tmp_path / "spiccato.toml", tmp_path / "log"
    head = f'model = "{toy_path}"\nhistory = "off"\nport = 0\n'
    file.write_text(head)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPICCATO_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "spiccato"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "serve", "--config", str(file)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[3].rstrip("/")
        eventually(lambda: "ready model" in log.read_text())
        file.write_text(head + "[thresholds.low]\non = 0.9\n")
        eventually(lambda: "reload changed=thresholds" in log.read_text())
        file.write_text(head + "[thresholds.low]\non = 9\n")
        eventually(lambda: f"nothing has changed: {file}:5: thresholds.low.on=9" in log.read_text())
        asked = log.read_text().count("nothing has changed")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: log.read_text().count("nothing has changed") > asked)
        file.write_text(head + "[thresholds.low]\non = 0.9\n")
        done = subprocess.run(
            [*command, "reload", "--config", str(file), "--server", url],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "changed: nothing\n", "")
        done = subprocess.run(
            [*command, "reload", "--server", "http://127.0.0.1:9"],
            env=environment,
            cwd=tmp_path / "..",
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr.partition(":9 ")[2][:16]) == (1, "does not answer:")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert "Traceback" not in log.read_text()
