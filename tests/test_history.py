"""The past over HTTP, from the real service: what was heard live is found again, exported, corrected, deleted."""

import csv
import io
import json
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jams
import pytest
import soundfile

from server.fits import Unfit
from server.past.records import epoch_ms
from server.service import Service
from server.settings import Settings
from tests.live_server import LiveServer, eventually, live_server, send, stream, streaming, until
from tests.past_rows import final, started
from tests.synth import low_high, pcm16, silence, tone

SONG = pcm16(low_high())


@pytest.fixture(scope="module")
def kept(toy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    state = tmp_path_factory.mktemp("state")
    with live_server(
        model=toy_path, history=str(state / "h.sqlite"), clips="all", clips_dir=state / "clips"
    ) as running:
        yield running


@pytest.fixture
def past(kept: LiveServer) -> LiveServer:
    """With nothing in it."""
    assert kept.service.history is not None
    assert kept.service.history.writer.flush(20)
    httpx.delete(f"{kept.url}/v1/history", params={"all": True}).raise_for_status()
    return kept


def told(server: LiveServer, path: str = "", **asked: Any) -> Any:
    answer = httpx.get(f"{server.url}/v1/history{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def written(server: LiveServer) -> None:
    history = server.service.history
    assert history is not None
    assert history.writer.flush(20)


def heard(server: LiveServer, **start: Any) -> list[dict[str, Any]]:
    """The final events of a session, once they are kept."""
    said = stream(server, SONG, **start)
    written(server)
    return [m for m in said if m["type"] == "event" and m["is_final"]]


def test_what_was_told_live_is_told_again_field_by_field(past: LiveServer) -> None:
    wanted = heard(past, source={"name": "stage"})
    found = told(past, order="oldest")
    assert found["next"] is None
    assert [e["label"] for e in found["events"]] == ["low", "high"]
    for live, then in zip(wanted, found["events"], strict=True):
        same = live.keys() - {"seq"}
        assert {key: then[key] for key in same} == {key: live[key] for key in same}
        assert then["family"] == "test"
        assert then["duration_ms"] == pytest.approx(then["offset_ms"] - then["onset_ms"])
        assert then["local_onset"][-6] in "+-"
    session = told(past, "/sessions", session=wanted[0]["session"])["sessions"]
    assert [(s["source"], s["kind"], s["sample_rate"]) for s in session] == [("stage", "network", 16_000)]
    assert session[0]["summary"]["events"] == 2
    assert session[0]["utc_end"] >= session[0]["utc_start"]


def test_the_sound_of_a_file_is_not_kept(past: LiveServer) -> None:
    assert len(heard(past, source={"name": "old recording", "kind": "file"})) == 2
    httpx.post(f"{past.url}/v1/classify", content=b"not sound")
    written(past)
    assert told(past)["events"] == []


def test_pages_follow_each_other(past: LiveServer) -> None:
    for _ in range(3):
        heard(past)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = told(past, limit=2, **cursor)
        seen += [e["event_id"] for e in page["events"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [e["event_id"] for e in told(past)["events"]]
    assert len(set(seen)) == 6


def test_the_summary_counts_what_the_pages_hold(past: LiveServer) -> None:
    heard(past, source={"name": "stage"})
    heard(past, source={"name": "hall"})
    moments = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    assert told(past, "/summary", **moments)["labels"] == {}
    events = told(past)["events"]
    first = min(e["utc_onset"] for e in events)
    both = {"from": first, "to": later(events)}
    found = told(past, "/summary", zone="Asia/Kolkata", by="day", **both)
    assert {label: one["events"] for label, one in found["labels"].items()} == {"low": 2, "high": 2}
    assert {name: one["events"] for name, one in found["sources"].items()} == {"stage": 2, "hall": 2}
    assert sum(b["labels"].get("low", {"events": 0})["events"] for b in found["buckets"]) == 2
    assert found["buckets"][0]["start"].endswith("T00:00:00+05:30")
    only = told(past, "/summary", source="hall", **both)
    assert only["labels"]["low"]["events"] == 1


def later(events: list[dict[str, Any]]) -> int:
    """Milliseconds since 1970 after the last of them: sound that came faster than it plays lies ahead."""
    return max(epoch_ms(e["utc_onset"]) for e in events) + 1


Interval = tuple[str, float, float]


def parsed(name: str, text: str, tmp_path: Path) -> list[Interval]:
    """Label, start and end in seconds, by the libraries that others would use."""
    if name == "ndjson":
        lines = [json.loads(line) for line in text.splitlines()]
        return [(e["label"], e["onset_ms"] / 1000, e["offset_ms"] / 1000) for e in lines]
    if name == "csv":
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return [
            (
                r["label"],
                int(r["onset_sample"]) / int(r["sample_rate"]),
                int(r["offset_sample"]) / int(r["sample_rate"]),
            )
            for r in rows
        ]
    if name == "audacity":
        split = [line.split("\t") for line in text.splitlines()]
        return [(label, float(start), float(end)) for start, end, label in split]
    if name == "jams":
        (tmp_path / "a.jams").write_text(text)
        found = jams.load(str(tmp_path / "a.jams"), validate=True, strict=True).annotations[0]
        return [(o.value, o.time, o.time + o.duration) for o in found]
    layer = ET.fromstring(text)
    model = layer.find("data/model")
    assert model is not None
    assert (model.get("subtype"), layer.find("display/layer").get("type")) == ("region", "regions")  # type: ignore[union-attr]
    rate = float(model.get("sampleRate", "0"))
    points = [(p.get("label", ""), int(p.get("frame", 0)), int(p.get("duration", 0))) for p in layer.iter("point")]
    return [(label, frame / rate, (frame + length) / rate) for label, frame, length in points]


@pytest.mark.parametrize("name", ["ndjson", "csv", "audacity", "jams", "svl"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_export_holds_the_same_intervals(past: LiveServer, tmp_path: Path, name: str) -> None:
    wanted = heard(past)
    answer = httpx.get(f"{past.url}/v1/history", params={"format": name, "session": wanted[0]["session"]})
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    found = parsed(name, answer.text, tmp_path)
    assert [label for label, *_ in found] == ["low", "high"]
    for event, (_, start, end) in zip(wanted, found, strict=True):
        assert abs(start * 1000 - event["onset_ms"]) < 1
        assert abs(end * 1000 - event["offset_ms"]) < 1


@pytest.mark.parametrize("name", ["audacity", "jams", "svl"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_export_of_a_time_begins_there(past: LiveServer, tmp_path: Path, name: str) -> None:
    wanted = heard(past, source={"name": "stage"})
    begin = later(wanted[:1]) - 5_001  # five seconds before the first onset
    answer = httpx.get(f"{past.url}/v1/history", params={"format": name, "from": begin})
    first, second = parsed(name, answer.text, tmp_path)
    assert first[1] == pytest.approx(5.0, abs=0.001)
    assert second[1] - first[1] == pytest.approx((wanted[1]["onset_ms"] - wanted[0]["onset_ms"]) / 1000, abs=0.001)


@pytest.mark.parametrize("name", ["ndjson", "csv", "audacity", "jams", "svl"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_export_of_nothing_is_an_empty_file_of_its_form(past: LiveServer, tmp_path: Path, name: str) -> None:
    answer = httpx.get(f"{past.url}/v1/history", params={"format": name})
    assert answer.status_code == 200
    assert parsed(name, answer.text, tmp_path) == []


def test_a_correction_is_kept_beside_the_event_and_the_newest_counts(past: LiveServer) -> None:
    event_id = heard(past)[0]["event_id"]
    address = f"{past.url}/v1/history/{event_id}/correction"
    assert httpx.post(address, json={"label": "theremin", "note": "next door"}).status_code == 201
    answer = httpx.post(address, json={"label": None})
    assert answer.json()["correction"]["label"] is None
    whole = told(past, f"/{event_id}")
    assert [c["label"] for c in whole["corrections"]] == [None, "theremin"]
    assert whole["label"] == "low"  # what was heard stays what it was
    assert [e["event_id"] for e in told(past, corrected=True)["events"]] == [event_id]
    table = httpx.get(f"{past.url}/v1/history", params={"format": "csv", "corrected": True}).text
    assert next(csv.DictReader(io.StringIO(table)))["corrected_label"] == "none"


def test_corrections_come_as_an_archive_of_recordings(
    past: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    low, high = (e["event_id"] for e in heard(past))
    eventually(lambda: len(told(past, clip=True)["events"]) == 2)
    httpx.post(f"{past.url}/v1/history/{low}/correction", json={"label": "theremin"}).raise_for_status()
    answer = httpx.get(f"{past.url}/v1/history/corrections.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("corrections/manifest.csv").decode())))
        assert [(r["instrument"], r["heard_as"], r["event_id"]) for r in rows] == [("theremin", "low", low)]
        sound, rate = soundfile.read(io.BytesIO(archive.read(f"corrections/{rows[0]['path']}")))
    event = told(past, f"/{low}")
    assert (rate, len(sound)) == (event["sample_rate"], event["offset_sample"] - event["onset_sample"])
    assert high not in answer.text
    eventually(lambda: not list(tmp_path.iterdir()))  # nothing of it stays


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "label"),
        ({"label": ""}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"label": "a", "note": "x" * 2001}, "note"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_by_name(past: LiveServer, body: Any, says: str) -> None:
    event_id = heard(past)[0]["event_id"]
    answer = httpx.post(f"{past.url}/v1/history/{event_id}/correction", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert told(past, f"/{event_id}")["corrections"] == []


def test_what_is_deleted_is_gone_with_its_clip(past: LiveServer) -> None:
    first = heard(past, source={"name": "stage"})[0]["event_id"]
    heard(past, source={"name": "hall"})
    eventually(lambda: len(told(past, clip=True)["events"]) == 4)
    assert httpx.get(f"{past.url}/v1/clips/{first}.flac").status_code == 200
    assert httpx.delete(f"{past.url}/v1/history/{first}").status_code == 204
    assert httpx.get(f"{past.url}/v1/clips/{first}.flac").json()["error"]["code"] == "no_clip"
    assert httpx.delete(f"{past.url}/v1/history", params={"source": "hall"}).json() == {"deleted": 2}
    assert [e["source"] for e in told(past)["events"]] == ["stage"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/history/01", 404, "unknown_event"),
        ("/v1/history/01KDYAK34WQG5XZX5F0MF2BBCH", 404, "unknown_event"),
        ("/v1/history?from=yesterday", 400, "bad_message"),
        ("/v1/history?from=2026-01-02T03:04:05", 400, "bad_message"),
        ("/v1/history?from=2&to=1", 400, "bad_message"),
        ("/v1/history?limit=1001", 400, "bad_message"),
        ("/v1/history?cursor=!", 400, "bad_message"),
        ("/v1/history?cursor=w6Q", 400, "bad_message"),
        ("/v1/history?format=pdf", 406, "not_acceptable"),
        ("/v1/history?min_score=2", 400, "bad_message"),
        ("/v1/history/summary?zone=Mars", 400, "bad_message"),
        ("/v1/history/summary?zone=../../etc/passwd", 400, "bad_message"),
        ("/v1/history/summary?by=minute", 400, "bad_message"),
        ("/v1/history/summary?from=0", 400, "bad_message"),
        ("/v1/clips/x.flac", 404, "no_clip"),
        ("/v1/clips/01KDYAK34WQG5XZX5F0MF2BBCH.wav", 404, "no_clip"),
        ("/v1/clips/01KDYAK34WQG5XZX5F0MF2BBCH.flac", 404, "no_clip"),
    ],
)
def test_what_cannot_be_answered_says_why(past: LiveServer, path: str, status: int, code: str) -> None:
    answer = httpx.get(past.url + path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def test_deleting_everything_has_to_be_said(past: LiveServer) -> None:
    heard(past)
    assert httpx.delete(f"{past.url}/v1/history").status_code == 400
    assert len(told(past)["events"]) == 2


def test_a_name_that_no_database_holds_is_kept_and_found(past: LiveServer) -> None:
    heard(past, source={"name": "a\0b"})
    assert [e["source"] for e in told(past, source="a\0b")["events"]] == ["a\N{REPLACEMENT CHARACTER}b"] * 2


def test_only_an_admin_changes_the_past_and_a_sender_does_not_read_it(toy_path: Path, tmp_path: Path) -> None:
    roles = ("listen", "produce", "admin")
    tokens = {role: role.ljust(32, "x") for role in roles}
    (tmp_path / "tokens").write_text("".join(f"{role} {token}\n" for role, token in tokens.items()))
    wanted = {
        ("GET", "/v1/history"): (200, 403, 200),
        ("GET", "/v1/history/summary"): (200, 403, 200),
        ("GET", "/v1/history/sessions"): (200, 403, 200),
        ("GET", "/v1/history/01KDYAK34WQG5XZX5F0MF2BBCH"): (404, 403, 404),
        ("POST", "/v1/history/01KDYAK34WQG5XZX5F0MF2BBCH/correction"): (403, 403, 404),
        ("DELETE", "/v1/history/01KDYAK34WQG5XZX5F0MF2BBCH"): (403, 403, 404),
        ("DELETE", "/v1/history?from=1"): (403, 403, 200),
        ("GET", "/v1/clips/01KDYAK34WQG5XZX5F0MF2BBCH.flac"): (404, 403, 404),
    }
    with live_server(model=toy_path, token_file=tmp_path / "tokens", history=str(tmp_path / "h")) as server:
        eventually(lambda: server.service.history is not None and server.service.history.writer.open)
        for (method, path), statuses in wanted.items():
            for role, status in zip(roles, statuses, strict=True):
                headers = {"Authorization": f"Bearer {tokens[role]}"}
                body = {"label": None} if method == "POST" else None
                answer = httpx.request(method, server.url + path, headers=headers, json=body)
                assert answer.status_code == status, (method, path, role, answer.text)


def test_without_a_history_the_service_says_so_and_works(server: LiveServer) -> None:
    answer = httpx.get(f"{server.url}/v1/history")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "history_off")
    assert checked(server)["reason"] == "none is kept"
    assert "spiccato_history" not in httpx.get(f"{server.url}/metrics").text
    assert server.service.history is None


def checked(server: LiveServer) -> dict[str, Any]:
    checks = httpx.get(f"{server.url}/readyz").json()["checks"]
    return next(check for check in checks if check["name"] == "history")


def test_a_history_that_is_lost_harms_no_session_and_is_told(toy_path: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with live_server(model=toy_path, history=str(tmp_path / "state" / "h.sqlite")) as server:
        assert [m["phase"] for m in stream(server, SONG) if m["type"] == "event"] == ["onset", "offset"] * 2
        eventually(lambda: not checked(server)["ok"])
        # the next session would be heard at once
        eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
        assert "rows wait" in checked(server)["reason"]
        answer = httpx.get(f"{server.url}/v1/history")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "history_lost")
        metrics = httpx.get(f"{server.url}/metrics").text
        assert "spiccato_history_up 0.0" in metrics
        assert "spiccato_history_waiting 4.0" in metrics  # session, two events, its end
        (tmp_path / "state").unlink()
        written(server)
        assert len(told(server)["events"]) == 2
        assert checked(server)["ok"]


def test_what_a_server_heard_is_there_when_it_starts_again(toy_path: Path, tmp_path: Path) -> None:
    settings = {"model": toy_path, "history": str(tmp_path / "h.sqlite")}
    with live_server(**settings) as server, streaming(server) as ws:
        ws.send(pcm16(tone(200, 1.0)))
        until(ws, "event")
    with live_server(**settings) as server:  # the first wrote down all it heard before it ended
        written(server)
        assert [(e["label"], e["reason"]) for e in told(server)["events"]] == [("low", "disconnect")]


def test_a_gap_is_kept_with_its_session(past: LiveServer) -> None:
    with streaming(past) as ws:
        ws.send(pcm16(silence(0.5)))
        send(ws, "gap", samples=800, reason="capture_overflow")
        ws.send(pcm16(silence(0.5)))
        send(ws, "stop")
        session = until(ws, "summary")[-1]["session"]
    written(past)
    gaps = told(past, "/sessions", session=session)["sessions"][0]["gaps"]
    assert gaps == [{"from_sample": 8000, "samples": 800, "where": "client", "reason": "capture_overflow"}]


def test_a_source_of_the_servers_own_is_kept_too(past: LiveServer) -> None:
    """What such a source says reaches the history by the same hub."""
    hub = past.service.hub
    for message in (started("s_own"), final(1, "onset", "s_own"), final(1, "offset", "s_own")):
        hub.publish("ceiling", {**message, "seq": 0})
    written(past)
    assert [(e["source"], e["label"]) for e in told(past)["events"]] == [("ceiling", "violin")]
    hub.forget("ceiling")


def test_clips_without_a_history_are_refused_at_the_start(toy_path: Path) -> None:
    with pytest.raises(Unfit, match="needs a history"):
        Service(Settings(model=toy_path, history="off", clips="all"))


def test_a_history_that_cannot_be_is_refused_at_the_start_without_its_password(toy_path: Path) -> None:
    with pytest.raises(Unfit, match="there are postgresql") as refused:
        Service(Settings(model=toy_path, history="mysql://root:hunter2@db/x"))
    assert "hunter2" not in str(refused.value)


def test_where_nothing_is_set_the_history_lies_in_the_users_state(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with live_server(model=toy_path, history="") as server:
        heard(server)
        assert len(told(server)["events"]) == 2
        assert checked(server)["ok"]
    assert (tmp_path / "spiccato" / "history.sqlite").exists()
    assert not (tmp_path / "spiccato" / "clips").exists()  # sound is kept only where somebody asked for it
