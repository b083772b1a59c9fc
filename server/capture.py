"""A microphone in a process of its own: samples and news of the device go out through stdout, EOF on stdin ends it.

Run as `python -P -m server.capture [--device NAME ... | --list]`; `microphone.py` is the other side. A process of its
own because PortAudio sees no new device until it is initialised again, which would stop every other stream, and
because a crashing audio driver then takes nothing else with it. Imports nothing of ours but `devices.py`. Knows
PortAudio; nothing of instruments or networks.

stdout is a row of records: HEADER, then `bytes` of payload. A record with the JSON flag is `opened` (the first) or
`error` (the last); the others are interleaved float32 samples, little-endian, `index` being the first one's place on
the device's clock. An index ahead of the samples sent tells how many were lost.
"""

import argparse
import contextlib
import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from server.devices import CaptureError, choose, inputs

HEADER = struct.Struct("<BBBxIQ")  # magic, version, flags, bytes of payload, index of the first sample
MAGIC = 0xA5
VERSION = 1
DISCONTINUITY = 1  # flag: samples were lost before this block
JSON = 2  # flag: the payload is JSON text, not samples
BLOCK_S = 0.02
QUEUE_BLOCKS = 100  # 2 s that may wait for a slow reader; what comes beyond is dropped, and told by the index

NO_PORTAUDIO = (
    "the PortAudio library is not installed, so no microphone can be heard here; everything else works. "
    "Debian and Ubuntu: apt-get install libportaudio2; Fedora: dnf install portaudio; Arch: pacman -S portaudio"
)
MIX = "mix"  # in place of a channel: all of them
MAX_MIXED = 32  # a device that claims more is a sound server, which mixes by itself
PA_INVALID_DEVICE = -9996
PA_DEVICE_UNAVAILABLE = -9985


def portaudio() -> Any:
    """The sounddevice module, which loads and initialises PortAudio when it is imported."""
    try:
        import sounddevice
    except OSError as error:  # its own words for a library that it cannot find
        raise CaptureError("no_portaudio", NO_PORTAUDIO) from error
    except ImportError as error:
        raise CaptureError(
            "no_portaudio", f"the Python package sounddevice cannot be imported ({error}): pip install sounddevice"
        ) from error
    return sounddevice


class Recorder:
    """One open device: `record` writes its blocks to `out` until `stop` is set or the device is gone."""

    def __init__(self, sd: Any, device: dict[str, Any], out: BinaryIO, channel: str | None = None) -> None:
        """channel: from 0, or MIX; None: the driver's own mono. Raises CaptureError where the device has none such."""
        self.sd = sd
        self.device = device
        self.channel = int(channel) if channel not in (None, MIX) else None  # the only one of those recorded
        self.recorded = 1  # channels
        if channel == MIX and device["channels"] <= MAX_MIXED:
            self.recorded = device["channels"]
        elif self.channel is not None:
            self.recorded = self.channel + 1
            if self.recorded > device["channels"]:
                counted = f"{device['name']} has {device['channels']} channels, counted from 0"
                raise CaptureError("no_channel", f"channel={self.channel}: {counted}")
        self.out = out
        self.stop = threading.Event()
        self.blocks: queue.Queue[tuple[int, int, bytes]] = queue.Queue(QUEUE_BLOCKS)  # flags, index, samples
        self.index = 0  # place of the next sample on the device's clock
        self.adc_s = 0.0  # when the next sample is due at the converter, on PortAudio's clock; 0 before the first
        self.dropped = False  # a block found the queue full

    def record(self) -> None:
        rate = self.device["sample_rate"]
        stream = self.sd.RawInputStream(
            samplerate=rate,
            blocksize=round(rate * BLOCK_S),
            device=self.device["index"],
            channels=self.recorded,
            dtype="float32",
            latency="low",
            callback=self.callback,
            finished_callback=self.stop.set,
        )
        try:
            stream.start()
            told = {name: self.device[name] for name in ("name", "host_api", "id")}
            sent = self.recorded if self.channel is None else 1
            form = {"sample_rate": rate, "channels": sent, "encoding": "pcm_f32le"}
            write_json(self.out, {"type": "opened", **told, **form})
            while not self.stop.is_set():
                with contextlib.suppress(queue.Empty):
                    self.send(*self.blocks.get(timeout=0.1))
        finally:
            stream.abort()  # `stop` would wait for samples that a hanging device never gives
            stream.close()
        while not self.blocks.empty():  # heard before the end
            self.send(*self.blocks.get_nowait())

    def send(self, flags: int, index: int, samples: bytes) -> None:
        self.out.write(HEADER.pack(MAGIC, VERSION, flags, len(samples), index) + samples)
        self.out.flush()

    def callback(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """On PortAudio's thread: never waits. The converter's clock says how many samples an overflow cost."""
        adc_s = time.inputBufferAdcTime
        flags = 0
        if status.input_overflow:
            lost_s = adc_s - self.adc_s if self.adc_s and adc_s else 0.0
            self.index += max(1, round(lost_s * self.device["sample_rate"]))
            flags = DISCONTINUITY
        if self.dropped:
            flags = DISCONTINUITY
        try:
            self.blocks.put_nowait((flags, self.index, self.chosen(bytes(data))))
            self.dropped = False
        except queue.Full:
            self.dropped = True
        self.index += frames
        self.adc_s = adc_s + frames / self.device["sample_rate"] if adc_s else 0.0

    def chosen(self, interleaved: bytes) -> bytes:
        """The samples of the one channel, or all."""
        if self.channel is None or self.recorded == 1:
            return interleaved
        return memoryview(interleaved).cast("f")[self.channel :: self.recorded].tobytes()


def capture(wanted: str | None, host_api: str | None, channel: str | None, stdin: int, out: BinaryIO) -> None:
    """Record `wanted` until the file descriptor `stdin` ends. Raises CaptureError."""
    sd = portaudio()
    device = choose(inputs(sd), wanted, host_api)
    recorder = Recorder(sd, device, out, channel)
    ended = threading.Event()

    def wait_for_end() -> None:
        while os.read(stdin, 4096):
            pass
        ended.set()
        recorder.stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    try:
        recorder.record()
    except sd.PortAudioError as error:
        raise refused(device["name"], error) from error
    if not ended.is_set():
        raise CaptureError("device_lost", f"{device['name']} stopped: unplugged, or taken away by the system")


def refused(name: str, error: Exception) -> CaptureError:
    """PortAudio's error as ours."""
    code = error.args[1] if len(error.args) > 1 else 0
    if code == PA_DEVICE_UNAVAILABLE:
        return CaptureError("device_busy", f"{name} is busy: another program is using it, or it may not be opened")
    if code == PA_INVALID_DEVICE:
        return CaptureError("device_lost", f"{name} is gone")
    told = str(error.args[0] if error.args else error).removeprefix("Error opening RawInputStream: ")
    reason = "; ".join([told, *(str(host_error[2]) for host_error in error.args[2:])])
    return CaptureError("device_failed", f"{name} cannot be opened: {reason}")


def write_json(out: BinaryIO, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    out.write(HEADER.pack(MAGIC, VERSION, JSON, len(text), 0) + text)
    out.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="Record a microphone to stdout; see the module's docstring.")
    parser.add_argument("--device", help="id, index, name or part of a name; without it, the default input")
    parser.add_argument("--host-api", help="only the devices of this one")
    parser.add_argument("--channel", help=f"from 0, or {MIX}: all of them; without it, the driver's own mono")
    parser.add_argument("--list", action="store_true", help="print the audio inputs as one JSON record")
    arguments = parser.parse_args()

    def work(out: BinaryIO) -> None:
        if arguments.list:
            write_json(out, {"type": "devices", "devices": inputs(portaudio())})
        else:
            capture(arguments.device, arguments.host_api, arguments.channel, sys.stdin.fileno(), out)

    return reported(work)


def reported(work: Callable[[BinaryIO], None]) -> int:
    """Give `work` our stdout; what it fails of is the last record. The exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent, which closes our stdin
    out = sys.stdout.buffer
    try:
        work(out)
    except CaptureError as error:
        write_json(out, {"type": "error", "code": error.code, "message": str(error)})
        return 1
    except BrokenPipeError:  # the parent is gone, and nobody is left to tell
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
