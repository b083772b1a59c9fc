"""Everything that was asked of the history, as a file: NDJSON, CSV, and the forms of `server.intervals`.

In the last three, time begins at the session's first sample where one session was asked for, else at `from`, else at
the first onset. Knows events as they are told; nothing of tables or HTTP.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from server import intervals
from server.intervals import Interval
from server.past.query import Filter
from server.past.records import epoch_ms

Events = Iterator[dict[str, Any]]
TITLE = "Spiccato"

COLUMNS = (
    "event_id", "source", "session", "label", "family", "utc_onset", "utc_offset", "local_onset", "duration_ms",
    "phase", "reason", "score", "peak", "threshold", "onset_sample", "offset_sample", "sample_rate", "model",
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    name: str
    media_type: str
    suffix: str
    write: Callable[[Events, Filter], Iterator[str]]


def _ndjson(events: Events, _: Filter) -> Iterator[str]:
    for event in events:
        yield f"{json.dumps(event)}\n"


def _csv(events: Events, _: Filter) -> Iterator[str]:
    yield _row([*COLUMNS, "corrected_label", "note", "clip"])
    for event in events:
        correction = event["correction"]
        told = ["", ""] if correction is None else [correction["label"] or "none", correction["note"]]
        yield _row([*(event[name] for name in COLUMNS), *told, "" if event["clip"] is None else _clip(event)])


def _clip(event: dict[str, Any]) -> str:
    return f"/v1/clips/{event['event_id']}.flac"


def _row(values: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _audacity(events: Events, asked: Filter) -> Iterator[str]:
    return intervals.audacity(_intervals(events, asked))


def _jams(events: Events, asked: Filter) -> Iterator[str]:
    first = list(islice(events, 1))
    model = first[0]["model"] if first else None
    yield from intervals.jams(_intervals(chain(first, events), asked), TITLE, model)


def _svl(events: Events, asked: Filter) -> Iterator[str]:
    first = list(islice(events, 1))
    rate = first[0]["sample_rate"] if first and asked.session is not None else intervals.FRAME_HZ
    yield from intervals.svl(_intervals(chain(first, events), asked), TITLE, rate)


def _intervals(events: Events, asked: Filter) -> Iterator[Interval]:
    """Confidence is the peak score."""
    zero_ms = asked.from_utc
    for event in events:
        if asked.session is not None:
            start_s = event["onset_sample"] / event["sample_rate"]
        else:
            onset_ms = epoch_ms(event["utc_onset"])
            zero_ms = onset_ms if zero_ms is None else zero_ms
            start_s = (onset_ms - zero_ms) / 1000
        yield Interval(start_s, start_s + event["duration_ms"] / 1000, event["label"], event["peak"])


FORMS = (
    Form("ndjson", "application/x-ndjson", "ndjson", _ndjson),
    Form("csv", "text/csv", "csv", _csv),
    Form("audacity", "text/x-audacity-labels", "txt", _audacity),
    Form("jams", "application/vnd.jams+json", "jams", _jams),
    Form("svl", "application/x-sonic-visualiser-layer", "svl", _svl),
)
