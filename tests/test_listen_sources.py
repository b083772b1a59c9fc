"""`spiccato listen` of files, pipes and streams, as a user types it."""

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.live_server import LiveServer, bare
from tests.stream_servers import http_server, mp3_radio
from tests.synth import low_high, pcm16, tone, write_wav

Message = dict[str, Any]
BOTH = ["low", "low", "high", "high"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spiccato", "listen", *map(str, arguments)]


def listened(*arguments: object, stdin: bytes | None = b"", status: int = 0) -> tuple[list[Message], str]:
    """The messages and stderr of a `listen` that ends by itself."""
    done = subprocess.run(command(*arguments), cwd=ROOT, input=stdin, capture_output=True, check=False)
    assert done.returncode == status, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def labels(told: list[Message]) -> list[str]:
    return [message["label"] for message in told if message["type"] == "event"]


@pytest.fixture(scope="module")
def expected(toy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """What `classify` says of low_high as 16-bit WAV."""
    sound = write_wav(tmp_path_factory.mktemp("sound") / "tones.wav", low_high())
    done = subprocess.run(
        [sys.executable, "-m", "spiccato", "classify", "--json", "--model", str(toy_path), str(sound)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return bare(json.loads(done.stdout)["events"])


def finals(told: list[Message]) -> list[Message]:
    return [event for event in bare(told) if event["is_final"]]


def test_a_file_and_pipes_of_every_form_are_the_events_of_classify(
    toy_path: Path, tmp_path: Path, expected: list[Message]
) -> None:
    sound = write_wav(tmp_path / "tones.wav", low_high())
    model = ["--model", toy_path]
    assert finals(listened("--file", sound, "--fast", *model)[0]) == expected
    assert finals(listened("-", "--fast", *model, stdin=sound.read_bytes())[0]) == expected
    told, warned = listened("-", "--fast", *model, stdin=pcm16(low_high()))
    assert finals(told) == expected
    assert warned == ""
    assert [told[-2]["type"], told[-1]["state"]] == ["summary", "ended"]


def test_raw_samples_may_have_another_form(toy_path: Path) -> None:
    stereo = low_high(44_100).repeat(2).astype("<f4").tobytes()
    form = ["--format", "f32le", "--rate", 44_100, "--channels", 2]
    told, _ = listened("-", *form, "--model", toy_path, stdin=stereo)
    assert labels(told) == BOTH
    assert told[-2]["audio_ms"] == 3500.0


def test_a_sample_that_is_cut_off_is_told_and_everything_before_it_heard(toy_path: Path) -> None:
    told, warned = listened("-", "--model", toy_path, stdin=pcm16(low_high()) + b"\0")
    assert labels(told) == BOTH
    assert warned == (
        "spiccato: the last 1 bytes are no whole sample and were not heard: pcm_s16le with 1 channel(s) takes 2 bytes\n"
    )


def test_lines_are_kept_in_a_file_too_and_the_next_time_appended(toy_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    for times in (1, 2):
        told, _ = listened("-", "--fast", "--model", toy_path, "--out", out, stdin=pcm16(low_high()))
        kept = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(kept) == times * len(told)
        assert kept[-len(told) :] == told


def test_a_file_is_sent_to_a_server_and_heard_there(
    server: LiveServer, tmp_path: Path, expected: list[Message]
) -> None:
    sound = write_wav(tmp_path / "tones.wav", low_high())
    told, _ = listened(sound, "--fast", "--server", server.url)
    assert finals(told) == expected
    assert told[-1]["state"] == "ended"
    raw = pcm16(low_high()) * 12  # 42 s at once: more than the client keeps for what is live
    told, _ = listened("-", "--server", server.url, stdin=raw)
    assert labels(told) == BOTH * 12


def test_ctrl_c_ends_a_stream_with_its_summary(toy_path: Path) -> None:
    with http_server(mp3_radio(tone(200, 2.0, 44_100), 44_100)) as url:
        arguments = command(f"{url}/live", "--model", toy_path)
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = []
            for line in process.stdout:
                told.append(json.loads(line))
                if told[-1]["type"] == "event" and told[-1]["phase"] == "onset":
                    process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read() == b""
    assert process.returncode == 0
    assert [m["reason"] for m in told if m["type"] == "event"] == [None, "stop"]
    assert told[-1]["type"] == "summary"


def test_ctrl_c_ends_a_pipe_that_says_nothing(toy_path: Path) -> None:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command("-", "--model", toy_path), cwd=ROOT, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pcm16(low_high()))  # more than a pipe holds: what listens takes it
        process.stdin.flush()
        told = []
        for line in process.stdout:
            told.append(json.loads(line))
            if labels(told) == BOTH and told[-1]["type"] == "event":
                process.send_signal(signal.SIGINT)
        assert process.wait() == 0  # while nobody has ended its pipe
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert told[-1]["type"] == "summary"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/nowhere/song.wav"], "/nowhere/song.wav: no such file"),
        (["tests"], "tests is a folder"),
        (["README.md", "--fast"], "no sound that can be decoded"),
        (["ftp://radio.example/x"], "not 'ftp'"),
        (["http://127.0.0.1:1/live"], "http://127.0.0.1:1/live: connection refused"),
        (["http://169.254.169.254/x"], "link-local"),
        (["-", "--format", "mp3"], "--format mp3: s16le, s24le, f32le are known"),
        (["-", "--rate", "4000"], "--rate 4000: the limits are 8000 and 192000 Hz"),
        (["-", "--channels", "0"], "--channels 0: the limits are 1 and 32"),
        (["-", "--loop"], "--loop is for files"),
        (["--fast"], "--fast and --loop are for files"),
        (["a.wav", "--file", "b.wav"], "a.wav and b.wav: one thing can be heard at a time"),
        (["a.wav", "--device", "USB"], "--device and --host-api are for microphones"),
        (["-", "--out", "/nowhere/x.jsonl"], "/nowhere/x.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_heard_is_told_in_a_sentence(toy_path: Path, arguments: list[str], told: str) -> None:
    said = listened(*arguments, "--model", toy_path, status=1)[1]
    assert told in said
    assert said.count("\n") == 1


def test_a_wav_of_another_form_is_told(toy_path: Path) -> None:
    mu_law = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8, b"data", 0)
    said = listened("-", "--model", toy_path, stdin=mu_law + bytes(100), status=1)[1]
    assert "form 7 with 8 bits: 16- and 24-bit PCM and 32-bit float are known" in said
