"""What there is to judge: a folder for each instrument, a table, or a corpus of a known kind. Knows paths and names.

Whatever is wrong with one line or one file concerns that one: it is left out with its reason, and the rest is judged.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.loaders import nsynth, philharmonia
from models.data.recording import SUFFIXES, CorpusError
from models.evaluation.target import Named, Target, target_of

# other endings of what the decoder reads or refuses with a reason
SOUND = SUFFIXES | {".aifc", ".oga", ".w64", ".mp4", ".m4b", ".mov", ".3gp", ".aac", ".wma", ".caf", ".wv", ".au"}
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Listed:
    """One clip to judge, not yet opened."""

    path: Path
    name: str  # as the folder or table has it
    instrument: str  # as it is written there
    target: Target
    group: str | None = None  # player, physical instrument or session
    source: str = ""  # library
    onset_s: float | None = None
    offset_s: float | None = None


@dataclass(frozen=True)
class LeftOut:
    name: str
    instrument: str
    reason: str


def read(path: Path, model: Named) -> tuple[list[Listed], list[LeftOut]]:
    """What `path` lists. Raises CorpusError if it is nothing that can be judged."""
    if not path.exists():
        raise CorpusError(f"{path} does not exist")
    if path.is_file() or (path / "manifest.csv").is_file():
        return _table(path if path.is_file() else path / "manifest.csv", model)
    for kind in (nsynth, philharmonia):
        if kind.recognises(path):
            rows = ((r.path, r.name, r.instrument, {"group": r.group, "source": r.library}) for r in kind.read(path))
            return _targets(rows, model)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SOUND and _visible(file, path))
    if not files:
        raise CorpusError(f"{path} holds no sound files and no manifest.csv")
    return _targets(((file, str(file.relative_to(path)), _folder_of(file, path, model), {}) for file in files), model)


def some(listed: Sequence[Listed], limit: int | None, seed: int) -> list[Listed]:
    """At most `limit` of each target, drawn with the seed, in the order in which they were listed."""
    if limit is None:
        return list(listed)
    by_name: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(listed):
        by_name[item.target.name].append(index)
    random = np.random.default_rng(seed)
    kept = {int(i) for name in sorted(by_name) for i in random.permutation(by_name[name])[:limit]}
    return [item for index, item in enumerate(listed) if index in kept]


def _targets(rows: Iterable[tuple[Path, str, str, dict[str, str]]], model: Named) -> tuple[list[Listed], list[LeftOut]]:
    listed: list[Listed] = []
    left_out: list[LeftOut] = []
    for path, name, instrument, more in rows:
        target = target_of(instrument, model)
        if isinstance(target, str):
            left_out.append(LeftOut(name, instrument, target))
        else:
            listed.append(Listed(path, name, instrument, target, **more))  # type: ignore[arg-type]
    return listed, left_out


def _visible(file: Path, root: Path) -> bool:
    return file.is_file() and not any(piece.startswith(".") for piece in file.relative_to(root).parts)


def _folder_of(file: Path, root: Path, model: Named) -> str:
    """The name of the nearest folder that names one label, else of the nearest that names several, else the first.

    So `strings/violin/anna/a.wav` is a violin. A file in no folder is what the given folder itself is called.
    """
    folders = file.parent.relative_to(root).parts[::-1] or (root.resolve().name,)
    targets = {folder: target_of(folder, model) for folder in folders}
    known = [folder for folder in folders if isinstance(targets[folder], Target)]
    fine = [folder for folder in known if len(targets[folder].right) < 2]  # type: ignore[union-attr]
    return (fine or known or folders[-1:])[0]


def _table(table: Path, model: Named) -> tuple[list[Listed], list[LeftOut]]:
    """A CSV with the columns `path`, relative to it, and `instrument`; the rest is optional."""
    try:
        text = table.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise CorpusError(f"{table}: {(error.strerror or str(error)).lower()}") from error
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=head.count))
    try:
        columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise CorpusError(f"{table}, line {reader.line_num}: {error}") from error
    missing = [name for name in ("path", "instrument") if name not in columns]
    if missing:
        found = ", ".join(columns)[:200]
        raise CorpusError(f"{table} has no column {' and no column '.join(missing)}: found {found or 'nothing'}")
    listed: list[Listed] = []
    left_out: list[LeftOut] = []
    for line, row in rows:
        given = {name: (value or "").strip() for name, value in row.items() if isinstance(value, str)}
        path, instrument = given.get("path", ""), given.get("instrument", "")
        target = target_of(instrument, model) if instrument else "no instrument is given"
        reason = None if path and "\0" not in path else f"line {line} gives no path"
        try:
            onset_s, offset_s = (_seconds(given.get(name, ""), name) for name in ("onset_s", "offset_s"))
            if onset_s is not None and offset_s is not None and offset_s <= onset_s:
                raise ValueError(f"offset_s={offset_s:g} is not after onset_s={onset_s:g}")
        except ValueError as error:
            reason = reason or str(error)
        if reason or isinstance(target, str):
            left_out.append(LeftOut(path, instrument, reason or str(target)))
            continue
        listed.append(
            Listed(
                table.parent / path, path, instrument, target, given.get("group") or None, given.get("source", ""),
                onset_s, offset_s,
            )
        )  # fmt: skip
    return listed, left_out


def _seconds(text: str, column: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{column}={text!r} is no time in seconds")
    return value
