"""Clips of the sound around events, as files: which sessions have them, the thread that writes them, where they lie.

A clip waits in memory until it is written; over MAX_WAITING_BYTES it is dropped, counted and told. Knows files and
rows; what is cut is `reel.py`'s.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

from server.past import flac
from server.past.records import epoch_ms
from server.past.reel import Cut, Reel
from server.past.tables import clips
from server.past.writer import Write

log = logging.getLogger("spiccato.history")

MAX_WAITING_BYTES = 64 * 1024 * 1024
Scope = Literal["off", "sources", "all"]  # whose sound is kept: nobody's, the server's own sources', live sessions' too


class Clips:
    def __init__(
        self,
        root: Path,
        scope: Scope,
        keep: Callable[[Write], None],
        *,
        pre_s: float,
        post_s: float,
        max_s: float,
    ) -> None:
        self.root = root
        self.scope = scope
        self.problem: str | None = None  # why the last one could not be written
        self.written = 0
        self.dropped: Counter[str] = Counter(dict.fromkeys(("queue", "disk", "length"), 0))
        self._keep = keep
        self._reel = {"pre_s": pre_s, "post_s": post_s, "max_s": max_s}
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "clips")

    def of_source(self, rate_hz: int, live: bool) -> Reel | None:
        """What listens to a session of one of the server's own sources."""
        return self._new(rate_hz) if self.scope != "off" and live else None

    def of_session(self, rate_hz: int, live: bool) -> Reel | None:
        """What listens to a live session of somebody else."""
        return self._new(rate_hz) if self.scope == "all" and live else None

    def path(self, event_id: str) -> Path:
        return path_of(self.root, event_id)

    def close(self) -> None:
        """Write what waits."""
        self._thread.shutdown(wait=True)

    def _new(self, rate_hz: int) -> Reel:
        return Reel(rate_hz, self._cut, partial(self._drop, "length"), **self._reel)

    def _cut(self, cut: Cut) -> None:
        size = 2 * (cut.end - cut.first)
        with self._lock:
            if self._waiting_bytes + size > MAX_WAITING_BYTES:
                self.dropped["queue"] += 1
                if self.dropped["queue"] == 1:
                    log.error("clips: %d bytes wait to be written, the next are dropped", self._waiting_bytes)
                return
            self._waiting_bytes += size
        try:
            self._thread.submit(self._write, cut, size)
        except RuntimeError:  # the server has stopped
            self._drop("queue")

    def _write(self, cut: Cut, size: int) -> None:
        event = cut.event
        tags = {
            "TITLE": event["label"],
            "ARTIST": event["source"],
            "DATE": event["utc_onset"],
            "SPICCATO_EVENT": event["event_id"],
            "SPICCATO_FIRST_SAMPLE": str(cut.first),
            "SPICCATO_ONSET_SAMPLE": str(event["onset_sample"]),
        }
        try:
            written = flac.write(self.path(event["event_id"]), cut.samples(), cut.rate_hz, tags)
        except (OSError, ValueError) as error:
            self._drop("disk")
            if self.problem is None:
                log.error("clips cannot be written to %s: %s", self.root, error)
            self.problem = str(error)
            return
        finally:
            with self._lock:
                self._waiting_bytes -= size
        if self.problem is not None:
            log.warning("clips are written again, %d were lost", self.dropped["disk"])
            self.problem = None
        self.written += 1
        row = {
            "event_id": event["event_id"],
            "first_sample": cut.first,
            "samples": cut.end - cut.first,
            "bytes": written,
            "onset_utc": epoch_ms(event["utc_onset"]),
        }
        self._keep(Write(clips, row))

    def _drop(self, why: str) -> None:
        with self._lock:
            self.dropped[why] += 1


def path_of(root: Path, event_id: str) -> Path:
    """Where the clip of an event lies, or would: a folder for each quarter of an hour."""
    return root / event_id[:6] / f"{event_id}.flac"
