"""Messages of a session that was never held, and rows of events that nobody played, for the tests of the history."""

from typing import Any

from server.past.database import Database
from server.past.tables import events
from server.past.writer import Write, _execute

Message = dict[str, Any]

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
START = 1_790_000_000_000  # ms since 1970: in September 2026


def event_id(number: int) -> str:
    digits = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
    return digits


def row(number: int, **fields: Any) -> dict[str, Any]:
    """An event of one second, `number` seconds after START."""
    return {
        "event_id": event_id(number),
        "session": "s_1",
        "source": "stage",
        "label": "violin",
        "family": "strings",
        "phase": "offset",
        "reason": "decay",
        "score": 0.2,
        "peak": 0.9,
        "threshold": 0.6,
        "sample_rate": 16_000,
        "onset_sample": number * 16_000,
        "offset_sample": number * 16_000 + 16_000,
        "decided_sample": number * 16_000 + 16_800,
        "duration_ms": 1000.0,
        "latency_ms": 3.5,
        "onset_utc": START + number * 1000,
        "zone_min": 0,
        "model": "toy@0.0.1",
        **fields,
    }


def keep(database: Database, *rows: dict[str, Any]) -> None:
    with database.writing() as connection:
        _execute(connection, [Write(events, one) for one in rows])


def started(session: str = "s_1", kind: str = "microphone", rate: int = 16_000, utc: str = "") -> dict[str, Any]:
    return {
        "type": "started",
        "session": session,
        "effective": {"source": {"name": "stage", "kind": kind}, "audio": {"sample_rate": rate}},
        "model": {"name": "toy", "version": "0.0.1", "labels": ["violin"], "families": ["strings"]},
        "clock": {"sample": 0, "utc": utc or "2026-09-21T14:13:20.000Z"},
    }


def final(number: int, phase: str = "offset", session: str = "s_1", rate: int = 16_000, **fields: Any) -> Message:
    onset = number * rate
    return {
        "type": "event",
        "session": session,
        "event_id": event_id(number),
        "source": "stage",
        "label": "violin",
        "phase": phase,
        "is_final": phase in ("offset", "retract"),
        "score": 0.2,
        "peak": 0.9,
        "threshold": 0.6,
        "onset_sample": onset,
        "offset_sample": onset + rate if phase == "offset" else None,
        "decided_sample": onset + rate + 800,
        "latency_ms": 3.5,
        "utc_onset": "2026-09-21T14:13:21.000Z",
        "model": "toy@0.0.1",
        "reason": "decay",
        **fields,
    }


def summary(session: str = "s_1", wall_s: float = 12.5) -> dict[str, Any]:
    return {"type": "summary", "session": session, "seq": 9, "wall_s": wall_s, "events": 1, "labels": []}
