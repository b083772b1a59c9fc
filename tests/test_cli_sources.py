"""`spiccato sources` and the options that choose a microphone, with a fake PortAudio."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from spiccato.cli import app
from tests.conftest import ROOT
from tests.live_server import LiveServer
from tests.virtual_mic import FakePlugs, fake_portaudio

FREE = "http://127.0.0.1:9"  # the discard port: nothing answers


def told(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["sources", *arguments])
    assert done.exit_code == status, done.output
    return done.output


def test_sources_of_a_running_service_are_added_listed_muted_renamed_and_removed(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    at = ("--server", server.ws)
    assert "none: " in told(*at)
    added = told("add", "--device", "line", "--channel", "1", "--name", "Stage left", *at)
    assert "Stage-left is listened to" in added
    told("mute", "Stage-left", *at)
    told("rename", "Stage-left", "Stage right", *at)
    source = json.loads(told(*at, "--json"))
    assert [source[name] for name in ("id", "name", "muted", "device", "channel")] == [
        "Stage-left",
        "Stage right",
        True,
        "line",
        1,
    ]
    assert ", muted" in told(*at)
    told("unmute", "Stage-left", *at)
    assert json.loads(told(*at, "--json"))["muted"] is False
    told("remove", "Stage-left", *at)
    assert httpx.get(f"{server.url}/v1/sources").json()["sources"] == []


def test_what_the_service_refuses_is_told_as_its_sentence(server: LiveServer) -> None:
    assert "no source is called 'kazoo'" in told("mute", "kazoo", "--server", server.url, status=1)


def test_a_service_that_does_not_answer_is_named() -> None:
    assert f"no Spiccato service answers at {FREE}/v1/sources" in told("--server", FREE, status=1)


def test_a_channel_that_is_none_is_a_mistake_in_the_command_line() -> None:
    assert "'left' is neither a number" in told("add", "--channel", "left", status=2)


def listening(toy_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "spiccato", "listen", "--model", str(toy_path), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_listen_hears_the_channel_that_was_asked_for(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    with listening(toy_path, "--device", "line", "--channel", "1") as process:
        assert process.stdout is not None
        heard = next(message for line in process.stdout if (message := json.loads(line))["type"] == "event")
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert heard["label"] == "high"


@pytest.mark.parametrize("where", ["here", "there"])
def test_listen_waits_for_a_device_where_it_is_asked_to(
    server: LiveServer, toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    plugs = FakePlugs(monkeypatch, tmp_path, "Left")
    at = ["--server", server.ws] if where == "there" else ["--model", str(toy_path)]
    command = [sys.executable, "-m", "spiccato", "listen", "--device", "Right", "--wait", *at]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if message["type"] == "source" and message["state"] == "lost":
                assert "no audio input is called 'Right'" in message["detail"]
                plugs.are("Left", "Right")
            if message["type"] == "event":
                break
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert message["label"] == "low"


def test_listen_does_not_wait_otherwise(toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakePlugs(monkeypatch, tmp_path, "Left")
    with listening(toy_path, "--device", "Right") as process:
        _, said = process.communicate(timeout=60)
    assert "no audio input is called 'Right'; there are 1: Fake: Left" in said
    assert process.returncode == 1
