"""The history of one service: what is heard is kept, what was kept is read. The one place where its parts are joined.

Knows the settings; nothing of HTTP. Where the database is lost nothing that is live notices: what is heard waits.
"""

import os
import time
from pathlib import Path
from typing import Any

from server.past.clips import Clips
from server.past.database import Database, address
from server.past.records import Records
from server.past.retention import Limits, Retention
from server.past.writer import Writer
from server.settings import Settings


def state_dir() -> Path:
    """Where programs of this user keep what they remember (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "spiccato"


def database(asked: str) -> Database:
    """What the setting `history` or `--database` names. Raises HistoryError."""
    return Database(address(asked, state_dir() / "history.sqlite"))


def clip_dir(settings: Settings) -> Path:
    return settings.clips_dir or state_dir() / "clips"


class History:
    """Raises HistoryError where the settings cannot be used. A disk or database that is missing is no such error."""

    def __init__(self, settings: Settings) -> None:
        self.database = database(settings.history.get_secret_value())
        self.clips = Clips(
            clip_dir(settings),
            settings.clips,
            lambda write: self.writer.put(write),
            pre_s=settings.clips_pre_s,
            post_s=settings.clips_post_s,
            max_s=settings.clips_max_s,
        )
        limits = Limits(settings.history_days, settings.history_bytes, settings.clips_days, settings.clips_bytes)
        self.retention = Retention(limits, self.clips.path, self.clips.root)
        self.writer = Writer(self.database, self.retention.apply)
        self._records = Records()

    @property
    def is_well(self) -> bool:
        return self.writer.problem is None and self.clips.problem is None

    def start(self) -> None:
        self.writer.start()

    def hear(self, source: str, message: dict[str, Any]) -> None:
        """A tap of the hub."""
        for write in self._records.of(source, message):
            self.writer.put(write)

    def close(self) -> None:
        """Keep what was heard, then end. Takes seconds where the disk is slow: not for the event loop."""
        self.clips.close()
        self.writer.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
