"""The events of a file in the forms that other programs read: JSON, NDJSON, CSV, Audacity labels, JAMS.

Which one: `?format=`, else the `Accept` header, else JSON. Audacity's and JAMS' times are seconds to the microsecond,
so every form gives the same intervals back. Sources: Audacity's manual (label tracks), the JAMS schema 0.3 (Humphrey et
al. 2014), RFC 4180 (CSV).
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.errors import Code, Refusal
from server.protocol import Classified, EventBody, dumped
from server.version import VERSION

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
    """For File > Import > Labels: start, end and label, with tabs between."""
    return "".join(f"{_start_s(event):.6f}\t{_end_s(event):.6f}\t{_one_word(event.label)}\n" for event in heard.events)


def as_jams(heard: Classified, name: str) -> str:
    """One annotation of the namespace `tag_open`: what sounds, from when to when. Confidence is the peak score."""
    duration_s = heard.summary.audio_ms / 1000
    data = [
        {
            "time": round(_start_s(event), 6),
            "duration": round(_end_s(event) - _start_s(event), 6),
            "value": event.label,
            "confidence": event.peak,
        }
        for event in heard.events
    ]
    annotator: dict[str, Any] = {"model": heard.events[0].model} if heard.events else {}
    metadata = {
        "curator": {"name": "", "email": ""},
        "annotator": annotator,
        "version": "",
        "corpus": "",
        "annotation_tools": f"Spiccato {VERSION}",
        "annotation_rules": "",
        "validation": "",
        "data_source": "program",
    }
    annotation = {
        "annotation_metadata": metadata,
        "namespace": "tag_open",
        "data": data,
        "sandbox": {},
        "time": 0,
        "duration": duration_s,
    }
    file = {
        "title": name,
        "artist": "",
        "release": "",
        "duration": duration_s,
        "identifiers": {},
        "jams_version": "0.3.5",
    }
    return json.dumps({"annotations": [annotation], "file_metadata": file, "sandbox": {}})


def _start_s(event: EventBody) -> float:
    return event.onset_ms / 1000


def _end_s(event: EventBody) -> float:
    assert event.offset_ms is not None, "the events of a file have ended"
    return event.offset_ms / 1000


def _one_word(label: str) -> str:
    return " ".join(label.split())


FORMS = (
    Form("json", "application/json", as_json),
    Form("ndjson", "application/x-ndjson", as_ndjson),
    Form("csv", "text/csv", as_csv),
    Form("audacity", "text/x-audacity-labels", as_audacity),
    Form("jams", "application/vnd.jams+json", as_jams),
)
