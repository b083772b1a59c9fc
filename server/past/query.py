"""What may be asked of the history, as statements: which events, page by page, one event, sessions, corrections.

A page ends where its cursor says, at a moment and an id, not at a number of rows: what is added or deleted meanwhile
doubles nothing and hides nothing. Knows tables; nothing of HTTP.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, insert, or_, select

from server.errors import Code, Refusal
from server.past.database import Database
from server.past.tables import clips, corrections, events, gaps, sessions

MAX_PAGE = 1_000

COLUMNS = (
    *events.c,
    clips.c.first_sample.label("clip_sample"),
    clips.c.samples.label("clip_samples"),
    clips.c.bytes.label("clip_bytes"),
    corrections.c.id.label("correction"),
    corrections.c.label.label("corrected_label"),
    corrections.c.note,
    corrections.c.at_utc,
)


@dataclass(frozen=True)
class Filter:
    """Which events. A field that is empty or None asks for nothing."""

    from_utc: int | None = None  # ms since 1970; of the onset
    to_utc: int | None = None  # before this
    labels: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    session: str | None = None
    min_score: float | None = None  # of the peak
    min_duration_ms: float | None = None
    retracted: bool = False  # those that were taken back too
    corrected: bool | None = None
    clip: bool | None = None

    @property
    def asks_nothing(self) -> bool:
        return self == Filter(retracted=self.retracted)

    def where(self) -> list[ColumnElement[bool]]:
        e = events.c
        asked: list[ColumnElement[bool]] = []
        for column, values in ((e.label, self.labels), (e.family, self.families), (e.source, self.sources)):
            if values:
                asked.append(column.in_(values))
        if self.from_utc is not None:
            asked.append(e.onset_utc >= self.from_utc)
        if self.to_utc is not None:
            asked.append(e.onset_utc < self.to_utc)
        if self.session is not None:
            asked.append(e.session == self.session)
        if self.min_score is not None:
            asked.append(e.peak >= self.min_score)
        if self.min_duration_ms is not None:
            asked.append(e.duration_ms >= self.min_duration_ms)
        if not self.retracted:
            asked.append(e.phase != "retract")
        if self.corrected is not None:
            corrected = exists().where(corrections.c.event_id == e.event_id).correlate(events)
            asked.append(corrected if self.corrected else ~corrected)
        if self.clip is not None:
            there = exists().where(clips.c.event_id == e.event_id).correlate(events)
            asked.append(there if self.clip else ~there)
        return asked


@dataclass(frozen=True)
class Cursor:
    """The last event of a page."""

    onset_utc: int
    event_id: str

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.onset_utc}.{self.event_id}".encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        try:
            moment, _, event_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(".")
            return cls(int(moment), event_id)
        except (ValueError, binascii.Error) as error:
            raise Refusal(Code.BAD_MESSAGE, f"cursor={text[:80]!r} is not one that `next` gave") from error


def page(
    connection: Connection, asked: Filter, limit: int, after: Cursor | None = None, newest_first: bool = True
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """At most `limit` events by onset, and the cursor of the next page; None: this is the last."""
    e = events.c
    query = _whole().where(*asked.where())
    if after is not None:
        moment, beside = e.onset_utc, e.event_id
        beyond = moment < after.onset_utc if newest_first else moment > after.onset_utc
        further = beside < after.event_id if newest_first else beside > after.event_id
        query = query.where(or_(beyond, and_(moment == after.onset_utc, further)))
    order = (e.onset_utc.desc(), e.event_id.desc()) if newest_first else (e.onset_utc, e.event_id)
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    following = Cursor(rows[limit - 1].onset_utc, rows[limit - 1].event_id) if len(rows) > limit else None
    return [told(row) for row in rows[:limit]], following


def all_of(database: Database, asked: Filter) -> Iterator[dict[str, Any]]:
    """Every event by onset, the oldest first; fetched as they are taken, so that a slow taker holds nothing up."""
    after = None
    while True:
        with database.reading() as connection:
            found, after = page(connection, asked, MAX_PAGE, after, newest_first=False)
        yield from found
        if after is None:
            return


def one(connection: Connection, event_id: str) -> dict[str, Any] | None:
    row = connection.execute(_whole().where(events.c.event_id == event_id)).one_or_none()
    return None if row is None else told(row)


def corrections_of(connection: Connection, event_id: str) -> list[dict[str, Any]]:
    """The newest first."""
    rows = connection.execute(
        select(corrections).where(corrections.c.event_id == event_id).order_by(corrections.c.id.desc())
    )
    return [{"label": row.label, "note": row.note, "utc": iso(row.at_utc)} for row in rows]


def correct(connection: Connection, event_id: str, label: str | None, note: str, at_utc: int) -> None:
    connection.execute(insert(corrections).values(event_id=event_id, label=label, note=note, at_utc=at_utc))


def sessions_of(connection: Connection, ids: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """The newest sessions first, each with its gaps; `ids`: only these."""
    query = select(sessions).order_by(sessions.c.started_utc.desc(), sessions.c.session.desc()).limit(limit)
    rows = connection.execute(query if ids is None else query.where(sessions.c.session.in_(ids))).all()
    lost: dict[str, list[dict[str, Any]]] = {row.session: [] for row in rows}
    for gap in connection.execute(select(gaps).where(gaps.c.session.in_(lost)).order_by(gaps.c.id)):
        lost[gap.session].append(
            {"from_sample": gap.from_sample, "samples": gap.samples, "where": gap.place, "reason": gap.reason}
        )
    return [
        {
            **{key: getattr(row, key) for key in ("session", "source", "kind", "model", "sample_rate")},
            "utc_start": iso(row.started_utc),
            "utc_end": None if row.ended_utc is None else iso(row.ended_utc),
            "local_start": iso(row.started_utc, row.zone_min),
            "gaps": lost[row.session],
            "summary": None if row.summary is None else json.loads(row.summary),
        }
        for row in rows
    ]


def _whole() -> Select[Any]:
    corrected = corrections.alias()
    newest = select(func.max(corrected.c.id)).where(corrected.c.event_id == events.c.event_id).correlate(events)
    joined = events.outerjoin(clips, clips.c.event_id == events.c.event_id)
    return select(*COLUMNS).select_from(joined.outerjoin(corrections, corrections.c.id == newest.scalar_subquery()))


def told(row: Row[Any]) -> dict[str, Any]:
    """An event as it is told: the fields of the live event, and what only the past knows."""
    rate = row.sample_rate
    return {
        "type": "event",
        "schema": 1,
        **{key: getattr(row, key) for key in ("event_id", "session", "source", "label", "family", "phase")},
        "is_final": True,
        **{key: getattr(row, key) for key in ("score", "peak", "threshold", "reason", "model", "latency_ms")},
        "sample_rate": rate,
        "onset_sample": row.onset_sample,
        "onset_ms": round(row.onset_sample * 1000 / rate, 3),
        "offset_sample": row.offset_sample,
        "offset_ms": round(row.offset_sample * 1000 / rate, 3),
        "decided_sample": row.decided_sample,
        "duration_ms": row.duration_ms,
        "utc_onset": iso(row.onset_utc),
        "utc_offset": iso(row.onset_utc + row.duration_ms),
        "local_onset": iso(row.onset_utc, row.zone_min),
        "clip": None
        if row.clip_sample is None
        else {"first_sample": row.clip_sample, "samples": row.clip_samples, "bytes": row.clip_bytes},
        "correction": None
        if row.correction is None
        else {"label": row.corrected_label, "note": row.note, "utc": iso(row.at_utc)},
    }


def iso(utc_ms: float, zone_min: int | None = None) -> str:
    """ISO 8601 with milliseconds and the offset from UTC: `Z`, or that of the zone."""
    zone = UTC if zone_min is None else timezone(timedelta(minutes=zone_min))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(utc_ms))
    text = moment.astimezone(zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if zone_min is None else text
