"""From what sources and sessions say to what is kept of it. Knows messages and rows; nothing of databases.

Kept are final events, sessions and gaps, of everything live. A session of a file has no time of day: it is left out.
Text comes from clients: what no database holds (NUL) is replaced.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server.past.tables import events, gaps, sessions
from server.past.writer import Write

Message = dict[str, Any]


@dataclass(frozen=True)
class Begun:
    """What a session's `started` said that its later messages do not."""

    rate_hz: int
    started_utc: int
    families: dict[str, str]  # label to family


def local_zone_min(utc_ms: int) -> int:
    """By how many minutes this machine's zone is ahead of UTC then."""
    ahead = datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds() / 60)


class Records:
    """`zone_min` is asked for the zone of each moment."""

    def __init__(self, zone_min: Callable[[int], int] = local_zone_min) -> None:
        self._zone_min = zone_min
        self._begun: dict[str, Begun] = {}

    def of(self, source: str, message: Message) -> list[Write]:
        kind, session = message["type"], message.get("session", "")
        if kind == "started":
            return self._started(source, message)
        begun = self._begun.get(session)
        if begun is None:
            return []
        if kind == "event" and message["is_final"]:
            return [Write(events, self._event(source, message, begun))]
        if kind == "gap":
            gap = {key: message[key] for key in ("session", "from_sample", "samples", "reason")}
            return [Write(gaps, {**gap, "place": message["where"]})]
        if kind == "summary":
            del self._begun[session]
            summary = {key: value for key, value in message.items() if key not in ("type", "session", "seq", "source")}
            ended = begun.started_utc + round(message["wall_s"] * 1000)
            row = {"session": session, "ended_utc": ended, "summary": json.dumps(summary)}
            return [Write(sessions, row, key="session")]
        return []

    def _started(self, source: str, message: Message) -> list[Write]:
        effective, model = message["effective"], message["model"]
        if effective["source"]["kind"] == "file":
            return []
        started = epoch_ms(message["clock"]["utc"])
        families = dict(zip(model["labels"], model["families"], strict=True))
        self._begun[message["session"]] = Begun(effective["audio"]["sample_rate"], started, families)
        row = {
            "session": message["session"],
            "source": clean(source),
            "kind": effective["source"]["kind"],
            "model": f"{model['name']}@{model['version']}",
            "sample_rate": effective["audio"]["sample_rate"],
            "started_utc": started,
            "zone_min": self._zone_min(started),
        }
        return [Write(sessions, row)]

    def _event(self, source: str, message: Message, begun: Begun) -> dict[str, Any]:
        same = ("event_id", "session", "label", "phase", "reason", "score", "peak", "threshold", "onset_sample")
        onset = epoch_ms(message["utc_onset"])
        end = message["offset_sample"] if message["offset_sample"] is not None else message["decided_sample"]
        return {
            **{key: message[key] for key in same},
            "source": clean(source),
            "family": begun.families.get(message["label"], ""),
            "sample_rate": begun.rate_hz,
            "offset_sample": end,
            "decided_sample": message["decided_sample"],
            "duration_ms": round((end - message["onset_sample"]) * 1000 / begun.rate_hz, 3),
            "latency_ms": message["latency_ms"],
            "onset_utc": onset,
            "zone_min": self._zone_min(onset),
            "model": message["model"],
        }


def epoch_ms(utc: str) -> int:
    """ISO 8601 with its offset, to milliseconds since 1970."""
    return round(datetime.fromisoformat(utc).timestamp() * 1000)


def clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
