"""Network streams against servers of this machine that are cut off, frozen and come back."""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from engine.weights import Model
from server.classify import classify
from server.decode import DecodeLimits
from server.pulled import STREAM, StreamInput
from server.reach import SCHEMES, Reach
from server.reader import Watch
from server.source import Source
from server.timeline import GAP_S
from tests.fake_input import Message, run
from tests.live_server import bare
from tests.stream_servers import Hls, Radio, UdpSender, encode, encoded, http_server, mp3_radio, rtsp_server
from tests.synth import low_high, tone

REACH = Reach(SCHEMES)


@dataclass(frozen=True)
class Hasty(StreamInput):
    """A stream that is given up and tried again sooner."""

    watch: ClassVar[Watch] = Watch(stall_ms=500, give_up_s=1.5, silent_s=1.0, silent_dbfs=-70.0, retry_s=(0.1,))


def states(told: list[Message]) -> list[str]:
    return [message["state"] for message in told if message["type"] == "source"]


def details(told: list[Message], state: str) -> list[str]:
    return [m["detail"] for m in told if m["type"] == "source" and m["state"] == state]


def labels(told: list[Message], phase: str) -> list[str]:
    return [m["label"] for m in told if m["type"] == "event" and m["phase"] == phase]


def stop_when(condition: Callable[[list[Message]], bool]) -> Callable[[Source, Message], None]:
    """Stop once the messages so far, of which this is given all, fulfil `condition`."""
    so_far: list[Message] = []

    def react(source: Source, told: Message) -> None:
        so_far.append(told)
        if condition(so_far):
            source.stop()

    return react


def count(told: list[Message], **fields: Any) -> int:
    return sum(all(message.get(name) == value for name, value in fields.items()) for message in told)


def low(rate: int, seconds: float = 2.0) -> Any:
    return tone(200, seconds, rate)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- what is heard ---


def test_a_finite_stream_gives_the_events_of_the_file_and_ends(toy: Model) -> None:
    mono = low_high(48_000)[: 48_000 * 7 // 4]
    sound = encoded(np.stack([mono, mono / 2], axis=1), 48_000, "flac", "flac")
    radio = Radio(sound, 1.75, burst_s=9.0, type="audio/flac", headers={"Content-Length": str(len(sound))}, ends=True)
    with http_server(radio) as url:
        told = run(toy, StreamInput(f"{url}/song.flac", REACH), lambda *_: None)
    whole = classify(toy, io.BytesIO(sound), "song", DecodeLimits(60, 8, 60))
    assert [e for e in bare(told) if e["is_final"]] == bare([e.model_dump(by_alias=True) for e in whole.events])
    assert states(told) == ["recovering", "healthy", "ended"]


def test_a_radio_is_heard_at_once_with_its_name_and_titles(toy: Model) -> None:
    radio = mp3_radio(low(44_100), 44_100, burst_s=4.0, titles=["", "", "Foo - Bär's"])
    seen: list[Any] = []

    def react(source: Source, told: Message) -> None:
        if source.opened is not None and source.opened.details["title"]:
            seen.append(dict(source.opened.details))
            source.stop()

    with http_server(radio) as url:
        told = run(toy, StreamInput(f"{url}/live", REACH), react)
    assert seen[0] == {
        "format": "mp3",
        "codec": "mp3float",
        "channels": 1,
        "station": "Radio Test",
        "source_rate": 44_100,
        "title": "Foo - Bär's",
    }
    assert details(told, "healthy") == ["Radio Test (mp3, mp3float) at 44100 Hz"]


def test_a_radio_that_is_cut_off_closes_its_labels_and_comes_back_at_another_rate(
    toy: Model, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spiccato.source")
    with ExitStack() as stack:
        first = ExitStack()
        url = first.enter_context(http_server(mp3_radio(low(44_100), 44_100)))
        port = int(url.rpartition(":")[2])

        def react(source: Source, told: Message) -> None:
            if told["type"] == "event" and told["phase"] == "onset":
                if source.opened is not None and source.opened.sample_rate == 44_100:
                    threading.Thread(target=first.close).start()
                else:
                    source.stop()
            elif told["type"] == "source" and told["state"] == "lost" and count(so_far, state="lost") == 3:
                second = mp3_radio(low(24_000), 24_000)
                stack.enter_context(http_server(second, port))
            so_far.append(told)

        so_far: list[Message] = []
        told = run(toy, Hasty(f"{url}/live", REACH), react)
    assert labels(told, "onset") == ["low", "low"]  # 200 Hz both times: nothing is heard at half the speed
    assert [m["reason"] for m in told if m["type"] == "event" and m["phase"] == "offset"] == ["stall", "stop"]
    started = [m["effective"]["audio"]["sample_rate"] for m in told if m["type"] == "started"]
    assert started == [44_100, 24_000]
    assert "the other side ended the stream" in details(told, "lost")[0]
    assert "connection refused" in details(told, "lost")[1]
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == len(set(logged)) == 4  # healthy, ended, refused, healthy: however often it was tried


def test_a_radio_that_freezes_is_stalled_then_goes_on(toy: Model) -> None:
    radio = mp3_radio(low(44_100), 44_100)

    def react(source: Source, told: Message) -> None:
        if told["type"] == "event" and told["phase"] == "onset":
            source.stop() if radio.frozen.is_set() else radio.frozen.set()
        elif told["type"] == "source" and told["state"] == "stalled":
            radio.frozen.clear()
        elif told["type"] == "source" and told["detail"] == "audio comes again":
            radio.frozen.set()

    with http_server(radio) as url:
        told = run(toy, Hasty(f"{url}/live", REACH), react)
    assert states(told)[:4] == ["recovering", "healthy", "stalled", "healthy"]
    assert next(m["reason"] for m in told if m["type"] == "event" and m["phase"] == "offset") == "stall"


def test_a_radio_that_stays_frozen_is_lost_and_opened_anew(toy: Model) -> None:
    radio = mp3_radio(low(44_100), 44_100)

    def react(source: Source, told: Message) -> None:
        if told["type"] == "event" and told["phase"] == "onset":
            radio.frozen.set()
        elif told["type"] == "source" and told["state"] == "lost":
            source.stop()

    with http_server(radio) as url:
        told = run(toy, Hasty(f"{url}/live", REACH), react)
    assert states(told) == ["recovering", "healthy", "stalled", "lost"]
    assert "gave no sample for 1.5 s" in details(told, "lost")[0]


def test_silence_is_told(toy: Model) -> None:
    radio = mp3_radio(np.zeros(88_200, np.float32), 44_100, burst_s=3.0)
    with http_server(radio) as url:
        told = run(toy, Hasty(f"{url}/live", REACH), stop_when(lambda told: count(told, state="silent") == 1))
    assert "stays below -70 dBFS" in details(told, "silent")[0]


@pytest.mark.parametrize(("format", "codec"), [("mp3", "libmp3lame"), ("adts", "aac")])
def test_a_rate_and_channels_that_change_in_the_middle_are_heard_at_their_own_speed(
    toy: Model, format: str, codec: str
) -> None:
    plain = {"write_xing": "0", "id3v2_version": "0"} if format == "mp3" else {}
    first = encoded(low(44_100, 1.0), 44_100, format, codec, **plain)
    stereo = np.stack([low(24_000, 1.0)] * 2, axis=1)
    sound = first + encoded(stereo, 24_000, format, codec, **plain)
    radio = Radio(sound, 2.0, burst_s=0.5, ends=True)
    seen: list[Any] = []

    def react(source: Source, told: Message) -> None:
        if source.opened is not None:
            seen.append((source.opened.details["source_rate"], source.opened.details["channels"]))
        if told["type"] == "source" and told["state"] == "lost":
            source.stop()

    with http_server(radio) as url:
        told = run(toy, StreamInput(f"{url}/live", REACH), react)
    (summary,) = [message for message in told if message["type"] == "summary"]
    assert summary["processed_ms"] == pytest.approx(2000, abs=150)
    assert set(labels(told, "onset")) == {"low"}
    assert (seen[0], seen[-1]) == ((44_100, 1), (24_000, 2))
    assert count(told, type="started") == 1


@pytest.mark.parametrize("live", [True, False])
def test_hls_is_heard_without_a_hole(toy: Model, tmp_path: Path, live: bool) -> None:
    hls = {"hls_time": "0.48", "hls_list_size": "0", "hls_segment_filename": str(tmp_path / "%d.ts")}
    sound = low_high(48_000)[24_000:] if live else low_high(48_000)[: 48_000 * 7 // 4]
    encode(str(tmp_path / "list.m3u8"), sound, 48_000, "hls", "mp2", **hls)
    segments = [(tmp_path / f"{number}.ts").read_bytes() for number in range(len(list(tmp_path.glob("*.ts"))))]
    assert len(segments) >= 3
    with http_server(Hls(segments, len(sound) / 48_000 / len(segments), live)) as url:
        input = StreamInput(f"{url}/list.m3u8", REACH)
        told = run(toy, input, stop_when(lambda told: live and "high" in labels(told, "onset")))
    assert states(told)[:2] == ["recovering", "healthy"]
    assert states(told)[2:] == ([] if live else ["ended"])
    assert count(told, type="gap") == 0
    assert labels(told, "offset") == (["low", "high"] if live else ["low"])


def test_a_camera_is_heard_with_its_password_and_nobody_is_told(toy: Model, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with rtsp_server(low_high(), 16_000, password="s3cr3t") as url:
        heard = run(toy, StreamInput(url, REACH), stop_when(lambda told: bool(labels(told, "onset"))))
        wrong = url.replace("s3cr3t", "n0t1t")
        refused = run(toy, StreamInput(wrong, REACH), stop_when(lambda told: count(told, state="lost") == 1))
    assert states(heard) == ["recovering", "healthy"]
    assert "401 unauthorized" in details(refused, "lost")[0]
    said = json.dumps([heard, refused]) + caplog.text
    assert "127.0.0.1" in said
    assert not any(secret in said for secret in ("s3cr3t", "n0t1t", "camera:"))


def test_lost_datagrams_are_told_as_a_gap_and_the_clock_goes_on(toy: Model) -> None:
    """The sound changes each second, low and high by turns: an onset at a change tells where the sender's clock is."""
    port = free_port(socket.SOCK_DGRAM)
    so_far: list[Message] = []

    def at_changes(since: int, until: float = np.inf) -> list[Message]:
        """The onsets in these samples but those of the first 1.5 s: where sound begins, both labels may."""
        onsets = [m for m in so_far if m["type"] == "event" and m["phase"] == "onset"]
        return [onset for onset in onsets if since + 72_000 <= onset["onset_sample"] < until]

    def same_changes() -> tuple[list[Message], list[Message]]:
        """Before the first gap, and of the same label after the last."""
        if not gaps:
            return at_changes(0), []
        before = at_changes(0, gaps[0]["from_sample"])
        after = at_changes(gaps[-1]["from_sample"] + gaps[-1]["samples"])
        return before, [onset for onset in after if onset["label"] == before[0]["label"]]

    def react(source: Source, told: Message) -> None:
        so_far.append(told)
        if told["type"] == "gap":
            gaps.append(told)
        before, after = same_changes()
        if after:
            source.stop()
        elif before == [told]:
            sender.drop(20)

    gaps: list[Message] = []
    sound = np.concatenate([low(48_000, 1.0), tone(4_000, 1.0, 48_000)])
    with UdpSender(np.tile(sound, 30), 48_000, port) as sender:
        run(toy, StreamInput(f"udp://127.0.0.1:{port}", REACH), react)
    assert {gap["reason"] for gap in gaps} == {"network_loss"}
    lost_s = sum(gap["samples"] for gap in gaps) / 48_000
    assert lost_s >= 20 * sender.each_s - GAP_S  # it may be more: a packet that lost a part is no sound
    assert "gap" in [message["reason"] for message in so_far if message["type"] == "event"]
    before, after = same_changes()
    went_s = (after[0]["onset_sample"] - before[0]["onset_sample"]) / 48_000
    assert went_s == pytest.approx(2.0 * round(went_s / 2.0), abs=GAP_S)  # each label begins every two seconds


# --- what goes wrong ---


def pulling() -> list[int]:
    """The decoding processes that this one started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "server.pull" in line]


@pytest.mark.parametrize(
    ("sent", "told_of"), [(signal.SIGSEGV, "decoding process ended with status -11"), (signal.SIGSTOP, "no sample")]
)
def test_a_decoder_that_crashes_or_hangs_is_replaced(toy: Model, sent: signal.Signals, told_of: str) -> None:
    def react(source: Source, told: Message) -> None:
        if told["type"] == "event" and told["phase"] == "onset":
            if count(so_far, type="event", phase="onset"):
                source.stop()
            else:
                os.kill(pulling()[0], sent)
        so_far.append(told)

    so_far: list[Message] = []
    with http_server(mp3_radio(low(44_100), 44_100)) as url:
        told = run(toy, Hasty(f"{url}/live", REACH), react)
    assert told_of in details(told, "lost")[0]
    assert count(told, type="event", phase="onset") == 2
    assert pulling() == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Radio(b"x" * 9_000, 0.1, burst_s=9, status=b"HTTP/1.0 404 Gone fishing", ends=True), "HTTP 404 Gone fishing"),
        (Radio(b"\x17 no sound" * 5_000, 0.1, burst_s=9, ends=True), "no sound that can be decoded"),
        (Radio(b"", 1.0, status=b"hello?", ends=True), "no HTTP"),
        (Radio(b"9\r\nabc", 0.1, 9.0, headers={"Transfer-Encoding": "chunked"}, ends=True), "was cut off"),
        (
            Radio(b"", 1.0, status=b"HTTP/1.0 302 Found", headers={"Location": "http://169.254.169.254/x"}, ends=True),
            "link-local",
        ),
        (
            Radio(b"", 1.0, status=b"HTTP/1.0 302 Found", headers={"Location": "file:///etc/passwd"}, ends=True),
            "'file'",
        ),
        (Radio(b"", 1.0, status=b"HTTP/1.0 302 Found", headers={"Location": "/again"}, ends=True), "8 redirects"),
        (
            Radio(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/hostname\n", 1.0, burst_s=9, ends=True),
            "",
        ),
        (
            Radio(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://169.254.169.254/0.ts\n", 1.0, 9, ends=True),
            "",
        ),
    ],
    ids=[
        "404",
        "noise",
        "no-http",
        "cut-off",
        "to-metadata",
        "to-a-file",
        "in-circles",
        "hls-of-a-file",
        "hls-of-metadata",
    ],
)
def test_what_is_no_stream_is_told_in_a_sentence(toy: Model, answer: Radio, told: str) -> None:
    def react(source: Source, message: Message) -> None:
        if message["type"] == "source" and message["state"] in ("lost", "failed"):
            source.stop()

    with http_server(answer) as url:
        said = run(toy, StreamInput(f"{url}/live", REACH), react)
    assert states(said)[0] == "recovering"
    assert count(said, type="started") == 0
    assert told in said[-1]["detail"]
    assert said[-1]["detail"].startswith(f"{url}/live: ")


def test_a_decoder_is_not_told_our_settings(toy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICCATO_TOKEN", "a-secret-of-16-characters")
    environments: list[bytes] = []

    def react(source: Source, told: Message) -> None:
        if told["type"] == "source" and told["state"] == "healthy":
            environments.append(Path(f"/proc/{pulling()[0]}/environ").read_bytes())
            source.stop()

    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc: another process's environment cannot be read here")
    with http_server(mp3_radio(low(44_100), 44_100)) as url:
        run(toy, StreamInput(f"{url}/live", REACH), react)
    assert b"PYTHONPATH=" in environments[0]
    assert b"SPICCATO" not in environments[0]


def test_waits_between_tries_grow_to_half_a_minute_and_differ() -> None:
    assert STREAM.retry_s == (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
    assert STREAM.jitter > 0
