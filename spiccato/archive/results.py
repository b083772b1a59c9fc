"""The results of an archive: a folder of Parquet files, one row for each file that was heard, whole after any kill.

A part is written beside, synced, then moved to its name: it is all there or not at all, and what is in parts is done.
Knows rows; nothing of sound or of processes.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.weights import Model
from spiccato.archive import ArchiveError
from spiccato.archive.work import Row

EVENT = pa.struct(
    [
        ("label", pa.string()),
        ("onset_ms", pa.float64()),
        ("offset_ms", pa.float64()),
        ("onset_sample", pa.int64()),  # at the file's rate
        ("offset_sample", pa.int64()),
        ("score", pa.float64()),
        ("peak", pa.float64()),
        ("threshold", pa.float64()),
        ("reason", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("code", pa.string()),  # why it could not be heard; null: it was
        ("message", pa.string()),
        ("model", pa.string()),
        ("audio_ms", pa.float64()),
        ("wall_s", pa.float64()),  # that it took
        ("events", pa.list_(EVENT)),  # by onset
    ]
)
KEY = b"spiccato"  # of the parts' metadata: what they were made with
PART_S = 5.0  # of work that a kill may cost, or
PART_SHARE = 0.01  # so much of the work of this run, so that a long run leaves few parts
PART_ITEMS = 100_000  # rows and events that wait at most


class Results:
    def __init__(self, folder: Path, model: Model, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Raises ArchiveError where the folder cannot be written, is in use, or is another model's."""
        self.folder = folder
        self.bad: dict[str, tuple[str, str]] = {}  # file to code and message
        self.done: set[str] = set()
        self.audio_ms = 0.0  # heard, of all parts
        self._model = model
        self._monotonic = monotonic
        self._began = self._written = monotonic()
        self._rows: list[Row] = []
        self._items = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
        except OSError as error:
            raise ArchiveError(f"{folder} cannot be used: {_said(error)}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError as error:
            self._lock.close()
            raise ArchiveError(f"{folder} is being written by another command") from error
        except ArchiveError:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """What waits is written, whatever ended the work."""
        try:
            self.write()
        finally:
            self._lock.close()

    @property
    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, row: Row) -> None:
        """Raises ArchiveError where it cannot be written, or the file is there already."""
        if row["file"] in self.done:
            raise ArchiveError(f"{row['file']} was heard twice")
        self._rows.append({**row, "model": self._model.id})
        self._items += 1 + len(row["events"])
        self._count(row["file"], row["code"], row["message"])
        self.audio_ms += row["audio_ms"] or 0.0
        now = self._monotonic()
        if self._items >= PART_ITEMS or now - self._written >= max(PART_S, PART_SHARE * (now - self._began)):
            self.write()

    def write(self) -> None:
        """What waits becomes a part."""
        if self._rows:
            numbers = [int(part.stem.removeprefix("part-")) for part in self.parts]
            table = pa.Table.from_pylist(self._rows, SCHEMA).replace_schema_metadata({KEY: self._made_with()})
            self._put(table, self.folder / f"part-{max(numbers, default=0) + 1:06d}.parquet")
        self._rows, self._items = [], 0
        self._written = self._monotonic()

    def forget_bad(self) -> None:
        """So that they are tried again."""
        for part in self.parts:
            table = pq.read_table(part)
            good = table.filter(pc.is_null(table["code"]))
            if len(good) < len(table):
                self._put(good, part) if len(good) else part.unlink()
        self.done -= self.bad.keys()
        self.bad = {}

    def _read(self) -> None:
        mine = json.loads(self._made_with())
        for part in self.parts:
            try:
                table = pq.read_table(part, columns=["file", "code", "message", "audio_ms"])
            except (OSError, pa.ArrowException) as error:
                raise ArchiveError(f"{part} cannot be read ({error}); without it its files are heard again") from error
            made_with = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
            if made_with != mine:
                which = made_with.get("model", "something else")
                raise ArchiveError(
                    f"{self.folder} was made with {which}, of other weights or thresholds than {mine['model']}: "
                    "choose another --out"
                )
            for file, code, message in zip(
                *(table[name].to_pylist() for name in ("file", "code", "message")), strict=True
            ):
                self._count(file, code, message)
            self.audio_ms += pc.sum(table["audio_ms"]).as_py() or 0.0

    def _count(self, file: str, code: str | None, message: str | None) -> None:
        self.done.add(file)
        if code is not None:
            self.bad[file] = (code, message or "")

    def _made_with(self) -> bytes:
        model = self._model
        told = {"model": model.id, "sha256": model.sha256, "on": list(model.on), "off": list(model.off)}
        return json.dumps(told).encode()

    def _put(self, table: pa.Table, part: Path) -> None:
        beside = part.with_name(f".{part.name}")
        try:
            with beside.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(part)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ArchiveError(f"{part} cannot be written: {_said(error)}") from error


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
