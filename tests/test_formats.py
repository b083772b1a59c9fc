"""The answer to an upload in every form: each one parses back to the same intervals."""

import csv
import io
import json
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Refusal
from server.formats import FORMS, chosen
from server.protocol import Classified, EventBody, SummaryBody
from tests.audio_files import write
from tests.live_server import LiveServer
from tests.synth import low_high

Interval = tuple[str, float, float]  # label, onset and offset in ms
FORM = {form.name: form for form in FORMS}


def parsed(name: str, text: str) -> list[Interval]:
    """As somebody would who knows the form and not us."""
    if name == "json":
        return [(e["label"], e["onset_ms"], e["offset_ms"]) for e in json.loads(text)["events"]]
    if name == "ndjson":
        lines = [json.loads(line) for line in text.splitlines()]
        return [(e["label"], e["onset_ms"], e["offset_ms"]) for e in lines if e["type"] == "event"]
    if name == "csv":
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return [(row["label"], float(row["onset_ms"]), float(row["offset_ms"])) for row in rows]
    if name == "audacity":
        lines = [line.split("\t") for line in text.splitlines()]
        return [(label, float(start) * 1000, float(end) * 1000) for start, end, label in lines]
    if name == "svl":
        layer = ET.fromstring(text)
        model = layer.find("data/model")
        assert model is not None
        ms = 1000 / float(model.get("sampleRate", "nan"))
        points = [(p.get("label", ""), int(p.get("frame", 0)), int(p.get("duration", 0))) for p in layer.iter("point")]
        return [(label, frame * ms, (frame + length) * ms) for label, frame, length in points]
    data = json.loads(text)["annotations"][0]["data"]
    return [(o["value"], o["time"] * 1000, (o["time"] + o["duration"]) * 1000) for o in data]


def same(found: list[Interval], wanted: list[Interval]) -> bool:
    return len(found) == len(wanted) and all(
        one[0] == other[0] and abs(one[1] - other[1]) < 1 and abs(one[2] - other[2]) < 1
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("formats") / "a.flac", low_high(44_100), 44_100)


def asked(server: LiveServer, sound: bytes, accept: str | None = None, format: str | None = None) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/classify",
        files={"file": ("Söng, the best.flac", sound)},
        headers={"Accept": accept} if accept is not None else {},
        params={"format": format} if format is not None else {},
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_holds_the_same_intervals(server: LiveServer, sound: bytes, form: Any) -> None:
    plain = asked(server, sound).json()["events"]
    wanted = [(e["label"], e["onset_ms"], e["offset_ms"]) for e in plain]
    assert [label for label, *_ in wanted] == ["low", "high"]
    by_accept, by_name = asked(server, sound, accept=form.media_type), asked(server, sound, format=form.name)
    for answer in (by_accept, by_name):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(form.media_type)
        assert same(parsed(form.name, answer.text), wanted)


EVENTS = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=12).filter(lambda s: s.isprintable() and s == " ".join(s.split()) and s.strip()),
        st.floats(0, 7_200_000),
        st.floats(0.1, 100_000),
    ),
    max_size=8,
)


@given(EVENTS, st.text(max_size=20))
def test_whatever_the_labels_names_and_times_every_form_gives_them_back(
    events: list[tuple[str, float, float]], name: str
) -> None:
    bodies = [
        EventBody(
            event_id="01KDYAK34WQG5XZX5F0MF2BBCH",
            source=name,
            label=label,
            phase="offset",
            is_final=True,
            score=0.5,
            peak=0.75,
            threshold=0.5,
            onset_sample=0,
            onset_ms=round(onset, 3),
            offset_sample=0,
            offset_ms=round(onset + length, 3),
            decided_sample=0,
            latency_ms=None,
            utc_onset=None,
            model="toy@1",
            reason="decay",
        )
        for label, onset, length in events
    ]
    heard = Classified(events=bodies, summary=SummaryBody(wall_s=0.1, audio_ms=7_300_000))
    wanted = [(e.label, e.onset_ms, e.offset_ms or 0.0) for e in bodies]
    for form in FORMS:
        assert same(parsed(form.name, form.write(heard, name)), wanted), form.name


def test_jams_is_what_its_own_library_takes(server: LiveServer, sound: bytes, tmp_path: Path) -> None:
    text = asked(server, sound, format="jams").text
    told = json.loads(text)
    # what the published schema requires, for where the library is not installed
    assert set(told) == {"annotations", "file_metadata", "sandbox"}
    (annotation,) = told["annotations"]
    assert {"annotation_metadata", "namespace", "data", "sandbox", "time", "duration"} == set(annotation)
    assert annotation["namespace"] == "tag_open"
    assert all(set(one) == {"time", "duration", "value", "confidence"} for one in annotation["data"])
    assert told["file_metadata"]["title"] == "Söng, the best.flac"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jams = pytest.importorskip("jams", reason="the package jams is not installed: its own check is left out")
        path = tmp_path / "a.jams"
        path.write_text(text)
        loaded = jams.load(str(path), validate=True, strict=True)
    assert [one.value for one in loaded.annotations[0].data] == ["low", "high"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/*", "csv"),
        ("text/html, text/csv;q=0.5", "csv"),
        ("application/json;q=0.2, text/csv;q=0.9", "csv"),
        ("application/json;q=0, */*;q=0.1", "ndjson"),
        ("TEXT/CSV", "csv"),
        ("application/vnd.jams+json, application/json;q=0.9", "jams"),
        ("text/csv;q=nonsense, application/json", "json"),
    ],
)
def test_accept_is_read_with_its_ranges_and_weights(accept: str, form: str) -> None:
    assert chosen(None, accept).name == form


@pytest.mark.parametrize(("name", "accept"), [("xml", ""), (None, "text/html"), (None, "application/json;q=0")])
def test_a_form_that_there_is_not_is_refused_before_anything_is_read(
    server: LiveServer, name: str | None, accept: str
) -> None:
    with pytest.raises(Refusal, match="there are"):
        chosen(name, accept)
    answer = asked(server, b"no sound at all", accept=accept, format=name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (406, "not_acceptable")
