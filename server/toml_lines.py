"""On which line of a TOML file each setting stands. Knows text that tomllib has read; nothing of settings.

tomllib tells no positions, so it is asked statement by statement: a statement ends with the first line at which what
was gathered can be read by itself.
"""

import tomllib
from typing import Any

Path = tuple[str | int, ...]


def lines(text: str) -> dict[Path, int]:
    """Line of each key, table and item of an array, the first is 1. Inside a value that fills several lines it is the
    first of them. `text` is valid TOML."""
    found: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}  # tables so far in each array of tables
    table: Path = ()
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if said:
            if statement.lstrip().startswith("["):
                table = _header(said, counts)
                _note(found, table, None, first)
            else:
                _note(found, table, said, first)
        statement, first = "", number + 1
    return found


def _header(said: dict[str, Any], counts: dict[Path, int]) -> Path:
    """Of `[a.b]` or `[[a.b]]`, read by itself, the place in the whole file."""
    path: Path = ()
    here: Any = said
    while here:
        if isinstance(here, list):  # [[...]] begins a table
            counts[path] = counts.get(path, 0) + 1
            return (*path, counts[path] - 1)
        if path in counts:  # [x.y] is in the newest of the [[x]]
            path = (*path, counts[path] - 1)
        name, here = next(iter(here.items()))
        path = (*path, name)
    return path


def _note(found: dict[Path, int], path: Path, value: Any, line: int) -> None:
    for length in range(len(path) + 1):
        found.setdefault(path[:length], line)
    if isinstance(value, dict):
        for name, inner in value.items():
            _note(found, (*path, name), inner, line)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _note(found, (*path, index), inner, line)
