"""Real instrument sound through a real PortAudio device: every path says the same of the same samples."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT
from tests.live_server import LiveServer, bare, live_server, stream
from tests.synth import low_high, pcm16, render, write_wav
from tests.test_sources import until, watching
from tests.virtual_mic import DEVICE, VirtualMic

Message = dict[str, Any]


def listen(mic: VirtualMic, sound: Path, take: Path, model: Path | None) -> list[Message]:
    """What `spiccato listen` says of a file played into the microphone, until that was played; samples in `take`."""
    command = [sys.executable, "-m", "spiccato", "listen", "--device", DEVICE, "--save", str(take)]
    command += ["--model", str(model)] if model else []
    process = subprocess.Popen(command, cwd=ROOT, env=mic.env, stdout=subprocess.PIPE, text=True)
    heard: list[Message] = []

    def play() -> None:
        mic.play(sound).wait(30)
        process.send_signal(signal.SIGINT)

    playing = threading.Thread(target=play)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            heard.append(json.loads(line))
            if heard[-1]["type"] == "source" and heard[-1]["state"] == "healthy":
                playing.start()
    finally:
        process.kill()
        process.communicate()
    playing.join()
    assert heard[-1]["type"] == "summary"
    return heard


def classified(path: Path, model: Path | None) -> list[Message]:
    command = [sys.executable, "-m", "spiccato", "classify", "--json", str(path)]
    command += ["--model", str(model)] if model else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return bare(json.loads(done.stdout)["events"])


def streamed(server: LiveServer, path: Path) -> list[Message]:
    samples, rate = soundfile.read(path, dtype="float32")
    audio = {"encoding": "pcm_f32le", "sample_rate": rate, "channels": 1}
    return bare(stream(server, samples.tobytes(), chunk_bytes=4 * 997, audio=audio))


def final(events: list[Message]) -> list[Message]:
    """The offsets, in the order in which a file's events are told."""
    offsets = [event for event in events if event["phase"] == "offset"]
    return sorted(offsets, key=lambda event: (event["onset_sample"], event["label"]))


def compare(server: LiveServer, heard: list[Message], take: Path, model: Path | None) -> list[Message]:
    """The events of the listening, after all other paths told the same for the samples that it kept."""
    live = bare(heard)
    assert streamed(server, take) == live
    assert classified(take, model) == final(live)
    answer = httpx.post(f"{server.url}/v1/classify", content=take.read_bytes()).json()
    assert bare(answer["events"]) == final(live)
    return final(live)


def test_tones_heard_live_are_the_same_events_in_file_upload_and_stream(
    virtual_mic: VirtualMic, server: LiveServer, toy_path: Path, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "tones.wav", low_high(48_000), 48_000)
    take = tmp_path / "take.wav"
    heard = listen(virtual_mic, sound, take, toy_path)
    events = compare(server, heard, take, toy_path)
    clean = classified(sound, toy_path)
    assert [event["label"] for event in events] == [event["label"] for event in clean] == ["low", "high"]
    for event, expected in zip(events, clean, strict=True):
        lasted = event["offset_ms"] - event["onset_ms"]
        assert lasted == pytest.approx(expected["offset_ms"] - expected["onset_ms"], abs=30)


@pytest.mark.parametrize("instrument", ["violin", "trumpet"])
def test_an_instrument_heard_live_is_the_same_events_in_file_upload_and_stream(
    virtual_mic: VirtualMic, orchestra_server: LiveServer, tmp_path: Path, instrument: str
) -> None:
    pitches = {"violin": [67, 71, 74], "trumpet": [60, 64, 67]}[instrument]
    sound = render(tmp_path / f"{instrument}.wav", instrument, pitches)
    take = tmp_path / "take.wav"
    heard = listen(virtual_mic, sound, take, None)
    events = compare(orchestra_server, heard, take, None)
    assert main_label(events) == main_label(classified(sound, None)) == instrument


def main_label(events: list[Message]) -> str:
    """The label that was on for the longest time."""
    seconds: dict[str, float] = {}
    for event in events:
        seconds[event["label"]] = seconds.get(event["label"], 0.0) + event["offset_ms"] - event["onset_ms"]
    return max(seconds, key=lambda label: seconds[label])


def test_pulling_the_plug_closes_the_label_and_plugging_in_brings_the_microphone_back(
    virtual_mic: VirtualMic, toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_mic.into(monkeypatch)
    tone = write_wav(tmp_path / "tone.wav", np.tile(low_high(48_000)[24_000:72_000], 5), 48_000)
    with live_server(model=toy_path, microphone=DEVICE) as server, watching(server, "?source=microphone") as ws:
        until(ws, "source", state="healthy")
        playing = virtual_mic.play(tone)
        until(ws, "event", phase="onset", label="low")
        virtual_mic.unplug()
        lost = until(ws, "source", state="lost")
        closed = [message for message in lost if message["type"] == "event"][-1]
        assert (closed["label"], closed["phase"], closed["reason"]) == ("low", "offset", "stall")
        assert [event["label"] for event in bare(stream(server, pcm16(low_high())))] == ["low", "low", "high", "high"]
        playing.wait(60)
        virtual_mic.plug()
        until(ws, "source", state="healthy")
        playing = virtual_mic.play(tone)
        until(ws, "event", phase="onset", label="low")
        playing.terminate()
        playing.wait(60)


def test_a_device_that_hangs_is_stalled_and_goes_on_when_it_wakes(
    virtual_mic: VirtualMic, toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_mic.into(monkeypatch)
    with live_server(model=toy_path, microphone=DEVICE) as server, watching(server) as ws:
        until(ws, "source", state="healthy")
        virtual_mic.suspend()
        until(ws, "source", state="stalled")
        virtual_mic.resume()
        again = until(ws, "source", state="healthy")
        assert [message for message in again if message["type"] == "started"] == []  # the same session
