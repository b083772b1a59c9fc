"""The events of a file in the forms that other programs read: JSON, NDJSON, CSV, and those of `intervals.py`.

Which one: `?format=`, else the `Accept` header, else JSON. Every form gives the same intervals back. Source: RFC 4180
(CSV).
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from server import intervals
from server.errors import Code, Refusal
from server.intervals import Interval
from server.protocol import Classified, dumped

COLUMNS = ("label", "onset_ms", "offset_ms", "score", "peak", "threshold", "reason", "source", "event_id", "model")


@dataclass(frozen=True)
class Form:
    name: str
    media_type: str
    write: Callable[[Classified, str], str]  # of what was heard and the file's name


def chosen(name: str | None, accept: str) -> Form:
    """Raises Refusal where none of ours is asked for."""
    if name is not None:
        for form in FORMS:
            if form.name == name:
                return form
        raise Refusal(Code.NOT_ACCEPTABLE, f"format={name[:40]!r}: there are {', '.join(form.name for form in FORMS)}")
    if not accept.strip():
        return FORMS[0]
    wanted = [_preferred(accept, form.media_type) for form in FORMS]
    best = max(wanted)
    if best <= 0:
        types = ", ".join(form.media_type for form in FORMS)
        raise Refusal(Code.NOT_ACCEPTABLE, f"Accept: {accept[:100]!r}: there are {types}")
    return FORMS[wanted.index(best)]


def _preferred(accept: str, media_type: str) -> float:
    """How much `Accept` wants a type: the q of the range that says most about it (RFC 9110, 12.5.1)."""
    said: dict[str, float] = {}
    for part in accept.split(","):
        range_, *parameters = [piece.strip().lower() for piece in part.split(";")]
        q = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            said[range_] = float(q)
        except ValueError:
            said[range_] = 0.0
    for range_ in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if range_ in said:
            return said[range_]
    return 0.0


def as_json(heard: Classified, _: str) -> str:
    return json.dumps(dumped(heard))


def as_ndjson(heard: Classified, _: str) -> str:
    """A line for each event, and the summary as the last one."""
    told = dumped(heard)
    lines = [*told["events"], {"type": "summary", **told["summary"]}]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def as_csv(heard: Classified, _: str) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for event in heard.events:
        told = event.model_dump(mode="json")
        rows.writerow([told[column] for column in COLUMNS])
    return text.getvalue()


def as_audacity(heard: Classified, _: str) -> str:
    return "".join(intervals.audacity(_intervals(heard)))


def as_jams(heard: Classified, name: str) -> str:
    model = heard.events[0].model if heard.events else None
    return "".join(intervals.jams(_intervals(heard), name, model, heard.summary.audio_ms / 1000))


def as_svl(heard: Classified, name: str) -> str:
    return "".join(intervals.svl(_intervals(heard), name))


def _intervals(heard: Classified) -> Iterator[Interval]:
    """Confidence is the peak score."""
    for event in heard.events:
        assert event.offset_ms is not None, "the events of a file have ended"
        yield Interval(event.onset_ms / 1000, event.offset_ms / 1000, event.label, event.peak)


FORMS = (
    Form("json", "application/json", as_json),
    Form("ndjson", "application/x-ndjson", as_ndjson),
    Form("csv", "text/csv", as_csv),
    Form("audacity", "text/x-audacity-labels", as_audacity),
    Form("jams", "application/vnd.jams+json", as_jams),
    Form("svl", "application/x-sonic-visualiser-layer", as_svl),
)
