"""Samples from a pipe: whatever the pieces, WAV heads, ends in the middle of a sample."""

import asyncio
import io
import os
import struct
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from server import wav_head
from server.pipe import PipeInput
from server.reader import Opened, ReadError


def piped(pieces: list[bytes], **form: object) -> tuple[Opened, bytes, list[str]]:
    """What comes out of a pipe into which `pieces` are written, and what was told of its end."""
    read, write = os.pipe()
    warned: list[str] = []

    def feed() -> None:
        with os.fdopen(write, "wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    async def main() -> tuple[Opened, bytes]:
        defaults = {"encoding": "pcm_s16le", "sample_rate": 16_000, "warn": warned.append}
        reader = await PipeInput(read, "the pipe", **{**defaults, **form}).open()  # type: ignore[arg-type]
        got = b""
        while (block := await reader.read()) is not None:
            assert block.pcm
            assert len(block.pcm) % reader._frame_bytes == 0
            got += block.pcm
        await reader.close()
        return reader.opened, got

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        return *asyncio.run(main()), warned
    finally:
        feeding.join()
        for thread in threading.enumerate():
            if thread.name == "pipe":
                thread.join()  # it may still wait for the end; another pipe may get the same number
        os.close(read)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=0, max_size=400), st.lists(st.integers(1, 9), max_size=20), st.sampled_from([1, 3]))
def test_every_whole_sample_is_given_whatever_the_pieces(data: bytes, cuts: list[int], channels: int) -> None:
    data = b"\x01" + data  # never a WAV
    pieces = [data[a:b] for a, b in zip(np.cumsum([0, *cuts]), [*np.cumsum(cuts), len(data)], strict=False)]
    opened, got, warned = piped([p for p in pieces if p], channels=channels)
    sent = b"".join(pieces)
    assert got == sent[: len(sent) - len(sent) % (2 * channels)]
    assert bool(warned) == (len(sent) % (2 * channels) != 0)
    assert (opened.sample_rate, opened.channels) == (16_000, channels)


@pytest.mark.parametrize(
    ("subtype", "encoding"), [("PCM_16", "pcm_s16le"), ("PCM_24", "pcm_s24le"), ("FLOAT", "pcm_f32le")]
)
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_wav_says_its_form_whatever_was_asked_for(subtype: str, encoding: str, format: str, size: int) -> None:
    file = io.BytesIO()
    sound = np.linspace(-0.5, 0.5, 600).reshape(-1, 2)
    soundfile.write(file, sound, 22_050, format=format, subtype=subtype)
    data = file.getvalue()
    opened, got, warned = piped([data[at : at + size] for at in range(0, len(data), size)])
    assert (opened.encoding, opened.sample_rate, opened.channels) == (encoding, 22_050, 2)
    assert len(got) == 600 * {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_f32le": 4}[encoding]
    assert warned == []


def wav(size: int, samples: bytes, after: bytes = b"", number: int = 1, channels: int = 1, rate: int = 16_000) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, number, channels, rate, 0, 0, 16)
    odd = struct.pack("<4sI", b"LIST", 3) + b"abc\0"  # chunks are padded to an even length
    return b"RIFF\0\0\0\0WAVE" + odd + form + struct.pack("<4sI", b"data", size) + samples + after


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_length_that_was_not_known_means_to_the_end(size: int) -> None:
    assert piped([wav(size, b"abcdef")])[1:] == (b"abcdef", [])


def test_what_follows_the_samples_of_a_wav_is_no_sound() -> None:
    assert piped([wav(4, b"abcd", b"LIST....")])[1:] == (b"abcd", [])


def test_a_wav_that_ends_early_is_told() -> None:
    assert piped([wav(8, b"abcd")])[1:] == (b"abcd", ["it ended 4 bytes before the end that its head says"])


def test_a_head_that_ends_early_is_told() -> None:
    assert piped([wav(8, b"")[:30]])[1:] == (b"", ["the pipe ended within the head of a WAV"])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"RIFF\0\0\0\0WAVE" + struct.pack("<4sI", b"fmt ", 4) + bytes(90), "form takes 4 bytes: 16 are"),
        (wav(4, b"", number=2), "form 2 with 16 bits"),
        (wav(4, b"", channels=33), "33 channels: the limit is 32"),
        (wav(4, b"", rate=4_000), "4000 Hz: the limits are 8000..192000"),
        (b"RIFF\0\0\0\0WAVE" + struct.pack("<4sI", b"data", 4), "samples come before their form"),
        (b"RIFF\0\0\0\0WAVE" + struct.pack("<4sI", b"junk", 2**31) + bytes(70_000), "no samples in its first 65536"),
    ],
)
def test_a_wav_that_cannot_be_heard_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ReadError, match=told) as caught:
        piped([data])
    assert caught.value.retry == "never"


def test_a_pipe_that_was_refused_is_read_no_further() -> None:
    read, write = os.pipe()
    os.write(write, wav(4, b"", number=2))
    with pytest.raises(ReadError):
        asyncio.run(PipeInput(read, "the pipe", "pcm_s16le", 16_000).open())
    os.write(write, b"x")  # a thread that waits in a read ends with it
    for thread in threading.enumerate():
        if thread.name == "pipe":
            thread.join()
    os.close(write)
    os.close(read)


@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_head_is_known_as_soon_as_it_is_there(format: str, subtype: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(2), 22_050, format=format, subtype=subtype)
    data = file.getvalue()
    first = next(size for size in range(len(data)) if wav_head.head(data[:size]) is not None)
    assert first == data.index(b"data") + 8
