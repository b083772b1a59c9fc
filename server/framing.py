"""The 16-byte header of a binary message with `framing: "framed"`: which samples these are, on the session's clock.

Little-endian: u8 0xA5, u8 1, u8 flags (bit 0: discontinuity), u8 0, u32 number of the chunk, u64 index of the first
sample at the declared rate. Knows bytes; nothing of encodings, clocks or what is done about a gap.
"""

import struct
from dataclasses import dataclass

from server.errors import Code, Refusal

MAGIC, VERSION = 0xA5, 1
DISCONTINUITY = 1
HEADER = struct.Struct("<BBBBIQ")
PLAIN, PLAIN_KIND = struct.Struct("<IIQ"), MAGIC | VERSION << 8  # its first four bytes as one, where no flag is set
MAX_AHEAD = 2**40  # samples: as for `gap`; an index further ahead is a mistake, not a loss


@dataclass(frozen=True, slots=True)
class Header:
    chunk: int  # counted by the client; only named in messages
    first: int  # sample
    discontinuity: bool = False  # the sound before the chunk is not the sound before it on the clock

    def pack(self) -> bytes:
        return HEADER.pack(MAGIC, VERSION, DISCONTINUITY * self.discontinuity, 0, self.chunk & 0xFFFFFFFF, self.first)


def unframed(data: bytes) -> tuple[Header, bytes]:
    """Header and samples of a binary message. Raises Refusal naming what is wrong with the header."""
    if len(data) < HEADER.size:
        raise Refusal(
            Code.EMPTY_CHUNK if not data else Code.BAD_FRAMING,
            f"a binary message of {len(data)} bytes: framed audio begins with a header of {HEADER.size}",
        )
    magic, version, flags, reserved, chunk, first = HEADER.unpack_from(data)
    for name, value, wanted in (("magic", magic, MAGIC), ("version", version, VERSION)):
        if value != wanted:
            raise Refusal(Code.BAD_FRAMING, f"{name}=0x{value:02x} in a chunk's header: it must be 0x{wanted:02x}")
    if flags & ~DISCONTINUITY or reserved:
        raise Refusal(
            Code.BAD_FRAMING,
            f"flags=0x{flags:02x}, reserved=0x{reserved:02x} in the header of chunk {chunk}: "
            "only flag 0x01 is known, and the fourth byte is 0",
        )
    return Header(chunk, first, bool(flags & DISCONTINUITY)), data[HEADER.size :]


def following(data: bytes, first: int) -> bytes:
    """The samples of a binary message whose header says nothing but that they begin at `first`; else nothing."""
    if len(data) < HEADER.size:
        return b""
    kind, _, index = PLAIN.unpack_from(data)
    return data[HEADER.size :] if index == first and kind == PLAIN_KIND else b""
