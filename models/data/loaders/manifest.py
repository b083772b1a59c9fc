"""A `manifest.csv` and the files that it names. Needs the columns `path` and `instrument`, takes what else is there.

`source` is the library (default: the folder's name), `group` the physical instrument, player or speaker (default:
one for each instrument of a library), `part` the corpus's own train, valid or test.
"""

import csv
from pathlib import Path
from typing import get_args

from models.data.recording import CorpusError, OwnPart, Recording, midi_of, named

REQUIRED = ("path", "instrument")
COLUMNS = {"dynamics": "dynamics", "articulation": "articulation", "licence": "licence", "origin": "origin"}


def recognises(path: Path) -> bool:
    return path.suffix.lower() == ".csv" or (path / "manifest.csv").is_file()


def read(path: Path) -> list[Recording]:
    """`path`: the CSV, or a folder with `manifest.csv`. Raises CorpusError naming a missing column or a wrong value."""
    table = path if path.is_file() else path / "manifest.csv"
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"{table} has no column {', '.join(missing)}: found {', '.join(reader.fieldnames or ())}")
        return [_recording(table, line, row) for line, row in enumerate(reader, start=2)]


def _recording(table: Path, line: int, row: dict[str, str | None]) -> Recording:
    given = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    if not given["path"] or not given["instrument"]:
        raise CorpusError(f"{table}, line {line}: path and instrument must not be empty")
    part = given.get("part", "")
    if part and part not in get_args(OwnPart):
        raise CorpusError(f"{table}, line {line}: part={part!r} is none of {', '.join(get_args(OwnPart))}")
    library = given.get("source") or table.parent.resolve().name
    seconds = given.get("duration_s", "")
    try:
        duration_s = float(seconds) if seconds else None
    except ValueError as error:
        raise CorpusError(f"{table}, line {line}: duration_s={seconds!r} is no number") from error
    return Recording(
        path=table.parent / given["path"],
        name=given["path"],
        library=library,
        group=given.get("group") or f"{library}/{given['instrument']}",
        part=part or None,  # type: ignore[arg-type]
        pitch=pitch_of(given.get("pitch", "")),
        duration_s=duration_s,
        **{field: given.get(column, "") for field, column in COLUMNS.items()},  # type: ignore[arg-type]
        **named(given["instrument"]),  # type: ignore[arg-type]
    )


def pitch_of(text: str) -> int | None:
    """`A#4` or a MIDI number."""
    return int(text) if text.isdecimal() and int(text) <= 127 else midi_of(text)
