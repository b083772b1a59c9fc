"""A day at a glance: how many events and seconds of each label in each hour or day of a zone. Knows zones and sums.

Days and hours are those of a clock on the wall in that zone, so a day may have 23 or 25 hours. The database counts
by quarters of an hour, which every zone's hours consist of.
"""

from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, func, select

from server.errors import Code, Refusal
from server.past.query import Filter
from server.past.tables import events

QUARTER_MS = 900_000
MAX_BUCKETS = 1_000
By = Literal["hour", "day"]


def zone_of(name: str) -> tzinfo:
    """`UTC`, `+05:30` or `Europe/Berlin`. Raises Refusal."""
    try:
        if name[:1] in ("+", "-"):
            offset = datetime.fromisoformat(f"2000-01-01T00:00:00{name}").utcoffset()
            assert offset is not None
            return timezone(offset)
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise Refusal(Code.BAD_MESSAGE, f"zone={name[:40]!r} is not one: write Europe/Berlin, +01:00 or UTC") from error


def edges(from_utc: int, to_utc: int, by: By, zone: tzinfo) -> list[int]:
    """Where the hours or days of the zone begin, that together cover from..to; ms since 1970, the end included."""
    at = datetime.fromtimestamp(from_utc / 1000, zone).replace(minute=0, second=0, microsecond=0)
    if by == "day":
        at = at.replace(hour=0, fold=0)
    found = [_ms(at)]
    while found[-1] < to_utc:
        if len(found) > MAX_BUCKETS:
            raise Refusal(Code.BAD_MESSAGE, f"from and to span over {MAX_BUCKETS} {by}s: that is the limit")
        if by == "day":
            at = (at.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone)
        else:
            at = (at.astimezone(UTC) + timedelta(hours=1)).astimezone(zone)
        found.append(_ms(at))
    return found


def glance(connection: Connection, asked: Filter, by: By, zone: tzinfo) -> dict[str, Any]:
    """Buckets and totals. `asked` has both its ends."""
    assert asked.from_utc is not None
    assert asked.to_utc is not None
    begins = edges(asked.from_utc, asked.to_utc, by, zone)
    e = events.c
    quarter = e.onset_utc // QUARTER_MS
    rows = connection.execute(
        select(quarter, e.label, e.family, e.source, func.count(), func.sum(e.duration_ms), func.max(e.peak))
        .where(*asked.where())
        .group_by(quarter, e.label, e.family, e.source)
    )
    buckets: list[defaultdict[str, _Sum]] = [defaultdict(_Sum) for _ in begins[1:]]
    labels: defaultdict[str, _Sum] = defaultdict(_Sum)
    sources: defaultdict[str, _Sum] = defaultdict(_Sum)
    families: dict[str, str] = {}
    for when, label, family, source, count, ms, peak in rows:
        index = max(0, bisect_right(begins, when * QUARTER_MS) - 1)
        for one in (buckets[index][label], labels[label], sources[source]):
            one.add(count, ms, peak)
        families[label] = family
    return {
        "buckets": [
            {
                "start": _iso(begin, zone),
                "end": _iso(end, zone),
                "labels": {label: one.told() for label, one in sorted(bucket.items())},
            }
            for begin, end, bucket in zip(begins, begins[1:], buckets, strict=False)
        ],
        "labels": {
            label: {**one.told(), "family": families[label]}
            for label, one in sorted(labels.items(), key=lambda pair: -pair[1].ms)
        },
        "sources": {source: one.told() for source, one in sorted(sources.items())},
    }


class _Sum:
    def __init__(self) -> None:
        self.events = 0
        self.ms = 0.0
        self.peak = 0.0

    def add(self, events: int, ms: float, peak: float) -> None:
        self.events += events
        self.ms += ms
        self.peak = max(self.peak, peak)

    def told(self) -> dict[str, Any]:
        return {"events": self.events, "seconds": round(self.ms / 1000, 3), "peak": self.peak}


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _iso(utc_ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, zone).isoformat(timespec="seconds")
