"""A stand-in for the sounddevice package, for a recording process: put this folder on its PYTHONPATH.

FAKE_PORTAUDIO chooses how the machine is: `missing` (no library), `none` (no device), `busy`, `tone` (a device
gives a tone: 200 Hz in its first channel, 4 kHz in its second), `vanishing` (the same, unplugged after a second),
`hanging` (the same, no samples after a second), `overflowing` (the same, 480 samples lost after half a second),
`crash`.

FAKE_DEVICES names a file of the inputs that are plugged in now, one name a line: a stream ends when its device's line
is taken out. Without it there are two.
"""

import math
import os
import threading
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KIND = os.environ["FAKE_PORTAUDIO"]
RATE = 48_000
LOST = 480
TONES = (200, 4000)  # Hz, of each channel
PERIOD = RATE // 200  # samples after which all of them begin again
DEVICES = os.environ.get("FAKE_DEVICES")

if KIND == "missing":
    raise OSError("PortAudio library not found")
if KIND == "crash":
    raise RuntimeError("the driver is broken")

default = SimpleNamespace(device=(1, 1))


class PortAudioError(Exception):
    pass


def plugged() -> list[str]:
    return ["Fake microphone", "Fake line in"] if DEVICES is None else Path(DEVICES).read_text().splitlines()


def query_hostapis() -> list[dict[str, Any]]:
    return [{"name": "Fake"}]


def query_devices() -> list[dict[str, Any]]:
    names = [] if KIND == "none" else ["Speakers", *plugged()]
    return [
        {
            "index": index,
            "name": name,
            "hostapi": 0,
            "max_input_channels": 0 if name == "Speakers" else 2,
            "default_samplerate": float(RATE),
        }
        for index, name in enumerate(names)
    ]


class RawInputStream:
    def __init__(
        self, *, device: int, channels: int, blocksize: int, callback: Any, finished_callback: Any, **_: Any
    ) -> None:
        self._name = query_devices()[device]["name"]
        self._channels = channels
        if KIND == "busy":
            raise PortAudioError("Error opening RawInputStream: Device unavailable", -9985)
        self._blocksize = blocksize
        tones = [[0.3 * math.sin(2 * math.pi * hz * n / RATE) for hz in TONES[:channels]] for n in range(PERIOD)]
        self._wave = array("f", [value for frame in tones for value in frame] * (2 + blocksize // PERIOD))
        self._callback = callback
        self._finished = finished_callback
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        self._ended.set()
        self._thread.join()

    def close(self) -> None:
        pass

    def _run(self) -> None:
        block_s = self._blocksize / RATE
        sample = number = 0
        while not self._ended.wait(block_s):
            number += 1
            heard_s = number * block_s
            if KIND == "vanishing" and heard_s > 1:
                break
            if KIND == "hanging" and heard_s > 1:
                continue
            if self._name not in plugged():
                break
            overflow = KIND == "overflowing" and number == round(0.5 / block_s)
            sample += LOST if overflow else 0
            first = sample % PERIOD * self._channels
            wave = self._wave[first : first + self._blocksize * self._channels]
            time = SimpleNamespace(inputBufferAdcTime=1000.0 + sample / RATE)
            self._callback(wave.tobytes(), self._blocksize, time, SimpleNamespace(input_overflow=overflow))
            sample += self._blocksize
        self._finished()
