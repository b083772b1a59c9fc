"""POST /v1/classify on the real server: the same events as live, every limit, flat memory."""

import io
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from server.decode import DecodeLimits, Decoder
from tests.audio_files import FORMATS, write
from tests.live_server import LiveServer, bare, eventually, live_server, stream
from tests.synth import low_high, render, silence, tone, write_wav

ROOT = Path(__file__).resolve().parents[1]


def post(server: LiveServer, data: bytes, name: str | None = None) -> httpx.Response:
    if name is None:
        return httpx.post(f"{server.url}/v1/classify", content=data, timeout=60)
    return httpx.post(f"{server.url}/v1/classify", files={"file": (name, data)}, timeout=60)


def refused(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_each_format_is_heard(server: LiveServer, tmp_path: Path, suffix: str) -> None:
    data = write(tmp_path / f"a.{suffix}", low_high(44_100), 44_100)
    answer = post(server, data, f"a.{suffix}")
    assert answer.status_code == 200, answer.text
    events = answer.json()["events"]
    assert [(e["label"], e["phase"], e["is_final"], e["source"]) for e in events] == [
        ("low", "offset", True, f"a.{suffix}"),
        ("high", "offset", True, f"a.{suffix}"),
    ]
    summary = answer.json()["summary"]
    assert summary["audio_ms"] == pytest.approx(3_500, abs=60)
    assert [(row["label"], row["events"]) for row in summary["labels"]] == [("low", 1), ("high", 1)]
    assert events[0]["onset_ms"] == pytest.approx(500, abs=60)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "encoding"),
    [
        (16_000, 1, "PCM_16", "pcm_s16le"),
        (44_100, 2, "PCM_16", "pcm_s16le"),
        (48_000, 1, "PCM_24", "pcm_s24le"),
        (96_000, 2, "FLOAT", "pcm_f32le"),
    ],
)
def test_a_file_and_a_stream_of_the_same_samples_give_the_same_events(
    server: LiveServer, tmp_path: Path, rate: int, channels: int, subtype: str, encoding: str
) -> None:
    sound = np.stack([low_high(rate) * (0.5 + c) for c in range(channels)], axis=1)
    path = write_wav(tmp_path / "a.wav", sound, rate, subtype)
    file = post(server, path.read_bytes(), "a.wav").json()
    pcm = path.read_bytes()[-len(sound) * channels * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype] :]
    if subtype == "FLOAT":  # libsndfile appends a chunk
        pcm = sound.astype("<f4").tobytes()
    frame = len(pcm) // len(sound)
    audio = {"encoding": encoding, "sample_rate": rate, "channels": channels}
    for chunk in (frame * (rate // 50), frame * 1_237):
        live = stream(server, pcm, chunk, audio=audio)
        assert bare(file["events"]) == [event for event in bare(live) if event["phase"] == "offset"]
        assert live[-1]["labels"] == file["summary"]["labels"]
    assert len(file["events"]) == 2


def test_rendered_music_gives_the_same_events_as_a_file_and_as_a_stream(
    orchestra_server: LiveServer, tmp_path: Path
) -> None:
    path = render(tmp_path / "trumpet.wav", "trumpet", [60, 64, 67, 72])
    file = post(orchestra_server, path.read_bytes(), "trumpet.wav").json()
    samples, rate = soundfile.read(path, dtype="int16")
    live = stream(orchestra_server, samples.tobytes(), 1_918, rate)
    assert bare(file["events"]) == sorted(
        (event for event in bare(live) if event["phase"] == "offset"),
        key=lambda event: (event["onset_sample"], event["label"]),
    )


@pytest.mark.parametrize("instrument", ["violin", "trumpet", "piano"])
def test_a_real_recording_gives_the_same_events_as_a_file_and_as_a_stream(
    orchestra_server: LiveServer, shared_data: Path, instrument: str
) -> None:
    for path in sorted((shared_data / "audio" / instrument).glob("*.ogg"))[:3]:
        assert_same_as_a_stream_of_its_samples(orchestra_server, path.read_bytes())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_gives_the_events_of_its_decoded_samples(server: LiveServer, tmp_path: Path, suffix: str) -> None:
    sound = np.stack([low_high(44_100), 0.5 * low_high(44_100)], axis=1)
    assert_same_as_a_stream_of_its_samples(server, write(tmp_path / f"a.{suffix}", sound, 44_100))


def assert_same_as_a_stream_of_its_samples(server: LiveServer, data: bytes) -> None:
    decoder = Decoder(io.BytesIO(data), DecodeLimits(audio_s=60, channels=2, wall_s=60))
    samples = np.concatenate(list(decoder.blocks()))
    decoder.close()
    audio = {"encoding": "pcm_f32le", "sample_rate": decoder.rate_hz, "channels": decoder.channels}
    live = stream(server, samples.tobytes(), 8 * 1_234, audio=audio)
    ended = [event for event in bare(live) if event["phase"] == "offset"]
    assert bare(post(server, data).json()["events"]) == sorted(ended, key=lambda e: (e["onset_sample"], e["label"]))


def test_a_raw_body_is_as_good_as_a_form(server: LiveServer, tmp_path: Path) -> None:
    data = write(tmp_path / "a.flac", low_high(), 16_000)
    raw, form = post(server, data).json(), post(server, data, "a.flac").json()
    assert bare(raw["events"]) == bare(form["events"])
    assert raw["events"][0]["source"] == "upload"


def test_a_name_with_a_path_is_only_a_name(server: LiveServer, tmp_path: Path) -> None:
    data = write(tmp_path / "a.flac", low_high(), 16_000)
    assert post(server, data, "../../etc/C:\\dir\\x.flac").json()["events"][0]["source"] == "x.flac"


def test_a_file_of_silence_has_no_events(server: LiveServer, tmp_path: Path) -> None:
    answer = post(server, write(tmp_path / "a.flac", silence(20), 16_000))
    assert answer.status_code == 200
    assert answer.json()["events"] == answer.json()["summary"]["labels"] == []
    assert answer.json()["summary"]["audio_ms"] == 20_000


def test_the_body_is_counted_as_it_comes_whatever_its_length_header_says(toy_path: Path) -> None:
    with live_server(model=toy_path, max_upload_bytes=200_000) as server:

        def without_length() -> Any:
            for _ in range(30):
                yield bytes(10_000)

        answer = httpx.post(f"{server.url}/v1/classify", content=without_length())
        assert refused(answer) == (413, "upload_too_large", "the upload is over 200000 bytes: that is the limit")
        assert refused(post(server, bytes(300_000)))[:2] == (413, "upload_too_large")
        assert refused(post(server, bytes(300_000), "x.wav"))[:2] == (413, "upload_too_large")
        assert post(server, b"").json()["error"]["code"] == "empty_file"


def test_a_body_that_trickles_in_does_not_hold_its_place_for_ever(toy_path: Path) -> None:
    with live_server(model=toy_path, max_upload_wall_s=0.5) as server:
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port or 0), timeout=60) as client:
            client.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nRIFF")
            answer = client.recv(65_536)
        assert b" 408 " in answer.partition(b"\r\n")[0]
        assert b"upload_timeout" in answer
        eventually(lambda: server.service.uploads == 0)


def test_uploads_beyond_the_limit_are_told_to_come_back(toy_path: Path) -> None:
    with live_server(model=toy_path, max_uploads=1) as server, ThreadPoolExecutor() as pool:
        sending = threading.Event()

        def slow_body() -> Any:
            yield b"RIFF"
            sending.wait(30)

        first = pool.submit(httpx.post, f"{server.url}/v1/classify", content=slow_body(), timeout=60)
        try:
            eventually(lambda: server.service.uploads == 1)
            second = post(server, b"x")
            assert refused(second) == (503, "too_many_uploads", "1 uploads are in work: the limit is 1")
            assert second.json()["error"]["retryable"] is True
            assert int(second.headers["retry-after"]) > 0
        finally:
            sending.set()
        assert refused(first.result())[1] == "undecodable"
        assert refused(post(server, b"x"))[1] == "undecodable"


def test_a_form_without_a_file_is_told_what_it_lacks(server: LiveServer) -> None:
    answer = httpx.post(f"{server.url}/v1/classify", files={"audio": b"x"})
    assert refused(answer)[:2] == (400, "no_file")
    assert "'file'" in refused(answer)[2]
    answer = httpx.post(f"{server.url}/v1/classify", content=b"x", headers={"content-type": "multipart/form-data"})
    assert refused(answer)[:2] == (400, "bad_message")
    two = [("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))]
    assert refused(httpx.post(f"{server.url}/v1/classify", files=two))[:2] == (400, "bad_message")
    cut = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
    answer = httpx.post(
        f"{server.url}/v1/classify", content=cut, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert refused(answer) == (
        400,
        "bad_message",
        "the multipart body cannot be read: it ends before its last boundary",
    )


def test_a_client_that_goes_away_while_it_uploads_leaves_nothing_behind(server: LiveServer) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0)) as client:
        client.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nRIFF")
        eventually(lambda: server.service.uploads == 1)
    eventually(lambda: server.service.uploads == 0)


def ten_hours(path: Path) -> Path:
    """A real FLAC file of ten hours of silence, under a megabyte."""
    with soundfile.SoundFile(path, "w", 8_000, 1, subtype="PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(8_000 * 600, np.int16))
    return path


MEASURE = """
import json, resource, sys
from pathlib import Path
from engine.weights import load
from server.classify import classify
from server.decode import DecodeLimits
from server.errors import Refusal

def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

model = load(Path(sys.argv[1]))
def hear(path, audio_s):
    with open(path, "rb") as file:
        return classify(model, file, "x", DecodeLimits(audio_s=audio_s, channels=8, wall_s=100))
hear(sys.argv[2], 60)
before = peak_mb()
try:
    hear(sys.argv[3], 1800)
except Refusal as refusal:
    print(json.dumps({"code": refusal.code, "message": refusal.message, "grown_mb": peak_mb() - before}))
"""


def test_a_ten_hour_file_is_refused_by_its_decoded_seconds_in_bounded_memory(toy_path: Path, tmp_path: Path) -> None:
    long = ten_hours(tmp_path / "long.flac")
    assert long.stat().st_size < 2_000_000  # 576 MB as samples
    write(tmp_path / "short.flac", tone(440, 30, 8_000), 8_000)
    arguments = [str(toy_path), str(tmp_path / "short.flac"), str(long)]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(run.stdout)
    assert told["code"] == "audio_too_long"
    assert told["message"] == "more than 1800 s of audio: that is the limit of an upload"
    assert told["grown_mb"] < 10

    with live_server(model=toy_path, max_upload_s=60) as server:
        assert refused(post(server, long.read_bytes(), "long.flac"))[:2] == (413, "audio_too_long")
        assert httpx.get(f"{server.url}/healthz").status_code == 200
