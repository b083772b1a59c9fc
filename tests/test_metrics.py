"""Seen from outside: /metrics, /readyz and the log, on the real server."""

import json
import logging
import re
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.headers import request_id
from server.logs import Json, Text
from server.meter import Histogram, Meter, Meters
from tests.conftest import ROOT
from tests.live_server import LiveServer, eventually, live_server, receive, send, stream, streaming, until
from tests.synth import low_high, pcm16


def told(server: LiveServer) -> dict[str, float]:
    """Every sample: `name{label=value}` to its value."""
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_what_a_session_did_is_in_the_metrics(toy_path: Path) -> None:
    with live_server(model=toy_path, max_sessions=1) as server:
        before = told(server)
        assert before["spiccato_sessions"] == before["spiccato_audio_seconds_total"] == 0
        with streaming(server) as ws:
            receive(ws)
            with pytest.raises(Exception, match="503"):
                streaming(server).__enter__()
            half = pcm16(low_high()[:28_000])
            for at in range(0, len(half), 640):
                ws.send(half[at : at + 640])
            send(ws, "gap", samples=8_000, reason="capture_overflow")
            send(ws, "flush", id="f")
            until(ws, "flushed")
            during = told(server)
            assert during["spiccato_sessions"] == 1
            assert during["spiccato_audio_seconds_total"] == pytest.approx(1.75)
            assert during["spiccato_events_total{phase=onset}"] == during["spiccato_events_total{phase=offset}"] == 1
            send(ws, "stop")
            until(ws, "summary")
        eventually(lambda: told(server)["spiccato_sessions"] == 0)
        after = told(server)
        assert after["spiccato_sessions_opened_total"] == 1
        assert after["spiccato_refused_total{code=too_many_sessions}"] == 1
        assert after["spiccato_audio_seconds_total"] == pytest.approx(1.75)
        assert after["spiccato_frames_total"] == 175
        assert after["spiccato_dropped_milliseconds_total{where=client}"] == pytest.approx(500)
        chunks = -(-len(half) // 640)
        assert (
            after["spiccato_chunk_latency_seconds_count"]
            == after["spiccato_chunk_latency_seconds_bucket{le=+Inf}"]
            == chunks
        )
        assert 0 < after["spiccato_engine_seconds_total"] < 5
        assert after["spiccato_inbox_bytes"] == after["spiccato_engine_queue"] == 0
        eventually(lambda: told(server)["spiccato_event_loop_lag_seconds_count"] > 0)
        assert [name for name in after if name.startswith("spiccato_build_info{")]


def test_uploads_are_counted_by_outcome(server: LiveServer) -> None:
    before = told(server)
    assert httpx.post(f"{server.url}/v1/classify", content=b"no sound").status_code == 415
    after = told(server)
    key = "spiccato_uploads_done_total{outcome=undecodable}"
    assert after[key] - before.get(key, 0) == 1


def test_no_name_from_outside_becomes_a_label(server: LiveServer) -> None:
    stream(server, pcm16(low_high()), source={"name": "a-name-from-outside", "kind": "network"})
    for path in ("/v1/from-outside", "/metrics/from-outside"):
        httpx.get(f"{server.url}{path}", headers={"X-Request-ID": "from-outside"})
    text = httpx.get(f"{server.url}/metrics").text
    assert "from-outside" not in text
    assert len(text.splitlines()) < 250


def test_every_metric_is_documented(server: LiveServer) -> None:
    documents = (ROOT / "docs" / "operations.md").read_text()
    names = {re.sub(r"(_bucket|_count|_sum|_created)?(\{.*)?$", "", name) for name in told(server)}
    ours = {name for name in names if name.startswith("spiccato_")}
    assert len(ours) > 15
    assert {name for name in ours if f"`{name}" not in documents} == set()


def test_a_histogram_counts_what_lies_at_or_below_each_edge() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert (histogram.counts, histogram.sum) == ([2, 1, 1], 12.0)
    other = Histogram((1.0, 2.0))
    other.add(histogram)
    other.add(histogram)
    assert (other.counts, other.sum) == ([4, 2, 2], 24.0)


def test_what_an_ended_session_did_stays_in_the_sum() -> None:
    meters = Meters()
    one, other = meters.open(), meters.open()
    one.audio_s, other.audio_s = 2.0, 3.0
    one.events["onset"] += 1
    meters.close(one)
    assert (meters.opened, meters.total().audio_s, meters.total().events["onset"]) == (2, 5.0, 1)


def test_counting_a_chunk_costs_next_to_nothing() -> None:
    meter = Meter()
    began = time.perf_counter()
    for _ in range(10_000):
        meter.latency.observe(0.003)
        meter.heard(None)
    assert (time.perf_counter() - began) / 10_000 < 20e-6  # a chunk of 20 ms costs a thousand times as much to hear


# --- ready ---


def checks(server: LiveServer) -> tuple[int, str, dict[str, bool]]:
    answer = httpx.get(f"{server.url}/readyz")
    body = answer.json()
    assert all(check["reason"] for check in body["checks"])
    return answer.status_code, body["status"], {check["name"]: check["ok"] for check in body["checks"]}


def test_ready_means_that_every_check_is_good(server: LiveServer) -> None:
    names = ["model", "kernels", "sources", "event_loop", "draining", "history", "bus", "failover", "outputs"]
    eventually(lambda: checks(server)[0] == 200, 20)  # the tests before may have held the event loop up
    assert checks(server) == (200, "ready", dict.fromkeys(names, True))


def test_what_is_not_ready_is_named(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    eventually(lambda: checks(server)[0] == 200)
    service = server.service
    for name, object_, value, check, status in (
        ("ready", service, False, "kernels", "starting"),
        ("failed", service, RuntimeError("no compiler"), "kernels", "not ready"),
        ("sources_known", service, False, "sources", "not ready"),
        ("worst_lag_s", service.metrics, 30.0, "event_loop", "not ready"),
        ("draining", service, True, "draining", "draining"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(object_, name, value)
            code, told_status, found = checks(server)
        assert (code, told_status, [name for name, ok in found.items() if not ok]) == (503, status, [check])
    eventually(lambda: checks(server)[0] == 200)


def test_an_event_loop_that_was_stuck_is_no_place_for_the_next_session(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object) -> list[object]:
        time.sleep(1.5)  # on the event loop, which is the mistake
        return []

    with monkeypatch.context() as patch:
        patch.setattr(server.service.sources, "told", stuck)
        httpx.get(f"{server.url}/v1/sources")
    code, _, found = checks(server)
    assert (code, found["event_loop"]) == (503, False)
    eventually(lambda: checks(server)[0] == 200, 20)  # it forgets


# --- the log ---


def record(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("spiccato.live", logging.INFO, "live.py", 1, message, values, None)


def test_a_line_as_json_has_its_fields_as_values() -> None:
    line = json.loads(
        Json().format(record("disconnect session=%s code=%s audio_ms=%.1f why=%r", "s_1", 1000, 3500.0, "a b"))
    )
    assert (line["level"], line["logger"]) == ("info", "spiccato.live")
    assert (line["session"], line["code"], line["audio_ms"], line["why"]) == ("s_1", 1000, 3500.0, "a b")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", line["time"])


def test_nobody_writes_a_second_line_or_another_field_into_the_log() -> None:
    evil = record("refused path=%r", "x level=critical\n2026-01-01 ERROR forged")
    assert Text().format(record("refused path=%s", "x\r\nforged")).count("\n") == 0
    line = json.loads(Json().format(evil))
    assert line["level"] == "info"
    assert "\n" not in Json().format(evil)


def test_lines_name_the_request_they_belong_to(server: LiveServer) -> None:
    given = httpx.get(f"{server.url}/v1/info", headers={"X-Request-ID": "from-a-proxy.1"})
    assert given.headers["x-request-id"] == "from-a-proxy.1"
    for bad in ("a b", "x" * 65, "ä".encode()):
        answer = httpx.get(f"{server.url}/v1/info", headers={"X-Request-ID": bad})
        assert re.fullmatch(r"r_[0-9a-f]{12}", answer.headers["x-request-id"])
    token = request_id.set("r_1")
    try:
        assert Text().format(record("connect")).endswith("connect request=r_1")
        assert json.loads(Json().format(record("connect")))["request"] == "r_1"
    finally:
        request_id.reset(token)
