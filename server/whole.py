"""Is a file all there? Compares the sizes that containers declare with the bytes that came. Decodes nothing.

FFmpeg takes a WAV or OGG that was cut off for a shorter one; here it is told apart. Files written as a stream declare
no size, which is not wrong. Sources: RIFF/WAVE, RFC 9639 (FLAC), RFC 3533 (Ogg), ISO/IEC 14496-12 (boxes).
"""

import os
import struct
from typing import BinaryIO

UNKNOWN_SIZE = 0x7FFF_0000  # a RIFF size from here on is a writer's "not known yet"
MAX_PARTS = 100_000  # chunks or boxes looked at; a file with more is left to the decoder
OGG_TAIL = 128 * 1024  # more than the largest page, 65 307 bytes


def missing(file: BinaryIO) -> str | None:
    """What says that the end is missing, as a sentence, or None. Leaves the file at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    try:
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            return _wav(file, size)
        if head[:4] == b"fLaC":
            return _flac(file, size)
        if head[:4] == b"OggS":
            return _ogg(file, size)
        if head[4:8] == b"ftyp":
            return _boxes(file, size)
        return None
    finally:
        file.seek(0)


def has_exact_duration(file: BinaryIO) -> bool:
    """False for an MP3 without a Xing, Info or VBRI header, whose duration FFmpeg can only guess from its bit rate."""
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3":
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        file.seek(10 + size)
        head = b""
    elif head[0] != 0xFF:
        file.seek(0)
        return True
    first_frame = head + file.read(256)
    file.seek(0)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))


def _wav(file: BinaryIO, size: int) -> str | None:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > size:
            return "it ends before its data chunk"
        file.seek(at)
        name, declared = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            known = 0 < declared < UNKNOWN_SIZE
            short = at + 8 + declared - size
            return (
                f"its data chunk declares {declared} bytes, {short} of them are missing"
                if known and short > 0
                else None
            )
        at += 8 + declared + declared % 2
    return None


def _flac(file: BinaryIO, size: int) -> str | None:
    at = 4
    for _ in range(MAX_PARTS):
        file.seek(at)
        header = file.read(4)
        at += 4 + int.from_bytes(header[1:])
        if len(header) < 4 or at > size:
            return "it ends within its metadata"
        if header[0] & 0x80:  # the last block; how many samples follow is for the decoder to count
            return None
    return None


def _ogg(file: BinaryIO, size: int) -> str | None:
    start = max(0, size - OGG_TAIL)
    file.seek(start)
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    whole = 27 + segments + sum(page[27 : 27 + segments])
    return f"its last page has {len(page)} of {whole} bytes" if len(page) < whole else None


def _boxes(file: BinaryIO, size: int) -> str | None:
    at = 0
    names = set()
    for _ in range(MAX_PARTS):
        if at >= size:
            return None if b"moov" in names else "its index (the moov box) is missing"
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            return "it ends within the header of a box"
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        elif length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            return None  # not a box: for the decoder to say
        if at + length > size:
            return f"its box {header[4:8]!r} declares {length} bytes, {at + length - size} of them are missing"
        names.add(header[4:8])
        at += length
    return None
