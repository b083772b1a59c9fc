"""The recording process and the parent's side of it, with a fake PortAudio where the machine's does not matter."""

import asyncio
import subprocess
import sys
from array import array
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from server.capture import DISCONTINUITY, QUEUE_BLOCKS, Recorder
from server.devices import CaptureError, choose, identity
from server.microphone import Channel, Microphone, MicrophoneInput, devices
from server.reader import Block, ReadError
from tests.conftest import ROOT
from tests.live_server import eventually
from tests.virtual_mic import FakePlugs, VirtualMic, fake_portaudio


def device(index: int, name: str, id: str, host_api: str = "ALSA", default: bool = False) -> dict[str, Any]:
    form = {"channels": 2, "sample_rate": 48_000}
    return {"index": index, "name": name, "host_api": host_api, "id": id, "default": default, **form}


USB = device(2, "USB Audio: Stage Left (hw:1,0)", "ALSA: USB Audio: Stage Left @1-1")
BUILT_IN = device(5, "Built-in Microphone", "ALSA: Built-in Microphone", default=True)
JACK = device(6, "Built-in Microphone", "JACK: Built-in Microphone", "JACK")


@pytest.mark.parametrize(
    ("wanted", "host_api", "index"),
    [
        (None, None, 5),
        ("2", None, 2),
        ("stage left", None, 2),
        ("ALSA: USB Audio: Stage Left @1-1", None, 2),
        ("ALSA: USB Audio: Stage Left @1-4", None, 2),  # it is in another socket now
        ("USB Audio: Stage Left (hw:7,0)", None, 2),  # it was another card before
        ("Built-in Microphone", "jack", 6),
        ("JACK: Built-in Microphone", None, 6),
        (None, "JACK", 6),
        ("microphone, alsa", None, 5),
    ],
)
def test_a_device_is_chosen_by_default_id_number_host_api_or_part_of_its_name(
    wanted: str | None, host_api: str | None, index: int
) -> None:
    assert choose([USB, BUILT_IN, JACK], wanted, host_api)["index"] == index


def test_two_devices_of_one_name_are_told_apart_by_their_sockets(tmp_path: Path) -> None:
    for card, port in (("card1", "1-1"), ("card2", "1-4")):
        interface = tmp_path / "usb" / port / f"{port}:1.0"
        interface.mkdir(parents=True)
        (tmp_path / card).mkdir()
        (tmp_path / card / "device").symlink_to(interface)
    names = ["USB Audio Device: - (hw:1,0)", "USB Audio Device: - (hw:2,0)", "USB Audio Device: - (hw:3,1)"]
    ids = [identity(name, "ALSA", tmp_path) for name in names]
    assert ids == ["ALSA: USB Audio Device @1-1", "ALSA: USB Audio Device @1-4", "ALSA: USB Audio Device [1]"]
    twins = [device(4, names[0], ids[0]), device(5, names[1], ids[1])]
    assert [choose(twins, id)["index"] for id in ids[:2]] == [4, 5]
    with pytest.raises(CaptureError, match="2 audio inputs match"):
        choose(twins, "USB Audio Device")


def test_two_devices_that_nothing_tells_apart_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakePlugs(monkeypatch, tmp_path, "USB", "Line", "USB")
    assert [d["id"] for d in asyncio.run(devices())] == ["Fake: USB", "Fake: Line", "Fake: USB #2"]
    microphone, _ = asyncio.run(recorded(0.02, "Fake: USB #2"))
    assert microphone.opened.details["id"] == "Fake: USB #2"


def test_a_microphone_that_was_found_is_the_same_one_when_numbers_have_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugs = FakePlugs(monkeypatch, tmp_path, "Left", "Right")
    input = MicrophoneInput("1")

    async def opened() -> str:
        microphone = await input.open()
        await microphone.close()
        return str(microphone.opened.details["device"])

    assert asyncio.run(opened()) == "Left"
    plugs.are("Right", "Left")
    assert asyncio.run(opened()) == "Left"
    plugs.are("Right")
    with pytest.raises(ReadError, match="no audio input is called 'Fake: Left'; there are 1: Fake: Right"):
        asyncio.run(opened())


def tones(samples: "np.ndarray[Any, Any]") -> list[int]:
    """The strongest frequency of each channel, in Hz."""
    return [int(np.argmax(np.abs(np.fft.rfft(channel))) * 48_000 / len(channel)) for channel in samples.T]


@pytest.mark.parametrize(("channel", "hz"), [(None, [200]), (0, [200]), (1, [4000]), ("mix", [200, 4000])])
def test_a_channel_is_chosen_or_all_are_sent(monkeypatch: pytest.MonkeyPatch, channel: Channel, hz: list[int]) -> None:
    fake_portaudio(monkeypatch, "tone")
    microphone, blocks = asyncio.run(recorded(0.1, channel=channel))
    assert microphone.opened.channels == len(hz)
    assert {block.lost for block in blocks} == {0}
    samples = np.frombuffer(b"".join(block.pcm for block in blocks), "<f4").reshape(-1, len(hz))
    assert tones(samples) == hz


def test_a_channel_that_a_device_has_not_fails_with_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    with pytest.raises(ReadError, match="channel=2: Fake microphone has 2 channels, counted from 0") as caught:
        asyncio.run(Microphone.open(channel=2))
    assert caught.value.retry == "never"


@pytest.mark.parametrize(
    ("found", "wanted", "code", "told"),
    [
        ([], None, "no_device", "no audio input"),
        (
            [USB, BUILT_IN],
            "harp",
            "unknown_device",
            "'harp'; there are 2: ALSA: USB Audio: Stage Left @1-1, 5: ALSA: Built-in",
        ),
        ([USB, BUILT_IN], "alsa", "ambiguous_device", "2 audio inputs match 'alsa'"),
        ([BUILT_IN, JACK], "Built-in Microphone", "ambiguous_device", "5: ALSA: Built-in Microphone, 6: JACK: Built"),
    ],
)
def test_a_device_that_cannot_be_chosen_is_told_with_what_there_is(
    found: list[dict[str, Any]], wanted: str | None, code: str, told: str
) -> None:
    with pytest.raises(CaptureError) as caught:
        choose(found, wanted)
    assert caught.value.code == code
    assert told in str(caught.value)


def fed(blocks: list[tuple[float, bool]], frames: int = 960) -> Recorder:
    """A recorder that was called back with blocks of (converter's time, overflow)."""
    recorder = Recorder(None, {"sample_rate": 48_000}, BytesIO())
    for at, overflow in blocks:
        status = SimpleNamespace(input_overflow=overflow)
        recorder.callback(array("f", [0.0] * frames).tobytes(), frames, SimpleNamespace(inputBufferAdcTime=at), status)
    return recorder


def test_an_overflow_costs_the_samples_that_the_converters_clock_says() -> None:
    recorder = fed([(10.0, False), (10.02, False), (10.07, True)])
    told = [recorder.blocks.get_nowait()[:2] for _ in range(3)]
    assert told == [(0, 0), (0, 960), (DISCONTINUITY, 3 * 960 + 480)]


def test_an_overflow_without_a_clock_is_told_as_one_sample() -> None:
    recorder = fed([(0.0, False), (0.0, True)])
    assert [recorder.blocks.get_nowait()[1] for _ in range(2)] == [0, 961]


def test_blocks_dropped_for_a_slow_reader_are_counted_exactly() -> None:
    recorder = fed([(n * 0.02, False) for n in range(QUEUE_BLOCKS + 7)])
    while not recorder.blocks.empty():
        last = recorder.blocks.get_nowait()
    assert last[1] == (QUEUE_BLOCKS - 1) * 960
    recorder.callback(b"", 0, SimpleNamespace(inputBufferAdcTime=0.0), SimpleNamespace(input_overflow=False))
    assert recorder.blocks.get_nowait()[:2] == (DISCONTINUITY, (QUEUE_BLOCKS + 7) * 960)


async def recorded(
    seconds: float, device: str | None = None, channel: Channel = None
) -> tuple[Microphone, list[Block]]:
    microphone = await Microphone.open(device, channel=channel)
    try:
        blocks = [await microphone.read() for _ in range(round(seconds / 0.02))]
    finally:
        await microphone.close()
    return microphone, blocks


def test_a_missing_portaudio_is_told_with_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "missing")
    for attempt in (devices(), Microphone.open()):
        with pytest.raises(ReadError, match="apt-get install libportaudio2") as caught:
            asyncio.run(attempt)
        assert (caught.value.code, caught.value.retry) == ("no_portaudio", "never")


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("none", "no_device", "connect a microphone"),
        ("busy", "device_busy", "Fake microphone is busy"),
        ("crash", "capture_crashed", "RuntimeError: the driver is broken"),
    ],
)
def test_a_device_that_cannot_be_opened_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, kind: str, code: str, told: str
) -> None:
    fake_portaudio(monkeypatch, kind)
    with pytest.raises(ReadError, match=told) as caught:
        asyncio.run(Microphone.open())
    assert caught.value.code == code


def test_only_inputs_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    assert [(d["index"], d["name"], d["default"]) for d in asyncio.run(devices())] == [
        (1, "Fake microphone", True),
        (2, "Fake line in", False),
    ]


def test_an_overflow_of_the_driver_reaches_the_reader_as_lost_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "overflowing")
    _, blocks = asyncio.run(recorded(0.6))
    assert [block.lost for block in blocks if block.lost] == [480]
    assert sum(block.lost + len(block.pcm) // 4 for block in blocks) == 30 * 960 + 480


def test_a_device_that_vanishes_ends_the_reading_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "vanishing")
    with pytest.raises(ReadError, match="Fake microphone stopped") as caught:
        asyncio.run(recorded(2.0))
    assert caught.value.code == "device_lost"


def test_a_real_device_gives_contiguous_blocks_at_its_own_rate(
    virtual_mic: VirtualMic, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_mic.into(monkeypatch)
    microphone, blocks = asyncio.run(recorded(0.5, "PULSE"))
    assert microphone.opened.details == {"device": "pulse", "host_api": "ALSA", "id": "ALSA: pulse"}
    samples = microphone.opened.sample_rate // 50
    assert {(block.lost, len(block.pcm)) for block in blocks} == {(0, samples * 4)}


def test_the_recording_process_ends_even_when_its_parent_is_killed(virtual_mic: VirtualMic, toy_path: Path) -> None:
    command = [sys.executable, "-m", "spiccato", "listen", "--device", "pulse", "--model", str(toy_path)]
    with subprocess.Popen(command, cwd=ROOT, env=virtual_mic.env, stdout=subprocess.PIPE) as parent:
        eventually(lambda: virtual_mic.recorded_by() == 1)
        parent.kill()
    eventually(lambda: virtual_mic.recorded_by() == 0)


def test_the_script_needs_nothing_of_ours_on_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `server` or `json` package in the current directory must not be imported in place of the real one."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    (tmp_path / "server").mkdir()
    monkeypatch.chdir(tmp_path)
    fake_portaudio(monkeypatch, "tone")
    assert len(asyncio.run(devices())) == 2
