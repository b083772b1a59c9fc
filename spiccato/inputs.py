"""What `spiccato listen` is asked to hear, as an input: a microphone, a stream, a file, standard input.

Knows the command's words; opens nothing.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Encoding
from server.microphone import Channel, MicrophoneInput
from server.pipe import PipeInput
from server.pulled import FileInput, StreamInput
from server.reach import NotAllowed
from server.reader import Input
from server.settings import Settings
from spiccato.trouble import fail

ENCODINGS: dict[str, Encoding] = {"s16le": "pcm_s16le", "s24le": "pcm_s24le", "f32le": "pcm_f32le"}


@dataclass(frozen=True)
class Asked:
    """At most one of `device`, `source`."""

    device: str | None = None
    host_api: str | None = None
    channel: Channel = None
    source: str | None = None  # `-`, an address with ://, or a file's path
    fast: bool = False  # a recording, as fast as it can be heard
    loop: bool = False
    encoding: str = "s16le"  # of raw samples
    rate: int = 16_000
    channels: int = 1


def chosen(asked: Asked, settings: Settings) -> tuple[Input, str]:
    """The input, and what its events call their source. Ends the command with a sentence where that cannot be."""
    source = asked.source
    if source is not None and (asked.device is not None or asked.host_api is not None):
        fail("--device and --host-api are for microphones: leave it out, or leave out what else is to be heard")
    if (asked.fast or asked.loop) and (source is None or "://" in source):
        fail("--fast and --loop are for files (and --fast for standard input): what is live has its own pace")
    channel = None if asked.channel == "mix" else asked.channel
    if source is None:
        return MicrophoneInput(asked.device, asked.host_api, asked.channel), "microphone"
    if source == "-":
        if asked.channel is not None:
            fail("--channel is for microphones, streams and files")
        return _piped(asked), "stdin"
    if "://" in source:
        try:
            settings.allowed.reach.check(source)
        except NotAllowed as error:
            fail(str(error))
        return StreamInput(source, settings.allowed.reach, channel), "stream"
    path = Path(source)
    if not path.exists():
        fail(f"{path}: no such file; an address of a stream has :// in it")
    if path.is_dir():
        fail(f"{path} is a folder: name a sound file")
    return FileInput(path, channel, paced=not asked.fast, loop=asked.loop), path.name[:64]


def _piped(asked: Asked) -> Input:
    if asked.loop:
        fail("standard input comes once: --loop is for files")
    if sys.stdin is None or sys.stdin.isatty():
        fail("standard input is a terminal: pipe samples into it, as in `ffmpeg -i x -f s16le -ar 16000 -ac 1 - | ...`")
    if asked.encoding not in ENCODINGS:
        fail(f"--format {asked.encoding}: {', '.join(ENCODINGS)} are known")
    if not MIN_RATE_HZ <= asked.rate <= MAX_RATE_HZ:
        fail(f"--rate {asked.rate}: the limits are {MIN_RATE_HZ} and {MAX_RATE_HZ} Hz")
    if not 1 <= asked.channels <= MAX_CHANNELS:
        fail(f"--channels {asked.channels}: the limits are 1 and {MAX_CHANNELS}")
    return PipeInput(
        os.dup(sys.stdin.fileno()),
        "standard input",
        ENCODINGS[asked.encoding],
        asked.rate,
        asked.channels,
        live=not asked.fast,
        warn=lambda sentence: print(f"spiccato: {sentence}", file=sys.stderr),
    )
