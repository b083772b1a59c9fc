"""A corpus's sound, decoded once to 16 kHz mono int16 in one file on disk, and read from there as a memory map.

Whatever the corpus's size, no more than a second of one file is in memory while packing, and afterwards only the pages
that are being read. A file is decoded again when its size or time of change differs. Knows files and samples; nothing
of labels. int16 because it is what the recordings are and half of float32; the disk pays 115 MB for an hour.
"""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.decode import Decoded, Unreadable, to_int16
from models.data.prepare import Audible

FORMAT = 1  # of the index; another one is made anew


@dataclass(frozen=True)
class Sound:
    """What one file holds. `trouble` says why it cannot be read; the rest is then zero."""

    offset: int  # in samples, in the pack
    length: int
    start: int  # the audible part, [start, stop)
    stop: int
    rate_hz: int  # of the file
    channels: int
    peak: float  # full scale 1
    mean: float  # DC offset
    clipped: int  # samples at full scale whose neighbour is, too
    digest: str  # of the samples
    trouble: str = ""


class Pack:
    """Sounds by name and their samples, which stay there when another process makes the pack anew."""

    def __init__(self, sounds: dict[str, Sound], pcm: Path) -> None:
        self.sounds = sounds
        total = pcm.stat().st_size // 2
        self._pcm = np.memmap(pcm, np.int16, mode="r") if total else np.zeros(0, np.int16)

    def samples(self, name: str) -> NDArray[np.int16]:
        """(n,) a view of the file on disk."""
        sound = self.sounds[name]
        return self._pcm[sound.offset : sound.offset + sound.length]


def packed(folder: Path, files: Mapping[str, Path], progress: Callable[[str], None] = lambda name: None) -> Pack:
    """The pack of `folder` with at least `files` (name -> path) in it; `progress` is told each name that is there."""
    place = _place(folder)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process that packs the same folder is waited for
        return _packed(folder, place, files, progress)


def _packed(folder: Path, place: Path, files: Mapping[str, Path], progress: Callable[[str], None]) -> Pack:
    index, pcm = place.with_suffix(".json"), place.with_suffix(".pcm")
    known = _read_index(index, pcm)
    wanted = {name: _stamp(path) for name, path in files.items()}
    if all(name in known and known[name][0] == stamp for name, stamp in wanted.items()):
        for name in files:
            progress(name)
        return Pack({name: known[name][1] for name in files}, pcm)
    _forget_lost_folders(place.parent)
    others = {
        name: stamp for name, (stamp, _) in known.items() if name not in files and stamp == _stamp(Path(stamp[0]))
    }
    old = np.memmap(pcm, np.int16, mode="r") if known and pcm.stat().st_size else np.zeros(0, np.int16)
    sounds: dict[str, Sound] = {}
    out = tempfile.NamedTemporaryFile(dir=place.parent, prefix=place.name, suffix=".tmp", delete=False)  # noqa: SIM115
    try:
        with out:
            offset = 0
            for name, stamp in (others | wanted).items():
                if name in known and known[name][0] == stamp:
                    sound = known[name][1]
                    out.write(old[sound.offset : sound.offset + sound.length].tobytes())
                    sounds[name] = replace(sound, offset=offset)
                else:
                    sounds[name] = _decode(files[name], out, offset)
                offset += sounds[name].length
                if name in files:
                    progress(name)
        index.unlink(missing_ok=True)  # a kill between here and its writing leaves a pack that is made anew
        os.replace(out.name, pcm)
    except BaseException:
        os.unlink(out.name)
        raise
    entries = {name: [(others | wanted)[name], asdict(sound)] for name, sound in sounds.items()}
    write_whole(index, json.dumps({"format": FORMAT, "folder": str(folder.resolve()), "files": entries}))
    return Pack({name: sounds[name] for name in files}, pcm)


def cache(kind: str) -> Path:
    """`$XDG_CACHE_HOME/spiccato/KIND`, else `~/.cache/spiccato/KIND`; made if it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = Path(base) / "spiccato" / kind
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"nothing can be kept in {path} ({error.strerror}): set XDG_CACHE_HOME") from error
    return path


def _decode(path: Path, out: Any, offset: int) -> Sound:
    """Append the file's samples to `out`, block by block, and what they are like. A file that fails leaves nothing."""
    length = clipped = 0
    peak = total = 0.0
    digest = hashlib.blake2b(digest_size=16)
    audible = Audible()
    last_full = False
    begin = out.tell()
    try:
        source = Decoded(path)
        for block in source.blocks():
            pcm = to_int16(block)
            full = np.concatenate([[last_full], np.abs(block) >= 32767 / 32768])
            clipped += int(np.sum(full[1:] & full[:-1]))
            last_full = bool(full[-1])
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            total += float(np.sum(block, dtype=np.float64))
            length += len(pcm)
            digest.update(pcm.tobytes())
            audible.feed(pcm)
            out.write(pcm.tobytes())
    except Unreadable as error:
        out.seek(begin)
        out.truncate()
        return Sound(offset, 0, 0, 0, 0, 0, 0.0, 0.0, 0, "", str(error))
    start, stop = audible.bounds()
    mean = total / max(1, length)
    return Sound(offset, length, start, stop, source.rate_hz, source.channels, peak, mean, clipped, digest.hexdigest())


def _place(folder: Path) -> Path:
    digest = hashlib.sha256(f"{folder.resolve()}".encode()).hexdigest()[:20]
    return cache("audio") / digest


def _stamp(path: Path) -> list[str]:
    """What changes when a file does; no size where it is missing."""
    try:
        about = path.stat()
    except OSError:
        return [str(path.resolve())]
    return [str(path.resolve()), str(about.st_size), str(about.st_mtime_ns)]


def _read_index(index: Path, pcm: Path) -> dict[str, tuple[list[str], Sound]]:
    if not index.exists() or not pcm.exists():
        return {}
    kept = json.loads(index.read_text(encoding="utf-8"))
    if kept["format"] != FORMAT:
        return {}
    return {name: (stamp, Sound(**sound)) for name, (stamp, sound) in kept["files"].items()}


def _forget_lost_folders(folder: Path) -> None:
    """Remove the packs of folders that are no more."""
    for index in folder.glob("*.json"):
        kept = json.loads(index.read_text(encoding="utf-8"))
        if not Path(kept["folder"]).exists():
            for suffix in (".pcm", ".lock", ".json"):
                index.with_suffix(suffix).unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """As a whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)
