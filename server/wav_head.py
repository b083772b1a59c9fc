"""The head of a WAV that comes through a pipe, byte by byte: what form its samples have. Performs no I/O.

Only forms that are PCM already are known; the lengths that programs write into a pipe before they know them (0, or the
greatest there is) mean "to the end".
"""

import struct
from dataclasses import dataclass

from server.ingest import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Encoding
from server.reader import ReadError

MAGIC_BYTES = 12  # RIFF, a length, WAVE
MAX_HEAD_BYTES = 65_536
ENDLESS = 0x7FFF_0000  # bytes; a greater length is not one
FORM_BYTES = 16  # of the chunk "fmt ", at least
EXTENSIBLE = 0xFFFE  # the form's number stands in the extension
ENCODINGS: dict[tuple[int, int], Encoding] = {(1, 16): "pcm_s16le", (1, 24): "pcm_s24le", (3, 32): "pcm_f32le"}


@dataclass(frozen=True)
class Head:
    encoding: Encoding
    sample_rate: int
    channels: int
    size: int | None  # bytes of samples; None: to the end
    first: int  # index of the first byte of samples


def is_wav(begin: bytes) -> bool:
    return begin[:4] == b"RIFF" and begin[8:12] == b"WAVE"


def head(data: bytes) -> Head | None:
    """Of what came so far; None: more is needed. Raises ReadError."""
    at, form = MAGIC_BYTES, None
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        at += 8
        if name == b"data":
            if form is None:
                raise _bad("its samples come before their form")
            return Head(*form, None if size == 0 or size >= ENDLESS else size, at)
        if name == b"fmt " and at + size <= len(data):
            form = _form(data[at : at + size])
        at += size + size % 2
    if len(data) > MAX_HEAD_BYTES:
        raise _bad(f"no samples in its first {MAX_HEAD_BYTES} bytes")
    return None


def _form(chunk: bytes) -> tuple[Encoding, int, int]:
    if len(chunk) < FORM_BYTES:
        raise _bad(f"its form takes {len(chunk)} bytes: {FORM_BYTES} are the least")
    number, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if number == EXTENSIBLE and len(chunk) >= 26:
        number = struct.unpack_from("<H", chunk, 24)[0]
    encoding = ENCODINGS.get((number, bits))
    if encoding is None:
        raise _bad(f"form {number} with {bits} bits: 16- and 24-bit PCM and 32-bit float are known")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise _bad(f"a sample rate of {rate_hz} Hz: the limits are {MIN_RATE_HZ}..{MAX_RATE_HZ}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise _bad(f"{channels} channels: the limit is {MAX_CHANNELS}")
    return encoding, rate_hz, channels


def _bad(reason: str) -> ReadError:
    return ReadError("bad_wav", f"this WAV cannot be heard: {reason}", "never")
