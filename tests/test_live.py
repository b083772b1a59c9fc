"""WS /v1/stream and its neighbours on the real server: what a client sees of sessions, limits, start and stop."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from server.errors import Close
from server.inbox import Dropped
from server.live import Connection
from server.stream import Stream
from server.transport import SOCKET
from tests.live_server import (
    LiveServer,
    bare,
    eventually,
    live_server,
    receive,
    send,
    stream,
    streaming,
    until,
)
from tests.synth import low_high, pcm16, tone

ORDER = [("low", "onset"), ("low", "offset"), ("high", "onset"), ("high", "offset")]


def test_a_session_tells_low_then_high_and_ends_with_a_summary(server: LiveServer) -> None:
    messages = stream(server, pcm16(low_high()))
    assert [(e["label"], e["phase"]) for e in bare(messages)] == ORDER
    summary = messages[-1]
    assert summary["type"] == "summary"
    assert (summary["audio_ms"], summary["dropped_ms"], summary["events"]) == (3500, 0, 2)
    assert [label["label"] for label in summary["labels"]] == ["low", "high"]
    assert [m["seq"] for m in messages] == list(range(1, len(messages) + 1))  # 0 was `ready`


@pytest.mark.parametrize("chunk_bytes", [2, 322, 1_280, 64_000, 112_000])
def test_any_chunk_size_gives_the_same_events(server: LiveServer, chunk_bytes: int) -> None:
    pcm = pcm16(low_high())
    assert bare(stream(server, pcm[:32_000], chunk_bytes)) == bare(stream(server, pcm[:32_000]))
    if chunk_bytes > 100:
        assert bare(stream(server, pcm, chunk_bytes)) == bare(stream(server, pcm))


def test_sessions_at_once_say_what_each_says_alone(server: LiveServer) -> None:
    rng = np.random.default_rng(5)
    sounds = [pcm16(np.roll(low_high(), int(rng.integers(50_000)))) for _ in range(12)]
    alone = [bare(stream(server, sound)) for sound in sounds]
    file = {"kind": "file"}  # whose pace does not matter on a busy machine
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda i: bare(stream(server, sounds[i], 320 * (1 + i), source=file)), range(12)))
    assert together == alone


def test_stop_is_answered_by_the_last_events_the_summary_and_close_1000(server: LiveServer) -> None:
    with streaming(server) as ws:
        ws.send(pcm16(tone(200, 1)))
        send(ws, "stop")
        messages = until(ws, "summary")
        assert messages[-2]["phase"] == "offset"
        assert messages[-2]["reason"] == "stop"
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


def test_ready_comes_at_once_and_events_while_the_sound_goes_on(server: LiveServer) -> None:
    with streaming(server) as ws:
        assert receive(ws)["type"] == "started"
        ws.send(pcm16(tone(200, 0.5)))
        onset = until(ws, "event")[-1]
        assert (onset["label"], onset["phase"], onset["is_final"]) == ("low", "onset", False)
        assert 0 < onset["latency_ms"] < 5_000
        assert onset["utc_onset"].endswith("Z")


def test_audio_sent_before_started_is_read_is_heard(server: LiveServer) -> None:
    with connect(f"{server.ws}/v1/stream") as ws:
        send(ws, "start", audio={"encoding": "pcm_s16le", "sample_rate": 16_000})
        ws.send(pcm16(low_high()))
        send(ws, "stop")
        assert [(e["label"], e["phase"]) for e in bare(until(ws, "summary"))] == ORDER


def test_a_client_that_goes_away_leaves_no_connection_behind(server: LiveServer) -> None:
    before = len(server.service.sessions)
    for _ in range(5):
        with streaming(server) as ws:
            receive(ws)
            ws.send(pcm16(tone(200, 0.3)))
            ws.socket.close()  # no close frame: the cable is cut
    eventually(lambda: len(server.service.sessions) <= before)  # those of the test before may still be leaving


def test_a_client_that_sends_faster_than_the_engine_hears_loses_nothing(toy_path: Path) -> None:
    with live_server(model=toy_path, queue_ms=100, threads=1) as server:
        minute = pcm16(np.tile(low_high(), 20))
        with ThreadPoolExecutor(3) as pool:
            runs = list(pool.map(lambda _: stream(server, minute, 32_000), range(3)))
        for messages in runs:
            assert messages[-1]["processed_ms"] == 70_000
            assert messages[-1]["dropped_ms"] == 0
            assert bare(messages) == bare(runs[0])
            assert messages[-1]["events"] == 40


@pytest.mark.parametrize(("policy", "dropped"), [("drop_oldest", "first"), ("drop_newest", "last")])
def test_audio_that_comes_faster_than_it_is_heard_is_dropped_as_asked_and_told(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, dropped: str
) -> None:
    """Two seconds come while the engine does nothing; 500 ms may wait. With scores it is heard alone."""
    whole = Stream.audio
    heard, go_on = threading.Event(), threading.Event()

    def held(stream: Stream, data: bytes, arrived: float) -> Any:
        if stream.hearing.rate_hz == 48_000:
            heard.set()
            assert go_on.wait(30)
        return whole(stream, data, arrived)

    monkeypatch.setattr(Stream, "audio", held)
    sound = pcm16(low_high(48_000))[: 4 * 48_000]
    with (
        live_server(model=toy_path, queue_ms=500) as server,
        streaming(server, 48_000, on_overload=policy, emit={"scores_hz": 1}) as ws,
    ):
        for at in range(0, len(sound), 1_920):
            ws.send(sound[at : at + 1_920])
            if not heard.is_set():
                assert heard.wait(30)  # the first chunk is in the engine: the rest waits
        assert bare(stream(server, pcm16(low_high())))  # a neighbour
        inbox = next(iter(server.service.sessions._running)).inbox
        eventually(lambda: 71_040 in [item.what.samples for item, _ in list(inbox._items) if isinstance(item, Dropped)])
        assert inbox.audio_bytes == 48_000
        go_on.set()
        send(ws, "stop")
        messages = until(ws, "summary")
    (gap,) = [m for m in messages if m["type"] == "gap"]
    first = 960 if dropped == "first" else 960 + 24_000
    assert (gap["from_sample"], gap["samples"], gap["where"], gap["reason"]) == (first, 71_040, "queue", "overload")
    assert (messages[-1]["audio_ms"], messages[-1]["dropped_ms"], messages[-1]["gaps"]) == (2_000, 1_480, 1)


def test_a_session_too_many_is_refused_before_the_upgrade(toy_path: Path) -> None:
    with live_server(model=toy_path, max_sessions=2) as server:
        with streaming(server) as first, streaming(server):
            receive(first)
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{server.ws}/v1/stream").__enter__()
            response = refused.value.response
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            error = json.loads(response.body or b"")["error"]
            assert error == {
                "code": "too_many_sessions",
                "message": "2 sessions are open: the limit is 2",
                "retryable": True,
            }
            with connect(f"{server.ws}/v1/stream", origin=server.url) as page:  # type: ignore[arg-type]
                told = receive(page)  # a page cannot read a 503
                assert {name: told[name] for name in error} == error
                with pytest.raises(ConnectionClosed) as closed:
                    page.recv(60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1013
            assert len(server.service.sessions) == 2
            send(first, "stop")
            until(first, "summary")
        eventually(lambda: not server.service.sessions)
        assert bare(stream(server, pcm16(low_high())))


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1", "http://[", ""])
def test_a_page_of_another_site_is_refused(server: LiveServer, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{server.ws}/v1/stream", origin=origin).__enter__()  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    for method, path in (("GET", "/v1/info"), ("POST", "/v1/classify")):
        answer = httpx.request(method, server.url + path, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "foreign_origin"


def test_the_service_s_own_page_is_let_in(server: LiveServer) -> None:
    assert httpx.get(f"{server.url}/v1/info", headers={"Origin": server.url}).status_code == 200
    with connect(f"{server.ws}/v1/stream", origin=server.url) as ws:  # type: ignore[arg-type]
        assert receive(ws)["type"] == "ready"


def test_the_page_is_asked_for_again_at_each_visit(server: LiveServer) -> None:
    first = httpx.get(f"{server.url}/state.js")
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    again = httpx.get(f"{server.url}/state.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


def test_info_tells_labels_formats_and_limits(server: LiveServer) -> None:
    info = httpx.get(f"{server.url}/v1/info").json()
    assert info["model"]["labels"] == ["low", "high"]
    assert len(info["model"]["sha256"]) == 64
    assert info["stream"]["encodings"] == ["pcm_s16le", "pcm_s24le", "pcm_f32le"]
    assert info["stream"]["sample_rate"] == [8_000, 192_000]
    assert info["upload"]["max_bytes"] == server.settings.max_upload_bytes
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "alive"}
    eventually(lambda: httpx.get(f"{server.url}/readyz").json()["status"] == "ready")


def test_nothing_is_served_before_the_kernels_are_ready(server: LiveServer) -> None:
    server.service.ready = False
    try:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        assert httpx.post(f"{server.url}/v1/classify", content=b"x").json()["error"]["code"] == "starting"
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.ws}/v1/stream").__enter__()
        assert refused.value.response.status_code == 503
    finally:
        server.service.ready = True


def test_when_the_server_stops_each_session_gets_its_last_events_and_summary(toy_path: Path) -> None:
    messages: list[Any] = []
    with live_server(model=toy_path) as server:
        ws = streaming(server)
        socket = ws.__enter__()
        receive(socket)
        socket.send(pcm16(tone(200, 1)))
        until(socket, "event")
    messages = until(socket, "summary")
    assert (messages[-2]["phase"], messages[-2]["reason"]) == ("offset", "shutdown")
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    ws.__exit__(None, None, None)


def test_a_stalled_source_is_told_and_an_idle_session_is_closed(toy_path: Path) -> None:
    with live_server(model=toy_path, stall_ms=300, idle_s=1.0) as server, streaming(server) as ws:
        ws.send(pcm16(tone(200, 0.5)))
        messages = until(ws, "summary")
        assert ("event", "stall") in [(m["type"], m.get("reason")) for m in messages]
        assert ("source", "stalled") in [(m["type"], m.get("state")) for m in messages]
        assert messages[-2]["code"] == "idle"
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408


def test_one_line_is_logged_when_a_client_connects_and_one_when_it_leaves(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "spiccato.live"):
        session = stream(server, pcm16(low_high()))[0]["session"]
        lines = [r.getMessage() for r in caplog.records if session in r.getMessage()]
        eventually(lambda: len([r for r in caplog.records if session in r.getMessage()]) == 2)
    lines = [r.getMessage() for r in caplog.records if session in r.getMessage()]
    assert lines[0].startswith(f"connect session={session} peer=127.0.0.1:")
    assert lines[1].startswith(
        f"disconnect session={session} code=1000 reason=ended audio_ms=3500 dropped_ms=0 events=2"
    )


def test_a_fault_of_the_server_ends_one_session_with_an_error_and_no_other(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Stream.begin

    def faulty(stream: Stream, data: bytes, arrived: float) -> Any:
        if stream.hearing.rate_hz == 44_100:
            raise RuntimeError("a fault")
        return whole(stream, data, arrived)

    monkeypatch.setattr(Stream, "begin", faulty)
    with streaming(server) as beside, streaming(server, 44_100) as ws:
        beside.send(pcm16(low_high()))
        ws.send(bytes(640))
        error, summary = until(ws, "summary")[-2:]
        assert (error["code"], error["retryable"], summary["type"]) == ("internal", True, "summary")
        assert "a fault" not in error["message"]
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4500
        send(beside, "stop")
        assert [(e["label"], e["phase"]) for e in bare(until(beside, "summary"))] == ORDER
    assert "a fault" in caplog.text


def test_nothing_passes_what_waits_for_room_and_after_the_end_nothing_comes() -> None:
    """What the socket asks first is the seat, but only while no message waits behind a full queue."""
    room: list[bool] = []
    asked: list[Any] = []
    socket = SimpleNamespace(ask_first=asked.append, hold=lambda held: None)
    conversation = SimpleNamespace(came=lambda data, arrived: room.pop(), outbox=None, session=None)
    sessions = SimpleNamespace(enter=lambda connection: conversation)

    async def test() -> None:
        connection = Connection(SimpleNamespace(scope={SOCKET: socket}), sessions, 5.0)  # type: ignore[arg-type]

        def seat(data: bytes, arrived: float) -> bool:
            return True

        connection.seat(seat)
        assert asked[-1] is seat
        room.append(False)
        connection.came(b"one")
        assert asked[-1] is None
        room[:] = [False, True]
        connection.came(b"two")
        connection.let_in()
        connection.seat(seat)
        assert asked[-1] is None  # "two" waits still
        room[:] = [True]
        connection.let_in()
        assert asked[-1] is seat
        connection.cut(Close.TAKEN_OVER, "a newer connection")
        connection.seat(seat)
        assert asked[-1] is None

    asyncio.run(test())
