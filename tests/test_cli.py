"""The command line as a user runs it: what it prints, how it fails, what its exit status says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from server.limits import is_loopback
from server.settings import Settings
from spiccato.lanes import BAR_CELLS, Lanes, bar, clock
from spiccato.serve import _address
from tests.conftest import ROOT
from tests.live_server import LiveServer, bare, eventually
from tests.synth import low_high, write_wav
from tests.virtual_mic import fake_portaudio

COMMANDS = ("serve", "listen", "classify", "devices", "sources", "warm", "evaluate")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spiccato", *map(str, arguments)]


def run(*arguments: object, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run to the end; whatever happens, no traceback."""
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "tones.wav", low_high())


# --- help and version ---


def test_help_names_every_command() -> None:
    told = run("--help").stdout
    assert [name for name in (*COMMANDS, "train") if name not in told] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_examples(name: str) -> None:
    told = run(name, "--help").stdout
    assert "Example" in told
    assert f"spiccato {name}" in told


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"spiccato \S+\n", run("--version").stdout)


def test_an_unknown_command_is_refused_with_status_2() -> None:
    assert "No such command 'play'" in run("play", status=2).stderr


# --- classify ---


def test_classify_tells_the_events_of_each_file_as_a_line_of_json(sound: Path, toy_path: Path) -> None:
    (told,) = json_lines(run("classify", "--json", "--model", toy_path, sound).stdout)
    assert told["file"] == str(sound)
    assert [event["label"] for event in told["events"]] == ["low", "high"]
    assert told["summary"]["audio_ms"] == 3500.0


def test_classify_says_the_same_as_the_service(server: LiveServer, sound: Path, toy_path: Path) -> None:
    (told,) = json_lines(run("classify", "--json", "--model", toy_path, sound).stdout)
    answer = httpx.post(f"{server.url}/v1/classify", files={"file": (sound.name, sound.read_bytes())}).json()
    assert bare(told["events"]) == bare(answer["events"])
    assert {**told["summary"], "wall_s": 0} == {**answer["summary"], "wall_s": 0}


def test_classify_shows_a_table(sound: Path, toy_path: Path) -> None:
    told = run("classify", "--model", toy_path, sound).stdout
    assert re.search(r"00:00\.\d\d +00:01\.\d\d +low +1\.00", told)
    assert "3.50 s heard, 2 events" in told


def test_a_bad_file_stops_no_other_and_shows_in_the_status(sound: Path, toy_path: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("this is not sound")
    done = run("classify", "--json", "--model", toy_path, text, tmp_path / "none.wav", sound, status=1)
    bad, missing, good = json_lines(done.stdout)
    assert bad["error"]["code"] == "undecodable"
    assert missing["error"]["message"] == "no such file or directory"
    assert [event["label"] for event in good["events"]] == ["low", "high"]
    assert f"spiccato: {tmp_path / 'none.wav'}: no such file or directory" in done.stderr


def test_a_model_that_is_not_there_is_told_with_its_path(sound: Path) -> None:
    done = run("classify", "--model", "/nowhere/model.safetensors", sound, status=1)
    assert done.stderr == "spiccato: /nowhere/model.safetensors: No such file or directory\n"


def test_a_setting_that_is_out_of_range_is_told_with_its_value_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPICCATO_PORT", "70000")
    told = run("serve", status=1).stderr
    assert told == "spiccato: SPICCATO_PORT: port='70000': input should be less than or equal to 65535\n"


def test_warm_names_the_model_that_is_ready(toy_path: Path) -> None:
    assert run("warm", "--model", toy_path).stdout == "toy@0.0.1 is ready\n"


# --- devices ---


def test_devices_are_listed_as_json_lines_and_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    names = [device["name"] for device in json_lines(run("devices", "--json").stdout)]
    assert names == ["Fake microphone", "Fake line in"]
    assert re.search(r"1 +default +Fake microphone +Fake +2 +48000 Hz", run("devices").stdout)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("missing", "apt-get install libportaudio2"), ("none", "this machine has no audio input")],
)
def test_without_devices_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, kind: str, told: str) -> None:
    fake_portaudio(monkeypatch, kind)
    assert told in run("devices", status=1).stderr


# --- listen ---


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        ("missing", [], "apt-get install libportaudio2"),
        ("none", [], "this machine has no audio input"),
        ("busy", [], "Fake microphone is busy"),
        ("tone", ["--device", "harp"], "no audio input is called 'harp'; there are 1: Fake: Fake microphone, 2:"),
        ("tone", ["--labels", "low,kazoo"], "'kazoo' is not a label; the labels of toy@0.0.1 are low, high"),
        ("tone", ["--save", "/nowhere/take.wav"], "/nowhere/take.wav cannot be written: no such file or directory"),
        ("tone", ["--save", __file__], "cannot be written: file exists"),
    ],
)
def test_listen_ends_with_a_sentence_where_it_cannot_listen(
    monkeypatch: pytest.MonkeyPatch, toy_path: Path, kind: str, arguments: list[str], told: str
) -> None:
    fake_portaudio(monkeypatch, kind)
    assert told in run("listen", "--model", toy_path, *arguments, status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server", "ws://127.0.0.1:1"], "no Spiccato service answers at ws://127.0.0.1:1/v1/stream"),
        (["--server", "studio"], "'studio' is not an address"),
        (["--server", "ws://127.0.0.1:1", "--model", "x"], "the server's own model hears"),
    ],
)
def test_listen_tells_what_is_wrong_with_the_server(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    fake_portaudio(monkeypatch, "tone")
    assert told in run("listen", *arguments, status=1).stderr


def listened(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """All lines of a `listen` that is sent Ctrl-C at its first onset."""
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["type"] == "event" and told[-1]["phase"] == "onset":
            process.send_signal(signal.SIGINT)
    process.stdout.close()
    return told


@pytest.mark.parametrize("remote", [False, True])
def test_ctrl_c_closes_the_open_labels_and_ends_with_a_summary(
    server: LiveServer, toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: bool
) -> None:
    fake_portaudio(monkeypatch, "tone")
    where = ["--server", server.url] if remote else ["--model", str(toy_path)]
    take = tmp_path / "take.wav"
    arguments = command("listen", *where, "--save", take)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = listened(process)
        assert process.stderr is not None
        assert process.stderr.read() == f"kept in {take}\n"
    assert process.returncode == 0
    assert [message["phase"] for message in told if message["type"] == "event"] == ["onset", "offset"]
    assert told[-1]["type"] == "summary"
    assert {message["type"] for message in told} <= {"source", "ready", "started", "event", "summary"}
    (kept,) = json_lines(run("classify", "--json", "--model", toy_path, take).stdout)
    assert bare(kept["events"]) == bare(told)[1:]
    assert kept["summary"]["audio_ms"] == told[-1]["audio_ms"]


def test_a_reader_that_goes_away_ends_listening_quietly(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    arguments = command("listen", "--model", toy_path)
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


# --- serve ---


def test_a_port_that_is_taken_is_told_as_a_sentence(toy_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("serve", "--model", toy_path, "--port", port, status=1).stderr
    assert told == (
        f"spiccato: port {port} on 127.0.0.1 cannot be opened: another program uses it already; "
        "choose another with --port\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_tells_its_address_serves_and_stops_when_told(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    fake_portaudio(monkeypatch, "tone")
    arguments = command("serve", "--model", toy_path, "--port", 0, "--device", "line")
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        sources = f"{found[0]}/v1/sources"
        eventually(lambda: states(sources) == ["healthy"])
        process.send_signal(number)
        log = process.stderr.read()
    assert process.returncode == (0 if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in log
    assert "healthy: Fake line in" in log


@pytest.mark.parametrize(
    ("host", "address", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/", True),
        ("localhost", "http://localhost:8000/", True),
        ("::1", "http://[::1]:8000/", True),
        ("0.0.0.0", "http://127.0.0.1:8000/", False),
        ("studio.local", "http://studio.local:8000/", False),
    ],
)
def test_the_address_to_open_is_one_that_a_browser_on_this_machine_understands(
    host: str, address: str, loopback: bool
) -> None:
    assert _address(host, 8000) == address
    assert is_loopback(host) == loopback


def states(url: str) -> list[str]:
    return [source["state"] for source in httpx.get(url).json()["sources"]]


# --- the terminal's view ---


def drawn(lanes: Lanes, height: int = 30) -> str:
    console = Console(width=100, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(lanes)
    console.file.close()
    return console.export_text()


def view(labels: list[str]) -> Lanes:
    lanes = Lanes()
    thresholds = {label: {"on": 0.5, "off": 0.4} for label in labels}
    effective = {
        "audio": {"sample_rate": 1000},
        "source": {"name": "stage"},
        "detect": {"labels": labels, "thresholds": thresholds},
    }
    lanes.feed({"type": "started", "model": {"name": "toy", "version": "1"}, "effective": effective})
    return lanes


def test_a_lane_shows_evidence_threshold_and_how_long_its_label_is_on() -> None:
    lanes = view(["low", "high"])
    onset = {"label": "low", "phase": "onset", "is_final": False, "onset_ms": 500.0, "offset_ms": None}
    lanes.feed({"type": "event", **onset})
    lanes.feed({"type": "scores", "sample": 2000, "top": [["low", 0.75], ["high", 0.25]]})
    lanes.feed({"type": "level", "rms_dbfs": -15.0, "peak_dbfs": -1.0, "clipped": 3})
    text = drawn(lanes)
    assert re.search(r"● low +█{24} +0\.75  1\.5 s", text)
    assert re.search(r"  high +█{8} {8}│ +0\.25", text)
    assert "-15.0 dBFS  clipping: turn the input down" in text
    assert "00:00.50 low on" in text
    lanes.feed({"type": "event", **onset, "phase": "offset", "is_final": True, "offset_ms": 1900.0, "reason": "stall"})
    assert "low off after 1.40 s (stall)" in drawn(lanes)


def test_in_a_low_window_the_strongest_lanes_stay_in_the_models_order() -> None:
    lanes = view([f"l{n}" for n in range(9)])
    lanes.feed({"type": "scores", "sample": 0, "top": [[f"l{n}", score / 10] for n, score in enumerate(range(9))]})
    text = drawn(lanes, height=14)
    assert re.findall(r"\bl\d", text) == ["l6", "l7", "l8"]
    assert "6 more below these" in text


def test_silence_is_told_as_silence_and_not_as_a_level() -> None:
    lanes = view(["low"])
    lanes.feed({"type": "level", "rms_dbfs": None, "peak_dbfs": None, "clipped": 0})
    assert "silence" in drawn(lanes)


@pytest.mark.parametrize(("share", "text"), [(0.0, ""), (1.0, "█" * BAR_CELLS), (2.0, "█" * BAR_CELLS), (1 / 64, "▌")])
def test_a_bar_is_as_long_as_its_share(share: float, text: str) -> None:
    assert bar(share, "green").plain == text.ljust(BAR_CELLS)


def test_the_clock_shows_minutes_and_hundredths() -> None:
    assert clock(61_234.0) == "01:01.23"


# --- its documentation ---


def test_every_command_option_and_setting_is_in_the_documentation() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `SPICCATO_{name.upper()}` \| (.+?) \|", told, re.M)
        assert row, name
        if isinstance(field.default, int | float):
            assert float(row[1]) == field.default, name
    for name in (*COMMANDS, "train"):
        assert f"spiccato {name}" in told
    for name in ("serve", "listen", "classify", "devices"):
        for option in re.findall(r"--[a-z-]+", run(name, "--help").stdout):
            assert option == "--help" or f"`{option}" in told, f"{name} {option}"
