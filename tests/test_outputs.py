"""The ways out: OSC to a real listener, webhooks to a real HTTP server, commands, and what they do when that fails."""

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import ThreadingOSCUDPServer

from engine.weights import Model
from server.outputs import runner as runner_module
from server.outputs.config import Osc
from server.outputs.fits import mistakes
from server.outputs.runner import Runner
from server.outputs.sender import Lost, Refused, Retry, Sender
from server.outputs.webhook import key, signature, wish_s
from tests.ways import Message, end, onset, output, running, until

# --- a queue and its tries, with a sender made for it ---


class Made(Sender):
    """Does what `answers` says of each try; then takes everything."""

    target = "a test"

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.taken: list[Message] = []
        self.given_up: list[tuple[str, str]] = []
        self.opened = self.closed = 0
        self.gate = asyncio.Event()  # nothing is taken before it is set
        self.gate.set()

    async def open(self) -> None:
        self.opened += 1
        if self.answers and isinstance(self.answers[0], OSError):
            raise Lost(str(self.answers.pop(0)))

    async def send(self, source: str, message: Message) -> None:
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.taken.append(message)

    def dead(self, source: str, message: Message, why: str) -> None:
        self.given_up.append((message["event_id"], why))

    async def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[str]:
        return [message["event_id"] for message in self.taken]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "FIRST_PAUSE_S", 0.001)


def run(sender: Made, queue: int = 100) -> Runner:
    return Runner(Osc(kind="osc", port=9, queue=queue), sender, {"low": "bass", "high": "treble"})


def test_messages_go_out_in_order_through_every_trouble() -> None:
    async def scene() -> None:
        sender = Made(OSError("no route"), Lost("cut"), Retry("busy"), None, Lost("cut"), RuntimeError("ours"))
        kept = run(sender)
        for number in range(5):
            kept.tell("stage", onset(id=str(number)))
        await until(lambda: len(sender.taken) == 5)
        assert sender.ids == ["0", "1", "2", "3", "4"]
        assert (kept.sent, kept.dropped, kept.failed) == (5, 0, 0)
        assert sender.opened == 5
        assert kept.told()["state"] == "ok"
        await kept.stop()
        assert sender.closed == 5
        assert kept.told()["state"] == "stopped"

    asyncio.run(scene())


def test_a_full_queue_drops_its_oldest_and_counts_them() -> None:
    async def scene() -> None:
        sender = Made()
        sender.gate.clear()
        kept = run(sender, queue=3)
        kept.tell("stage", onset(id="first"))
        await until(lambda: kept.told()["waiting"] == 1 and not kept._queue)  # it is being sent
        for number in range(5):
            kept.tell("stage", onset(id=str(number)))
        assert kept.told()["waiting"] == 4
        sender.gate.set()
        await until(lambda: len(sender.taken) == 4)
        assert sender.ids == ["first", "2", "3", "4"]
        assert kept.dropped == 2
        await kept.stop()

    asyncio.run(scene())


def test_what_is_refused_or_tried_too_often_is_given_up_and_told() -> None:
    async def scene() -> None:
        sender = Made(Refused("gone"), Retry("busy"), Retry("busy"), Retry("busy"))
        sender.attempts = 3
        kept = run(sender)
        for number in range(3):
            kept.tell("stage", onset(id=str(number)))
        await until(lambda: sender.ids == ["2"])
        assert sender.given_up == [("0", "gone"), ("1", "busy (3 times)")]
        assert (kept.sent, kept.failed) == (1, 2)
        await kept.stop()

    asyncio.run(scene())


def test_a_stop_sends_what_waits_and_gives_up_what_cannot_be_sent() -> None:
    async def scene() -> None:
        good = Made()
        kept = run(good)
        await until(lambda: kept.told()["state"] == "ok")
        for number in range(50):
            kept.tell("stage", onset(id=str(number)))
        await kept.stop()
        assert len(good.taken) == 50
        away = Made(*[Lost("away") for _ in range(1_000)])
        kept = run(away)
        kept.tell("stage", onset(id="a"))
        kept.tell("stage", onset(id="b"))
        await until(lambda: kept.told()["state"] == "retrying")
        await kept.stop()
        assert away.given_up == [("a", "the output was stopped"), ("b", "the output was stopped")]

    asyncio.run(scene())


# --- OSC ---


@contextlib.contextmanager
def osc_listener() -> Iterator[tuple[int, "Queue[tuple[Any, ...]]"]]:
    heard: Queue[tuple[Any, ...]] = Queue()
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: heard.put((address, *values)))
    with ThreadingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()
            thread.join()


async def heard(queue: "Queue[tuple[Any, ...]]") -> tuple[Any, ...]:
    return await asyncio.to_thread(queue.get, timeout=60)


def test_a_stopped_output_leaves_no_task() -> None:
    async def scene() -> None:
        async with running(output(kind="osc", port=9)) as (_, ways):
            await until(lambda: ways.told()[0]["state"] == "ok")
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    asyncio.run(scene())


def test_osc_tells_on_and_off_with_scores_and_turns_off_what_is_left() -> None:
    async def scene(port: int, queue: "Queue[tuple[Any, ...]]") -> None:
        async with running(output(kind="osc", port=port)) as (hub, _):
            first, second = onset(score=0.75), onset("high", id="e2", score=0.5)
            hub.tell("stage left/2", first)
            assert await heard(queue) == ("/spiccato/stage_left_2/low", 1, 0.75)
            hub.tell("stage", second)
            assert await heard(queue) == ("/spiccato/stage/high", 1, 0.5)
            hub.tell("stage left/2", {**end(first), "score": 0.25})
            assert await heard(queue) == ("/spiccato/stage_left_2/low", 0, 0.25)
        assert await heard(queue) == ("/spiccato/stage/high", 0, 0.0)

    with osc_listener() as (port, queue):
        asyncio.run(scene(port, queue))


def test_osc_tells_the_scores_of_own_sources_at_the_rate_asked_for() -> None:
    async def scene(port: int, queue: "Queue[tuple[Any, ...]]") -> None:
        way = output(kind="osc", port=port, evidence_hz=10, prefix="/band/1", rule={"labels": ["high"]})
        async with running(way) as (hub, ways):
            await until(lambda: ways.told()[0]["state"] == "ok")
            scores = {"type": "scores", "sample": 1, "top": [["low", 0.9], ["high", 0.5]], "suppressed": []}
            for _ in range(3):  # at once: only the first is due
                hub.publish("stage", scores)
            hub.publish("hall", scores)
            assert await heard(queue) == ("/band/1/stage/high/score", 0.5)
            assert await heard(queue) == ("/band/1/hall/high/score", 0.5)
            assert queue.empty()

    with osc_listener() as (port, queue):
        asyncio.run(scene(port, queue))


# --- webhooks ---


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, and answers as it was told to; then 204."""

    def __init__(self) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.put(({**headers, ":path": self.path}, body))
                status, extra = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **extra}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?key=s3cret"

    async def next(self) -> tuple[dict[str, str], bytes]:
        return await asyncio.to_thread(self.got.get, timeout=60)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_gets_the_events_of_the_wire_signed(receiver: Receiver) -> None:
    async def scene() -> None:
        way = output(kind="webhook", url=receiver.url, secret="whsec_c2VjcmV0", headers={"X-Api-Key": "abc"})
        async with running(way) as (hub, ways):
            note = onset()
            hub.tell("stage", note)
            headers, body = await receiver.next()
            assert json.loads(body) == note
            assert headers[":path"] == "/hook?key=s3cret"
            assert (headers["content-type"], headers["x-api-key"]) == ("application/json", "abc")
            assert headers["webhook-id"] == headers["idempotency-key"] == "e1.onset"
            stamp = int(headers["webhook-timestamp"])
            assert headers["webhook-signature"] == signature(b"secret", "e1.onset", stamp, body)
            hub.tell("stage", end(note))
            assert json.loads((await receiver.next())[1])["phase"] == "offset"
            await until(lambda: ways.told()[0]["sent"] == 2)
            assert "s3cret" not in json.dumps(ways.told())

    asyncio.run(scene())


def test_the_signature_is_that_of_the_specification() -> None:
    # the reference vector of standardwebhooks.com
    secret, id, stamp = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(key(secret), id, stamp, b'{"test": 2432232314}') == expected


def test_a_template_is_filled_without_breaking_out_of_its_place(receiver: Receiver) -> None:
    async def scene() -> None:
        body = {"text": "$label on $source at ${score} for $$5, $reason", "n": "$score", "deep": [{"a": "$offset_ms"}]}
        async with running(output(kind="webhook", url=receiver.url, body=body)) as (hub, _):
            hub.tell('a"b', onset(score=0.5))
            assert json.loads((await receiver.next())[1]) == {
                "text": 'low on a"b at 0.5 for $5, null',
                "n": 0.5,
                "deep": [{"a": None}],
            }
        async with running(output(kind="webhook", url=receiver.url, body="$label $phase")) as (hub, _):
            hub.tell("stage", onset())
            headers, text = await receiver.next()
            assert (headers["content-type"], text) == ("text/plain; charset=utf-8", b"low onset")

    asyncio.run(scene())


def test_a_webhook_is_tried_again_with_the_same_number_and_then_given_up(receiver: Receiver, tmp_path: Path) -> None:
    async def scene() -> None:
        receiver.answers = [(503, {}), (429, {"Retry-After": "0"}), (204, {}), (410, {}), *[(500, {})] * 3]
        letters = tmp_path / "dead.ndjson"
        way = output(kind="webhook", url=receiver.url, attempts=3, dead_letters=str(letters))
        async with running(way) as (hub, ways):
            for number in range(4):
                hub.tell("stage", onset(id=str(number)))
            got = [(await receiver.next())[0] for _ in range(8)]
            assert [headers["webhook-id"] for headers in got] == [f"{n}.onset" for n in (0, 0, 0, 1, 2, 2, 2, 3)]
            await until(lambda: ways.told()[0]["sent"] == 2)
            told = ways.told()[0]
            assert (told["failed"], told["state"]) == (2, "ok")
        dead = [json.loads(line) for line in letters.read_text().splitlines()]
        assert [(one["event"]["event_id"], one["why"].partition(" ")[2]) for one in dead] == [
            ("1", "answered 410 Gone"),
            ("2", "answered 500 Internal Server Error (3 times)"),
        ]

    asyncio.run(scene())


def test_a_web_service_that_is_away_is_waited_for_and_harms_no_other_output(receiver: Receiver) -> None:
    async def scene(port: int, queue: "Queue[tuple[Any, ...]]") -> None:
        away = output(kind="webhook", name="away", url="http://127.0.0.1:9/", attempts=1_00)
        async with running(away, output(kind="webhook", url=receiver.url), output(kind="osc", port=port)) as (
            hub,
            ways,
        ):
            hub.tell("stage", onset())
            assert (await receiver.next())[0]["webhook-id"] == "e1.onset"
            assert (await heard(queue))[0] == "/spiccato/stage/low"
            await until(lambda: ways.told()[0]["state"] == "retrying")
            assert ways.told()[0]["detail"].startswith("http://127.0.0.1:9: ")

    with osc_listener() as (port, queue):
        asyncio.run(scene(port, queue))


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("-1", 0.0), ("soon", 0.0), ("1e9", 3600.0), ("", 0.0), ("nan", 0.0)]
)
def test_what_retry_after_asks_for(text: str, seconds: float) -> None:
    assert wish_s(text) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert wish_s("Fri, 01 Jan 2100 00:00:00 GMT") == 3600.0
    assert wish_s("Fri, 01 Jan 2010 00:00:00 GMT") == 0.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "hooks.example/x"}, "outputs.0.url: this is no address of a web service"),
        ({"url": "http://[::1"}, "outputs.0.url: this is no address of a web service"),
        ({"secret": "whsec_tooshor"}, "outputs.0.secret: what stands behind whsec_ is no base64"),
        ({"secret": "whsec_"}, "outputs.0.secret: what stands behind whsec_ is no base64"),
        ({"headers": {"X-Key": "a\nb: c"}}, "outputs.0.headers.X-Key: no header can be 'X-Key'"),
        ({"headers": {"X Key": "abc"}}, "outputs.0.headers.X Key: no header can be 'X Key'"),
    ],
)
def test_a_webhook_that_could_never_send_is_told_before_it_begins(
    toy: Model, tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    way = {"kind": "webhook", "url": "https://hooks.example/x", **given}
    (mistake,) = mistakes([output(**way)], toy)
    assert f"{'.'.join(map(str, mistake.place))}: {mistake.sentence.partition(': ')[2]}".startswith(told)


# --- commands ---


def script(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(f"import json, os, sys, time, pathlib\nout = pathlib.Path({str(tmp_path / 'out')!r})\n{code}")
    return [sys.executable, str(path)]


def test_a_command_gets_the_event_and_no_secret_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICCATO_TOKEN", "a-secret")
    code = "out.write_text(json.dumps([sys.argv[1:], json.load(sys.stdin), dict(os.environ)]))"

    async def scene() -> None:
        way = output(kind="command", run=[*script(tmp_path, code), "$HOME; touch x"])
        async with running(way) as (hub, ways):
            hub.tell("$(touch x)", onset())
            await until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text())
            assert (ways.told()[0]["sent"], ways.told()[0]["failed"]) == (1, 0)

    asyncio.run(scene())
    arguments, event, environment = json.loads((tmp_path / "out").read_text())
    assert arguments == ["$HOME; touch x"]
    assert event == {**onset(), "source": "$(touch x)"}
    ours = {name: value for name, value in environment.items() if name.startswith("SPICCATO_")}
    assert ours == {
        "SPICCATO_EVENT_ID": "e1",
        "SPICCATO_EVENT_SOURCE": "$(touch x)",
        "SPICCATO_EVENT_LABEL": "low",
        "SPICCATO_EVENT_PHASE": "onset",
        "SPICCATO_EVENT_SCORE": "0.75",
        "SPICCATO_EVENT_PEAK": "0.75",
        "SPICCATO_EVENT_ONSET_MS": "1000.0",
        "SPICCATO_EVENT_UTC_ONSET": "2026-01-02T03:04:05.678Z",
    }


def test_a_command_that_fails_or_is_not_there_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        bad = output(kind="command", name="bad", run=script(tmp_path, "sys.exit('no such light')"))
        async with running(bad, output(kind="command", name="none", run=["/nowhere/at/all"])) as (hub, ways):
            hub.tell("stage", onset())
            await until(lambda: [told["failed"] for told in ways.told()] == [1, 1])

    asyncio.run(scene())
    assert "status=1 no such light" in caplog.text
    assert "/nowhere/at/all cannot be run: No such file or directory" in caplog.text


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


FOREVER = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with out.open("a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
time.sleep(600)
"""


def pids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(output(kind="command", run=script(tmp_path, FOREVER), timeout_s=1.0)) as (hub, ways):
            hub.tell("stage", onset())
            await until(lambda: len(pids(tmp_path / "out")) == 2)
            await until(lambda: ways.told()[0]["failed"] == 1)
            await until(lambda: not any(alive(pid) for pid in pids(tmp_path / "out")))

    asyncio.run(scene())


def test_only_so_many_run_at_once_and_a_stop_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "LAST_WORDS_S", 0.05)  # the third will not have its turn

    async def scene() -> None:
        way = output(kind="command", run=script(tmp_path, FOREVER), at_once=2)
        async with running(way) as (hub, ways):
            for number in range(3):
                hub.tell("stage", onset(id=str(number)))
            await until(lambda: len(pids(tmp_path / "out")) == 4)
            assert (ways.told()[0]["sent"], ways.told()[0]["waiting"]) == (2, 1)
        await until(lambda: not any(alive(pid) for pid in pids(tmp_path / "out")))

    asyncio.run(scene())
