"""Two worker processes on one port, for real: one service to whoever asks, and one that dies is started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from engine.weights import Model
from server.place import Place, answers
from tests.live_server import bare, eventually, receive, send, until
from tests.synth import low_high, pcm16
from tests.test_resume import FRAMED, closing
from tests.test_session import alone

if sys.platform != "linux":
    pytest.skip("--workers is for Linux", allow_module_level=True)

TOKEN = "a-token-of-24-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SOUND = pcm16(low_high())
FILE = {"kind": "file"}


class Workers:
    """`spiccato serve --workers 2` and what it logs."""

    def __init__(self, model: Path, folder: Path) -> None:
        environment = os.environ | {
            "SPICCATO_MODEL": str(model),
            "SPICCATO_TOKEN": TOKEN,
            "SPICCATO_HISTORY": str(folder / "history.sqlite"),
            "SSL_CERT_FILE": "/nowhere",  # one worker asks another through a file: it needs no certificates for it
        }
        command = [sys.executable, "-m", "spiccato", "serve", "--port", "0", "--workers", "2"]
        self.log: list[str] = []
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        eventually(lambda: self.said(r"http://\S+:\d+"))
        self.url = self.said(r"http://\S+:\d+")[0]
        eventually(lambda: all(self.ready().values()), 90)

    def said(self, pattern: str) -> list[Any]:
        return re.findall(pattern, "\n".join(list(self.log)))

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Over a connection of its own: any worker may answer."""
        return httpx.get(f"{self.url}{path}", headers=BEARER, timeout=60, **more)

    def ready(self) -> dict[str, bool]:
        try:
            found = re.findall(r'spiccato_ready\{worker="(\d)"\} (\d)', self.get("/metrics").text)
        except httpx.HTTPError:
            found = []
        return {"0": False, "1": False} | {number: value == "1" for number, value in found}

    @contextmanager
    def connection(self, worker: int) -> Iterator[ClientConnection]:
        """One that this worker accepted."""
        for _ in range(100):
            url = f"{self.url.replace('http', 'ws')}/v1/stream"
            with connect(url, additional_headers=BEARER, max_size=None) as ws:
                if worker == int(receive(ws)["session"][2:4], 16):
                    yield ws
                    return
        raise AssertionError(f"worker {worker} got none of 100 connections")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._reading.join(30)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)


@pytest.fixture(scope="module")
def workers(toy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    running = Workers(toy_path, tmp_path_factory.mktemp("workers"))
    try:
        yield running
    finally:
        running.stop()
    assert running.process.returncode == 0
    assert not running.said("Traceback"), "\n".join(running.log)


def frames(first: int, pcm: bytes) -> bytes:
    from server.framing import Header

    return Header(0, first).pack() + pcm


@pytest.mark.parametrize("worker", [0, 1])
def test_each_worker_hears_the_same(workers: Workers, toy: Model, worker: int) -> None:
    with workers.connection(worker) as ws:
        send(ws, "start", audio=FRAMED, source=FILE)
        ws.send(frames(0, SOUND))
        send(ws, "stop")
        told = until(ws, "summary")
    assert bare(told) == bare(alone(toy, SOUND))


@pytest.mark.parametrize("worker", [0, 1])
def test_a_session_is_found_again_whichever_worker_the_client_comes_back_to(
    workers: Workers, toy: Model, worker: int
) -> None:
    half = len(SOUND) // 4 * 2
    with ExitStack() as sockets:
        ws = sockets.enter_context(workers.connection(worker))
        send(ws, "start", audio=FRAMED, source=FILE)
        started = receive(ws)
        ws.send(frames(0, SOUND[:half]))
        told = [started, *until(ws, "event")]
        token, last = started["resume"]["token"], told[-1]["seq"]
        for other in (1 - worker, worker, 1 - worker):
            ws.socket.shutdown(2)
            ws = sockets.enter_context(workers.connection(other))
            send(ws, "start", audio=FRAMED, source=FILE, resume={"token": token, "last_seq": last})
            more = until(ws, "resumed")
            assert more[-1]["session"] == started["session"]
            told += more
            last = told[-1]["seq"]
        ws.send(frames(more[-1]["sample"], SOUND[2 * more[-1]["sample"] :]))
        send(ws, "stop")
        told += until(ws, "summary")
        assert closing(ws) == 1000
    assert bare(told) == bare(alone(toy, SOUND))
    seqs = [seq for m in told for seq in range(m.get("from_seq", m["seq"]), m["seq"] + 1)]
    assert seqs == list(range(1, 1 + len(seqs)))


def test_what_a_service_has_once_is_the_same_at_every_worker(workers: Workers) -> None:
    with workers.connection(1) as ws:
        send(ws, "start", audio=FRAMED, source={"name": "of-the-second"})
        ws.send(frames(0, SOUND))
        send(ws, "stop")
        until(ws, "summary")
    found = lambda: {  # noqa: E731
        len(workers.get("/v1/history?source=of-the-second").json().get("events", [])) for _ in range(12)
    }
    eventually(lambda: found() == {2})
    assert {workers.get("/v1/sources").json()["sources"] == [] for _ in range(12)} == {True}
    assert workers.get("/v1/sources/none").status_code in (404, 405)
    for _ in range(8):
        with connect(f"{workers.url.replace('http', 'ws')}/v1/events", additional_headers=BEARER) as watching:
            watching.send("ignored")
        with httpx.stream("GET", f"{workers.url}/v1/events/stream", headers=BEARER, timeout=60) as events:
            assert next(events.iter_lines()).startswith("retry:")
    with workers.connection(0) as ws:
        send(ws, "start", audio=FRAMED, source=FILE)
        send(ws, "stop")
        until(ws, "summary")
    text = workers.get("/metrics").text
    for worker in "01":
        assert re.search(rf'^spiccato_sessions_opened_total{{worker="{worker}"}} [1-9]', text, re.M)
    assert text.count("# TYPE spiccato_sessions gauge") == 1


def test_a_ticket_opens_one_connection_of_one_worker(workers: Workers) -> None:
    ticket = httpx.post(f"{workers.url}/v1/tickets", headers=BEARER, json={"role": "produce"}, timeout=60).json()
    headers = {"Authorization": f"Ticket {ticket['ticket']}"}
    url = f"{workers.url.replace('http', 'ws')}/v1/stream"
    with connect(url, additional_headers=headers) as ws:
        assert receive(ws)["type"] == "ready"
    for _ in range(8):
        with pytest.raises(InvalidStatus, match="401"):
            connect(url, additional_headers=headers).__enter__()


def test_a_stranger_is_refused_by_each_worker(workers: Workers) -> None:
    for _ in range(8):
        for path in ("/v1/sources", "/v1/history", "/metrics"):
            answer = httpx.get(f"{workers.url}{path}", headers={"x-spiccato-role": "admin"}, timeout=60)
            assert answer.status_code == 401, path


@pytest.mark.parametrize("worker", [1, 0])
def test_a_worker_that_dies_is_started_again_and_told_and_the_other_goes_on(workers: Workers, worker: int) -> None:
    pid = int(workers.said(rf"worker started number={worker} pid=(\d+)")[-1])
    died = f"worker died number={worker} pid={pid} exitcode=-9"
    with workers.connection(worker) as lost, workers.connection(1 - worker) as staying:
        for ws in (lost, staying):
            send(ws, "start", audio=FRAMED, source=FILE)
        token = receive(lost)["resume"]["token"]
        staying.send(frames(0, SOUND[: len(SOUND) // 2]))
        until(staying, "event")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            until(lost, "summary")
        staying.send(frames(len(SOUND) // 4, SOUND[len(SOUND) // 2 :]))
        send(staying, "stop")
        assert until(staying, "summary")[-1]["processed_ms"] == 3_500
    eventually(lambda: workers.said(re.escape(died)))
    eventually(lambda: all(workers.ready().values()), 90)
    for at in (worker, 1 - worker):
        with workers.connection(at) as ws:
            send(ws, "start", audio=FRAMED, source=FILE, resume={"token": token, "last_seq": 1})
            assert until(ws, "error")[-1]["code"] == "resume_unknown"
            assert closing(ws) == 4404


def test_ids_name_their_worker(tmp_path: Path) -> None:
    place = Place(11, 12, tmp_path)
    assert place.mark("s_1f0c2a9b77d4") == "s_0b0c2a9b77d4"
    assert place.owner("s_030c2a9b77d4.secret") == 3
    for nobody in ("", "s_", "s_zz", "s_ff0c2a9b77d4.secret"):
        assert place.owner(nobody) == 11


def test_it_is_told_what_needs_one_process() -> None:
    environment = os.environ | {"SPICCATO_CLIPS": "all"}
    command = [sys.executable, "-m", "spiccato", "serve", "--port", "0", "--workers", "2"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, "needs workers=1" in run.stderr) == (1, True)
    assert json.dumps("Traceback") not in run.stderr


def test_a_worker_that_is_gone_does_not_answer(tmp_path: Path) -> None:
    place = Place(0, 2, tmp_path)
    assert not answers(place.socket_of(1))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.socket_of(1)))
        assert not answers(place.socket_of(1))
        other.listen()
        assert answers(place.socket_of(1))
    assert not answers(place.socket_of(1))
