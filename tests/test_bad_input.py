"""Whatever comes in: a clear error with a code, the server goes on, a session beside it notices nothing."""

import contextlib
import json
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.audio_files import write
from tests.live_server import LiveServer, bare, receive, send, stream, streaming, until
from tests.synth import low_high, pcm16, silence, tone

START = json.dumps({"type": "start", "audio": {"encoding": "pcm_f32le", "sample_rate": 16_000}})


def started_with(**audio: Any) -> str:
    return json.dumps({"type": "start", "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, **audio}})


# what is sent, and what comes of it: the error's code, the close code, and what its message must name
BAD = {
    "binary before start": ([bytes(640)], "audio_before_start", 4400, "640 bytes"),
    "text that is not JSON": (["play something"], "bad_json", 4400, "'play something'"),
    "text that is not JSON after start": ([START, "{'type': 'stop'}"], "bad_json", 4400, "is not JSON"),
    "JSON without a type": (["{}"], "bad_message", 4400, '"type"'),
    "a rate too low": ([started_with(sample_rate=400)], "sample_rate_out_of_range", 4400, "400"),
    "a rate too high": ([started_with(sample_rate=1_000_000)], "sample_rate_out_of_range", 4400, "192000"),
    "a rate that is no number": ([started_with(sample_rate="fast")], "sample_rate_out_of_range", 4400, "'fast'"),
    "an unknown encoding": ([started_with(encoding="mp3")], "unsupported_encoding", 4415, "pcm_f32le"),
    "too many channels": ([started_with(channels=64)], "bad_channels", 4400, "64"),
    "an unknown label": (
        [json.dumps({**json.loads(START), "detect": {"labels": ["theremin"]}})],
        "unknown_label",
        4400,
        "'theremin'",
    ),
    "thresholds the wrong way round": (
        [json.dumps({**json.loads(START), "detect": {"thresholds": {"low": {"on": 0.3, "off": 0.6}}}})],
        "bad_thresholds",
        4400,
        "on=0.3, off=0.6",
    ),
    "NaN in float PCM": ([START, struct.pack("<3f", 0, float("nan"), 0)], "non_finite_sample", 4400, "sample 1"),
    "infinity in float PCM": ([START, struct.pack("<2f", float("-inf"), 0)], "non_finite_sample", 4400, "-inf"),
    "float PCM scaled as integers": ([START, struct.pack("<f", 20_000)], "sample_out_of_range", 4400, "20000"),
    "half a sample": ([START, bytes(6)], "partial_sample", 4400, "multiple of 4"),
    "an empty binary message": ([START, b""], "empty_chunk", 4400, '{"type":"stop"}'),
    "a chunk too large": ([START, bytes(1_048_580)], "chunk_too_large", 1009, "1048576"),
    "a text message too large": ([json.dumps({"type": "start", "x": "y" * 70_000})], "chunk_too_large", 1009, "65536"),
    "a second start": ([START, START], "already_started", 4400, "second start"),
    "flush before start": (['{"type":"flush"}'], "bad_message", 4400, "flush before start"),
}


@contextmanager
def neighbour(server: LiveServer) -> Iterator[list[Any]]:
    """A session that streams while the block runs; its messages, whole after the block."""
    pcm = pcm16(np.tile(low_high(), 2))
    messages: list[Any] = []
    first_half, block_done = threading.Event(), threading.Event()

    def run() -> None:
        with streaming(server, source={"kind": "file"}) as ws:  # it may wait while the block runs
            for at in range(0, len(pcm), 640):
                if at >= len(pcm) // 2 and not first_half.is_set():
                    first_half.set()
                    block_done.wait(60)
                ws.send(pcm[at : at + 640])
            send(ws, "stop")
            messages.extend(until(ws, "summary"))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert first_half.wait(60)
        try:
            yield messages
        finally:
            block_done.set()
        running.result(60)
    assert bare(messages) == bare(stream(server, pcm))
    assert len(bare(messages)) == 8


def conversation(server: LiveServer, sent: list[str | bytes]) -> tuple[list[dict[str, Any]], int]:
    """What the server said, and its close code."""
    with connect(f"{server.ws}/v1/stream", max_size=None) as ws:
        for message in sent:
            ws.send(message)
        return rest(ws)


def rest(ws: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """All that still comes, and the server's close code."""
    told = []
    try:
        while True:
            told.append(receive(ws))
    except ConnectionClosed as closed:
        return told, closed.rcvd.code if closed.rcvd else 1006


def test_every_bad_message_has_a_clear_error_and_a_neighbour_notices_nothing(server: LiveServer) -> None:
    with neighbour(server):
        for name, (sent, code, close, says) in BAD.items():
            told, closed = conversation(server, sent)
            error, summary = told[-2:]
            assert (error["type"], error["code"], closed) == ("error", code, close), name
            assert says in error["message"], name
            assert (error["fatal"], error["retryable"]) == (True, False), name
            assert summary["type"] == "summary", name
            assert [m["seq"] for m in told] == list(range(len(told))), name


def test_every_bad_file_has_a_clear_error_and_a_neighbour_notices_nothing(server: LiveServer, tmp_path: Path) -> None:
    whole = write(tmp_path / "a.wav", low_high(), 16_000)
    broken = low_high()
    broken[9_999] = np.nan
    files = {
        "empty": (b"", 422, "empty_file"),
        "text": (b"la la la\n" * 100, 415, "undecodable"),
        "truncated": (whole[: len(whole) // 2], 422, "truncated"),
        "a header and no sound": (write(tmp_path / "b.wav", silence(0), 16_000), 422, "no_audio"),
        "NaN": (write(tmp_path / "c.wav", broken, 16_000, "FLOAT"), 422, "non_finite_sample"),
        "too many channels": (write(tmp_path / "d.wav", np.zeros((99, 9), "f4"), 16_000), 422, "too_many_channels"),
        "a rate too low": (write(tmp_path / "e.wav", silence(1, 4_000), 4_000), 422, "sample_rate_out_of_range"),
    }
    with neighbour(server):
        for name, (data, status, code) in files.items():
            answer = httpx.post(f"{server.url}/v1/classify", files={"file": (name, data)})
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["retryable"]) == (status, code, False), name
            assert len(error["message"]) > 10


def test_a_silent_stream_has_no_events(server: LiveServer) -> None:
    messages = stream(server, pcm16(silence(5)))
    assert bare(messages) == []
    assert {m["rms_dbfs"] for m in messages if m["type"] == "level"} == {None}


def test_a_client_that_goes_on_sending_after_an_error_still_reads_it(server: LiveServer) -> None:
    with connect(f"{server.ws}/v1/stream") as ws:
        ws.send(START)
        ws.send(tone(200, 1).tobytes())
        ws.send(b"123")
        with contextlib.suppress(ConnectionClosed):  # the server's close crosses our audio
            for _ in range(100_000):
                ws.send(bytes(64_000))
        told, closed = rest(ws)
    assert [m["type"] for m in told[-3:]] == ["event", "error", "summary"]
    assert closed == 4400
