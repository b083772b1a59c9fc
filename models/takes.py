"""Recordings of one's own instrument as notes: any file that the server decodes, cut where it is silent.

Knows files and levels; nothing of labels. A file that cannot be used is told, with the reason, and stops no other.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from models.data.decode import RATE_HZ
from models.data.recording import SUFFIXES
from models.data.truth import frame_levels, runs
from server.decode import DecodeLimits, Decoder
from server.errors import Refusal
from server.ingest import MAX_CHANNELS, mix

Samples = NDArray[np.float32]

FILES = SUFFIXES | {".oga", ".w64", ".mp4", ".3gp"}
LIMITS = DecodeLimits(audio_s=math.inf, channels=MAX_CHANNELS, wall_s=math.inf)

HOP = RATE_HZ // 100
SILENT_DBFS = -60.0  # a file whose loudest 10 ms are below this holds nothing
QUIET_DB = 40.0  # a note ends this far below the loudest 10 ms of its file
OVER_FLOOR_DB = 10.0  # or so little above the file's noise floor
FLOOR_PERCENT = 5  # of the frames are quieter than the noise floor
PAUSE_FRAMES = 8  # a shorter silence does not part two notes
SHORTEST_FRAMES = 6  # what is shorter is a click
LONGEST_S = 3.0  # a longer note is cut
MARGIN_FRAMES = 2  # kept before and after a note
DECAY_FRAMES = 30  # after a note's end its tail is no rest: a rest is learned as what the instrument is not
SHORTEST_REST_S = 0.2
CLIPPED = 5  # neighbouring samples at full scale that make a file clipped
FULL_SCALE = 32767 / 32768


@dataclass(frozen=True)
class Take:
    """What one file holds."""

    path: Path
    notes: tuple[Samples, ...]  # at RATE_HZ
    rests: tuple[Samples, ...]  # what is heard between them: room and hiss


@dataclass
class Takes:
    """What a folder holds, and what is wrong with it."""

    takes: list[Take] = field(default_factory=list)
    unused: list[tuple[Path, str]] = field(default_factory=list)  # files that cannot be used, and why
    warned: list[tuple[Path, str]] = field(default_factory=list)  # files that are used all the same

    @property
    def notes(self) -> int:
        return sum(len(take.notes) for take in self.takes)


def files_of(path: Path) -> list[Path]:
    """The file itself, or every sound file below a folder. Raises FileNotFoundError if there is nothing there."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in FILES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not found:
        raise FileNotFoundError(f"{path}: no sound file in there; {', '.join(sorted(FILES))} are looked for")
    return found


def read_takes(files: Sequence[Path], done: Callable[[], None] = lambda: None) -> Takes:
    takes = Takes()
    known: dict[bytes, Path] = {}  # digest of the samples -> the first file with them
    for path in files:
        try:
            sound, full = decoded(path)
        except (OSError, Refusal) as error:
            takes.unused.append((path, trouble_of(error)))
            continue
        finally:
            done()
        if (same := known.setdefault(hashlib.sha256(sound.tobytes()).digest(), path)) != path:
            takes.unused.append((path, f"the same sound as {same.name}: a copy would be learned from and judge"))
            continue
        notes, rests = cut(sound)
        if not notes:
            takes.unused.append((path, f"silent: nothing in it is above {SILENT_DBFS:g} dBFS for 60 ms"))
            continue
        if full >= CLIPPED:
            takes.warned.append((path, f"clipped: {full} samples in a row at full scale"))
        takes.takes.append(Take(path, tuple(notes), tuple(rests)))
    return takes


def decoded(path: Path) -> tuple[Samples, int]:
    """(n,) mono at RATE_HZ, and the longest run of samples at full scale in a channel of the file.

    Raises Refusal or OSError with what is wrong with the file.
    """
    mono, full = [], 0
    with path.open("rb") as file:
        decoder = Decoder(file, LIMITS)
        try:
            for block in decoder.blocks():
                mono.append(mix(block))
                for channel in block.T:
                    full = max([full, *(stop - start for start, stop in runs(np.abs(channel) >= FULL_SCALE))])
        finally:
            decoder.close()
    return np.asarray(soxr.resample(np.concatenate(mono), decoder.rate_hz, RATE_HZ), np.float32), full


def trouble_of(error: OSError | Refusal) -> str:
    return error.message if isinstance(error, Refusal) else (error.strerror or str(error)).lower()


def cut(sound: Samples) -> tuple[list[Samples], list[Samples]]:
    """The notes of a recording and the rests between them."""
    level = frame_levels(sound, HOP)
    if not len(level) or level.max() < SILENT_DBFS:
        return [], []
    floor = float(np.percentile(level, FLOOR_PERCENT))
    quiet = float(level.max()) - QUIET_DB
    # a recording without a pause has no floor to be seen: its quietest frames are notes
    if quiet < floor + OVER_FLOOR_DB < level.max() - OVER_FLOOR_DB:
        quiet = floor + OVER_FLOOR_DB
    notes, rests = [], []
    longest = round(LONGEST_S * 100)
    before = 0
    for start, stop in runs(level > quiet, PAUSE_FRAMES):
        if stop - start < SHORTEST_FRAMES:
            continue
        rests.append(sound[before * HOP : max(before, start - MARGIN_FRAMES) * HOP])
        before = stop + DECAY_FRAMES
        pieces = math.ceil((stop - start) / longest)
        for piece in range(pieces):
            first = start + (stop - start) * piece // pieces - (MARGIN_FRAMES if piece == 0 else 0)
            last = start + (stop - start) * (piece + 1) // pieces + (MARGIN_FRAMES if piece + 1 == pieces else 0)
            notes.append(sound[max(0, first) * HOP : last * HOP])
    rests.append(sound[before * HOP :])
    return notes, [rest for rest in rests if len(rest) >= SHORTEST_REST_S * RATE_HZ and np.any(rest)]
