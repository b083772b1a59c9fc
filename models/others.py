"""Counterexamples: scenes without the instrument that is added, as cochlea spikes of the engine's ear, packed.

Whoever adds a detector has notes of the instrument and no corpus, so a bank of them is shipped: spikes, one bit for
each fibre and frame, no recordings. Made from recordings and soundfonts whose licences allow it, and from no validation
library, by `python -m models.make_others DIR`. Its scenes are in PARTS that share no physical instrument or speaker.
"""

import json
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from models.data.scenes import FRAMES, HOP_SAMPLES

SHIPPED = Path(__file__).parent / "weights" / "others.spikes.xz"
FORMAT = 1
PARTS = 5
MAX_BYTES = 512 * 1024 * 1024  # unpacked


class OthersError(ValueError):
    """A sentence about a bank that cannot be used."""


@dataclass(frozen=True)
class Others:
    """Scene `i` holds what `kinds[i]` says and belongs to part `parts[i]`."""

    spikes: NDArray[np.uint8]  # (scenes, FRAMES, bytes) bits, little-endian
    kinds: tuple[str, ...]  # a label, a mixture `a + b`, `speech`, `noise`, or what the user gave
    parts: NDArray[np.int64]  # (scenes,) 0 .. PARTS - 1

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def hours(self) -> float:
        return len(self) * FRAMES * HOP_SAMPLES / 16_000 / 3600.0

    def without(self, label: str) -> "Others":
        """The scenes in which `label` does not play."""
        keep = np.array([label not in kind.split(" + ") for kind in self.kinds], bool)
        kinds = tuple(kind for kind, kept in zip(self.kinds, keep, strict=True) if kept)
        return Others(self.spikes[keep], kinds, self.parts[keep])


def joined(banks: Iterable[Others]) -> Others:
    banks = list(banks)
    return Others(
        np.concatenate([bank.spikes for bank in banks]),
        tuple(kind for bank in banks for kind in bank.kinds),
        np.concatenate([bank.parts for bank in banks]),
    )


def through_ear(front_end: FrontEnd, scenes: Iterable[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """(scenes, FRAMES, bytes) the packed spikes of each scene, heard by itself.

    Raises ValueError if the front end's rate or hop is not the scenes'.
    """
    if front_end.sample_rate_hz != 16_000 or front_end.hop_samples != HOP_SAMPLES:
        raise ValueError(
            f"scenes are 16000 Hz with hops of {HOP_SAMPLES}; "
            f"the front end has {front_end.sample_rate_hz} Hz and {front_end.hop_samples}"
        )
    ear = Ear(front_end)
    rows = []
    for samples in scenes:
        ear.reset()
        rows.append(np.packbits(ear.feed(samples)[1], axis=1, bitorder="little"))
    return np.stack(rows) if rows else np.zeros((0, FRAMES, (front_end.fibres + 7) // 8), np.uint8)


def unpacked(spikes: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """(..., count) of 0 and 1."""
    return np.unpackbits(spikes, axis=-1, count=count, bitorder="little")


def write(bank: Others, front_end: FrontEnd, path: Path) -> None:
    """A line of JSON, then the spikes fibre by fibre: a fibre's frames are alike, which packs an eighth smaller."""
    bits = unpacked(bank.spikes, front_end.fibres)
    head = {
        "format": FORMAT,
        "front_end": front_end.to_dict(),
        "kinds": list(bank.kinds),
        "parts": bank.parts.tolist(),
    }
    body = np.packbits(bits.transpose(0, 2, 1), bitorder="little").tobytes()
    packer = lzma.LZMACompressor(preset=9)
    data = packer.compress(json.dumps(head).encode() + b"\n" + body) + packer.flush()
    path.write_bytes(data)


def read(path: Path, front_end: FrontEnd) -> Others:
    """Raises OthersError if the bank is damaged or was heard by another front end: its spikes would mean nothing."""
    try:
        data = lzma.LZMADecompressor().decompress(path.read_bytes(), MAX_BYTES)
        head, _, body = data.partition(b"\n")
        about = json.loads(head)
        kinds, parts = tuple(about["kinds"]), np.array(about["parts"], np.int64)
        if about["format"] != FORMAT:
            raise OthersError(f"{path}: format {about['format']}, this version reads {FORMAT}")
        if FrontEnd.from_dict(about["front_end"]) != front_end:
            raise OthersError(f"{path}: its counterexamples were heard by another front end than the model's")
        flat = np.unpackbits(np.frombuffer(body, np.uint8), bitorder="little")
        bits = flat.reshape(len(kinds), front_end.fibres, FRAMES).transpose(0, 2, 1)
    except (OSError, lzma.LZMAError, KeyError, TypeError) as error:
        raise OthersError(f"{path}: {error}") from error
    except ValueError as error:
        raise error if isinstance(error, OthersError) else OthersError(f"{path}: {error}") from error
    return Others(np.packbits(bits, axis=2, bitorder="little"), kinds, parts)
