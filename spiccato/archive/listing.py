"""Which files an archive has: those of a folder, or those that a manifest names. Opens none of them.

A file's name in the results is its path relative to the folder, or as the manifest writes it, so an archive may move.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spiccato.archive import ArchiveError

FORMATS = "wav|wave|w64|aif|aiff|flac|ogg|oga|opus|mp3|m4a|m4b|mp4|mov|3gp|3g2|mj2"  # of server/decode.py
SUFFIXES = frozenset(f".{name}" for name in FORMATS.split("|"))


class Entry(NamedTuple):
    name: str  # in the results; UTF-8 whatever the bytes of the file's name
    path: str  # to open it


@dataclass(frozen=True)
class Listing:
    entries: list[Entry]  # each name once
    others: int  # in the folder, no sound by their suffix
    repeated: int  # named again by the manifest


def listed(source: Path) -> Listing:
    """source: a folder, a CSV with a column `path`, or a text file with a path in each line. Raises ArchiveError."""
    try:
        if source.is_dir():
            return _folder(source)
        paths = _column(source) if source.suffix.lower() == ".csv" else _lines(source)
    except OSError as error:
        raise ArchiveError(f"{error.filename or source}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeError as error:
        raise ArchiveError(f"{source} is neither a folder nor a list of paths in UTF-8") from error
    entries = {_name(path): Entry(_name(path), os.path.join(source.absolute().parent, path)) for path in paths}
    return Listing(list(entries.values()), 0, len(paths) - len(entries))


def _folder(folder: Path) -> Listing:
    def fail(error: OSError) -> None:
        raise error  # a part of the archive that cannot be looked into is not left out in silence

    entries, others = [], 0
    top = folder.absolute()
    for at, folders, files in os.walk(top, onerror=fail):
        folders.sort()
        for file in sorted(files):
            path = Path(at, file)
            if path.suffix.lower() in SUFFIXES:
                entries.append(Entry(_name(str(path.relative_to(top))), str(path)))
            else:
                others += 1
    return Listing(entries, others, 0)


def _column(manifest: Path) -> list[str]:
    with manifest.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if "path" not in (rows.fieldnames or []):
            raise ArchiveError(f"{manifest}: its columns are {rows.fieldnames}: one has to be `path`")
        return [row["path"] for row in rows if row["path"]]


def _lines(manifest: Path) -> list[str]:
    with manifest.open(encoding="utf-8-sig") as file:
        return [path for line in file if (path := line.rstrip("\r\n"))]


def _name(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
