"""Files that were made to do harm: every one is answered with 4xx, in bounded memory, and nobody live notices."""

import asyncio
import gzip
import io
import resource
import struct
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from client.stream import connect
from engine.weights import Model
from tests.audio_files import FORMATS, write
from tests.live_server import LiveServer, bare, live_server
from tests.synth import low_high, pcm16
from tests.test_session import Client

GROWN_MB = 64  # what any of it may cost
CHUNK = 640  # bytes of a live session: 20 ms
UPLOAD_S = 60.0


def wav(
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    kind: int = 1,
    declared: int | None = None,
    data: bytes = bytes(3_200),
) -> bytes:
    align = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels & 0xFFFF, rate, (rate * align) & 0xFFFFFFFF, align & 0xFFFF, bits)
    size = len(data) if declared is None else declared
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (4 + len(body)) & 0xFFFFFFFF) + body


def flac_head(rate: int, channels: int, bits: int, samples: int) -> bytes:
    packed = (rate << 44) | ((channels - 1) << 41) | ((bits - 1) << 36) | samples
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8) + bytes(16)
    return b"fLaC" + b"\x80" + len(info).to_bytes(3) + info


def box(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", len(content) + 8 if size is None else size) + name + content


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(b"moov", content)
    return content


def silence_flac(hours: float) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(int(hours * 6)):
            sound.write(np.zeros(8_000 * 600, np.int16))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(50_000_000))
    return file.getvalue()


def id3(size: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes((size >> shift) & 127 for shift in (21, 14, 7, 0))


PLAYLISTS = {
    "m3u8 of a local file": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "m3u8 of a service": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "xspf": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><playlist>&a;</playlist>',
}


def corpus() -> Iterator[tuple[str, bytes]]:
    yield "nine hours of silence as FLAC", silence_flac(9)
    yield "zip bomb", zipped()
    yield "gzip bomb", gzip.compress(bytes(50_000_000))
    yield from PLAYLISTS.items()
    for rate in (0, 1, 7_999, 192_001, 4_294_967_295):
        yield f"WAV of {rate} Hz", wav(rate=rate)
    for channels in (0, 9, 255, 65_535):
        yield f"WAV of {channels} channels", wav(channels=channels, data=bytes(200_000))
    for bits in (0, 65_535):
        yield f"WAV of {bits} bits", wav(bits=bits)
    yield "WAV of an unknown coding", wav(kind=0x4242)
    yield "WAV that declares 2 GB", wav(declared=2_000_000_000)
    yield "WAV of NaN", wav(kind=3, bits=32, data=np.full(8_000, np.nan, "<f4").tobytes())
    yield "WAV of infinity", wav(kind=3, bits=32, data=np.full(8_000, np.inf, "<f4").tobytes())
    yield "WAV of 50 000 empty chunks", b"RIFF" + struct.pack("<I", 400_004) + b"WAVE" + b"junk\0\0\0\0" * 50_000
    yield "RIFF in RIFF", (b"RIFF\xff\xff\xff\x7fWAVE") * 1_000
    for rate, channels, bits, samples in (
        (655_350, 8, 32, 2**36 - 1),
        (1, 1, 16, 2**36 - 1),
        (44_100, 8, 24, 2**36 - 1),
    ):
        yield f"FLAC head of {rate} Hz and 2^36 samples", flac_head(rate, channels, bits, samples) + bytes(20_000)
    yield "FLAC of a 16 MB picture that is not there", b"fLaC\x06\xff\xff\xff" + bytes(1_000)
    yield "Ogg of pages without end", (b"OggS\0\x02" + bytes(20) + b"\xff" + b"\xff" * 255) * 100
    yield "MP3 with a tag of 256 MB", id3(2**28 - 1) + b"\xff\xfb\x90\x00" * 100
    yield "MP3 of sync words", b"\xff\xfb\x90\x00" * 50_000
    yield "M4A of 5 000 nested boxes", box(b"ftyp", b"M4A \0\0\0\0") + nested(5_000)
    yield "M4A of a box larger than the world", box(b"ftyp", b"M4A \0\0\0\0") + struct.pack(">I4sQ", 1, b"moov", 2**63)
    table = box(b"stts", struct.pack(">III", 0, 2**31, 1)) + box(b"stsz", struct.pack(">III", 0, 0, 2**31 - 1))
    yield (
        "M4A of two billion samples",
        box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table))))),
    )
    noise = np.random.default_rng(3).bytes(100_000)
    for magic in (
        b"",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"fLaC",
        b"OggS\0\x02",
        b"\0\0\0\x20ftypM4A ",
        b"ID3\x03\0\0\0\0\0\x0a",
    ):
        yield f"noise after {magic!r}", magic + noise


def truncations(folder: Path) -> Iterator[tuple[str, bytes]]:
    for suffix in FORMATS:
        whole = write(folder / f"a.{suffix}", low_high(16_000), 16_000)
        for share in (0.02, 0.3, 0.71):
            yield f"{share:.0%} of {suffix}", whole[: int(len(whole) * share)]


def damaged(folder: Path, each: int) -> Iterator[tuple[str, bytes]]:
    """Some bytes of a good file replaced by others: it may still be heard, and must never be a fault of ours."""
    rng = np.random.default_rng(11)
    for suffix in FORMATS:
        whole = np.frombuffer(write(folder / f"a.{suffix}", low_high(16_000), 16_000), np.uint8)
        for number in range(each):
            changed = whole.copy()
            reach = min(len(whole), 400) if number % 2 else len(whole)  # headers above all
            changed[rng.integers(0, reach, 8)] = rng.integers(0, 256, 8)
            if number % 3 == 2:  # pieces that are missing, twice there, or elsewhere
                a, b, c = sorted(rng.integers(0, len(whole), 3))
                changed = np.concatenate([(changed[:a], changed[b:c], changed[a:b])[i] for i in rng.permutation(3)[:2]])
            yield f"{suffix} damaged {number}", changed.tobytes()


def rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def post(server: LiveServer, data: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/classify", content=data, timeout=UPLOAD_S)


@pytest.fixture(scope="module")
def target(toy_path: Path) -> Iterator[LiveServer]:
    with live_server(model=toy_path, max_upload_s=1_800, max_upload_wall_s=20, stall_ms=600_000) as running:
        yield running


def test_a_hostile_file_is_refused_in_bounded_memory_while_a_live_session_goes_on(
    target: LiveServer, toy: Model, tmp_path: Path
) -> None:
    files = [*corpus(), *truncations(tmp_path)]
    post(target, write(tmp_path / "warm.flac", low_high(16_000), 16_000))
    done = threading.Event()
    pool = ThreadPoolExecutor(1)
    playing = pool.submit(asyncio.run, played(target, done))
    start_mb, most_mb = rss_mb(), 0.0
    wrong = {}
    try:
        for name, data in files:
            answer = post(target, data)
            most_mb = max(most_mb, rss_mb() - start_mb)
            if not 400 <= answer.status_code < 500:
                wrong[name] = (answer.status_code, answer.text[:200])
    finally:
        done.set()
        sent, told = playing.result(60)
        pool.shutdown()
    print(f"{len(files)} files, at most {most_mb:.1f} MB; {len(sent) // CHUNK} live chunks, each with a ping")
    assert wrong == {}
    assert most_mb < GROWN_MB
    assert target.service.uploads == 0
    summary = told[-1]
    assert (summary["dropped_ms"], summary["processed_ms"]) == (0, len(sent) / 32)
    undisturbed = Client(toy, source={"kind": "network"})
    undisturbed.hear(sent)
    undisturbed.send("stop")
    assert bare(told) == bare(undisturbed.told) != []


async def played(target: LiveServer, done: threading.Event) -> tuple[bytes, list[Any]]:
    """A live session in real time, whose every chunk is followed by a ping that is answered: its sound, and what it was
    told."""
    sound, sent, told = pcm16(low_high()), b"", []
    began = time.monotonic()
    source = {"name": "live", "kind": "network"}
    async with connect(target.ws, sample_rate=16_000, encoding="pcm_s16le", source=source) as stream:

        async def listen() -> None:
            async for message in stream:
                told.append(message)

        listening = asyncio.create_task(listen())
        while not done.is_set() or len(sent) < 100 * CHUNK:
            at = len(sent) % (len(sound) - CHUNK)
            await stream.send(sound[at : at + CHUNK])
            sent += sound[at : at + CHUNK]
            await (await stream._socket.ping())
            await asyncio.sleep(max(0.0, began + len(sent) / 32_000 - time.monotonic()))
        await stream.stop()
        await listening
        assert stream.reconnects == 0
    return sent, told


def test_a_damaged_file_is_heard_or_refused_and_never_a_fault_of_ours(target: LiveServer, tmp_path: Path) -> None:
    codes = {}
    post(target, write(tmp_path / "warm.flac", low_high(16_000), 16_000))
    start_mb = rss_mb()
    for name, data in damaged(tmp_path, each=30):
        answer = post(target, data)
        codes[name] = answer.status_code
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] != "internal", name
    grown_mb = rss_mb() - start_mb
    print(f"{len(codes)} damaged files: {dict(Counter(codes.values()))}, {grown_mb:.1f} MB")
    assert grown_mb < GROWN_MB
    assert {code for code in codes.values() if not (code == 200 or 400 <= code < 500)} == set()
    assert 200 in codes.values()
    assert len({code for code in codes.values()}) > 1
