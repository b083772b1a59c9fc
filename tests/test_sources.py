"""The server's own microphones over REST and WS /v1/events, with a fake PortAudio in the recording process."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from websockets.sync.client import ClientConnection, connect

from server import microphone
from server.settings import Settings
from server.source_file import SourceFile, SourceFileError
from server.source_spec import MicrophoneSpec
from tests.live_server import LiveServer, bare, eventually, live_server, stream
from tests.synth import low_high, pcm16
from tests.virtual_mic import FakePlugs, fake_portaudio


@pytest.fixture
def sources(server: LiveServer) -> Iterator[str]:
    """The address of the sources; none is left after the test."""
    url = f"{server.url}/v1/sources"
    yield url
    for source in httpx.get(url, timeout=60).json()["sources"]:
        assert httpx.delete(f"{url}/{source['id']}", timeout=60).status_code == 204


@pytest.fixture(scope="module")
def held(toy_path: Path) -> Iterator[str]:
    """The address of the sources of a service that holds one, `stage`, which no test changes."""
    with live_server(model=toy_path) as server:
        url = f"{server.url}/v1/sources"
        with pytest.MonkeyPatch.context() as monkeypatch:
            fake_portaudio(monkeypatch, "missing")
            assert httpx.post(url, json={"name": "stage"}).status_code == 201
            eventually(lambda: httpx.get(url).json()["sources"][0]["state"] == "failed")
        yield url


@contextmanager
def watching(server: LiveServer, query: str = "") -> Iterator[ClientConnection]:
    with connect(f"{server.ws}/v1/events{query}", max_size=None) as ws:
        yield ws


def until(ws: ClientConnection, type: str, **fields: Any) -> list[dict[str, Any]]:
    """The JSON messages up to the first of `type` with these fields."""
    messages: list[dict[str, Any]] = []
    while True:
        data = ws.recv(60)
        if isinstance(data, bytes):
            continue
        messages.append(json.loads(data))
        told = messages[-1]
        if told["type"] == type and all(told[name] == value for name, value in fields.items()):
            return messages


def states(messages: list[dict[str, Any]]) -> list[str]:
    return [message["state"] for message in messages if message["type"] == "source"]


def test_a_source_is_added_heard_and_removed(server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    with watching(server, "?source=stage") as ws:
        added = httpx.post(sources, json={"kind": "microphone", "device": "line", "name": "stage"})
        assert added.status_code == 201
        assert added.json()["id"] == "stage"
        messages = until(ws, "event", phase="onset")
        assert messages[-1]["label"] == "low"
        assert states(messages)[:2] == ["recovering", "healthy"]
        assert {message["source"] for message in messages} == {"stage"}
        told = httpx.get(sources).json()["sources"][0]
        assert (told["state"], told["opened"]["device"]) == ("healthy", "Fake line in")
        assert httpx.delete(f"{sources}/stage").status_code == 204
        ending = until(ws, "source", state="ended")
    assert ending[-2]["type"] == "summary"
    offset = next(message for message in ending if message["type"] == "event")
    assert (offset["phase"], offset["reason"]) == ("offset", "stop")
    assert httpx.get(sources).json()["sources"] == []


def test_a_late_watcher_is_told_the_state_and_the_open_labels_and_gets_frames(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    httpx.post(sources, json={"name": "stage"})
    with watching(server) as ws:
        until(ws, "event", phase="onset")
    with watching(server, "?source=stage") as ws:
        first = [json.loads(ws.recv(60)) for _ in range(3)]
        assert [message["type"] for message in first] == ["source", "started", "event"]
        while not isinstance(data := ws.recv(60), bytes):
            pass
    assert data[0] == 0xF5
    assert (len(data) - 12) % first[1]["frame"]["bytes"] == 0


def test_an_unplugged_device_closes_its_labels_with_reason_stall_and_is_opened_again(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "vanishing")
    with watching(server) as ws:
        httpx.post(sources, json={"name": "stage"})
        messages = until(ws, "source", state="lost")
        assert "Fake microphone stopped" in messages[-1]["detail"]
        assert messages[-1]["retry_in_ms"] == 500
        offset = [message for message in messages if message["type"] == "event"][-1]
        assert (offset["phase"], offset["reason"]) == ("offset", "stall")
        assert messages[-2]["type"] == "summary"
        again = until(ws, "event", phase="onset")
    assert states(again) == ["recovering", "healthy"]
    assert again[-1]["onset_ms"] < 1000  # a new session, with a clock of its own


def test_a_device_that_hangs_is_stalled_then_opened_again(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone.MicrophoneInput, "watch", replace(microphone.WATCH, give_up_s=1.0))
    fake_portaudio(monkeypatch, "hanging")
    with watching(server) as ws:
        httpx.post(sources, json={"name": "stage"})
        messages = until(ws, "source", state="lost")
        assert states(messages) == ["recovering", "healthy", "stalled", "lost"]
        offset = [message for message in messages if message["type"] == "event"][-1]
        assert (offset["phase"], offset["reason"]) == ("offset", "stall")
        until(ws, "source", state="healthy")


def test_lost_samples_are_told_as_a_gap(server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "overflowing")
    with watching(server) as ws:
        httpx.post(sources, json={"name": "stage"})
        gap = until(ws, "gap")[-1]
    assert (gap["samples"], gap["reason"], gap["from_sample"]) == (480, "capture_overflow", 24 * 960)


def test_without_portaudio_the_source_fails_and_everything_else_works(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "missing")
    told = httpx.get(sources).json()
    assert told["devices"] == []
    assert told["problem"]["code"] == "no_portaudio"
    with watching(server) as ws:
        httpx.post(sources, json={"name": "stage"})
        failed = until(ws, "source", state="failed")[-1]
    assert "apt-get install libportaudio2" in failed["detail"]
    assert failed["retry_in_ms"] is None
    assert len(bare(stream(server, pcm16(low_high())))) == 4
    eventually(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)


def test_a_failing_microphone_at_start_up_does_not_stop_the_server(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "none")
    with live_server(model=toy_path, microphone="default") as server:
        url = f"{server.url}/v1/sources"
        eventually(lambda: [s["state"] for s in httpx.get(url).json()["sources"]] == ["lost"])
        assert httpx.get(url).json()["sources"][0]["device"] is None
        assert len(bare(stream(server, pcm16(low_high())))) == 4


def test_limits_for_clients_do_not_bind_the_servers_own_microphone(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    with live_server(model=toy_path, max_chunk_bytes=1024, idle_s=0.1) as server, watching(server) as ws:
        httpx.post(f"{server.url}/v1/sources", json={"name": "stage"})
        assert until(ws, "event", phase="onset")[-1]["label"] == "low"


def test_watchers_get_the_last_events_and_the_summary_when_the_server_stops(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    with ExitStack() as stack:
        with live_server(model=toy_path, microphone="line") as server:
            ws = stack.enter_context(watching(server))
            until(ws, "event", phase="onset")
        ending = until(ws, "summary")
    assert [m["reason"] for m in ending if m["type"] == "event"] == ["shutdown"]


def test_the_sources_of_the_settings_are_heard_from_the_start(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    monkeypatch.setenv("SPICCATO_SOURCES", '[{"device": "line", "channel": 1}, {"id": "microphone", "muted": true}]')
    with live_server(model=toy_path, microphone="default") as server:
        told = httpx.get(f"{server.url}/v1/sources").json()["sources"]
    assert {one["id"]: (one["device"], one["channel"], one["muted"]) for one in told} == {
        "microphone": (None, None, True),
        "microphone-2": (None, None, False),
        "microphone-3": ("line", 1, False),
    }


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ([{"id": "a"}, {"name": "a"}], "a source is called 'a' already"),
        ([{"device": f"{n}"} for n in range(9)], "at most 8 items"),
        ([{"chanel": 1}], "chanel"),
        ([{"channel": -1}], "greater than or equal to 0"),
    ],
)
def test_sources_that_cannot_be_are_refused_with_the_settings(sources: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({"sources": sources})


def test_what_was_added_while_it_ran_is_heard_again_after_the_next_start(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "missing")
    file = tmp_path / "state" / "sources.json"
    settings = {"model": toy_path, "sources_file": file, "sources": [{"id": "hall"}]}
    with live_server(**settings) as server:
        url = f"{server.url}/v1/sources"
        httpx.post(url, json={"id": "stage", "name": "Left", "channel": "mix"})
        httpx.post(url, json={"id": "gone"})
        httpx.delete(f"{url}/gone")
        httpx.patch(f"{url}/stage", json={"name": "Right", "muted": True})
        httpx.patch(f"{url}/hall", json={"muted": True})  # of the settings: until the next start
    with live_server(**settings) as server:
        told = httpx.get(f"{server.url}/v1/sources").json()["sources"]
    kept = [(one["id"], one["name"], one["muted"], one["channel"]) for one in told]
    assert kept == [("hall", "hall", False, None), ("stage", "Right", True, "mix")]
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{]", "is not a list of sources"),
        ('[{"id": "../x"}]', "0.id"),
        ('[{"id": "hall"}]', "with the sources of the settings: a source is called 'hall' already"),
    ],
)
def test_a_file_of_sources_that_cannot_be_used_is_told_and_left_as_it_is(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "sources.json"
    file.write_text(text)
    with pytest.raises(SourceFileError, match=re.escape(told)) as caught:
        SourceFile(file).read(beside=[MicrophoneSpec(id="hall")])
    assert str(file) in str(caught.value)
    assert file.read_text() == text


def test_a_file_of_sources_in_a_place_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceFileError, match="cannot be used: "):
        SourceFile(tmp_path / "file" / "sources.json").read()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "stage"}, 409, "source_exists"),
        ({"id": "a/b"}, 400, "bad_message"),
        ({"id": ".."}, 400, "bad_message"),
        ({"name": "a\nb"}, 400, "bad_message"),
        ({"name": " "}, 400, "bad_message"),
        ({"name": "x" * 65}, 400, "bad_message"),
        ({"kind": "rtsp"}, 400, "bad_message"),
        ({"device": ""}, 400, "bad_message"),
        ({"chanel": 1}, 400, "bad_message"),
        ({"channel": -1}, 400, "bad_message"),
        ({"channel": "left"}, 400, "bad_message"),
        ({"channel": True}, 400, "bad_message"),
        ({"detect": {"labels": ["kazoo"]}}, 400, "unknown_label"),
        ({"detect": {"thresholds": {"low": {"on": 0.3}}}}, 400, "bad_thresholds"),
        ({"detect": {"thresholds": {"low": {"no": 0.3}}}}, 400, "bad_message"),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    held: str, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], status: int, code: str
) -> None:
    fake_portaudio(monkeypatch, "missing")
    answer = httpx.post(held, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert [source["id"] for source in httpx.get(held).json()["sources"]] == ["stage"]


def test_sources_are_numbered_and_limited(sources: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "missing")
    answers = [httpx.post(sources, json={}) for _ in range(9)]
    assert [answer.json().get("id") for answer in answers[:3]] == ["microphone", "microphone-2", "microphone-3"]
    assert [answer.status_code for answer in answers] == [201] * 8 + [409]
    assert answers[-1].json()["error"]["code"] == "too_many_sources"


@pytest.mark.parametrize("name", ["Bühne links", "a/b", "-.-", "../../etc", "日本"])
def test_an_id_made_of_a_name_can_stand_in_an_address(sources: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake_portaudio(monkeypatch, "missing")
    told = httpx.post(sources, json={"name": name}).json()
    assert told["name"] == name
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", told["id"])
    assert httpx.patch(f"{sources}/{told['id']}", json={"muted": True}).json()["muted"] is True


def test_an_unknown_source_cannot_be_changed_or_removed(sources: str) -> None:
    for answer in (httpx.delete(f"{sources}/kazoo"), httpx.patch(f"{sources}/kazoo", json={"muted": True})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_source")


def test_a_source_is_renamed_muted_and_heard_again_and_watchers_are_told(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    httpx.post(sources, json={"id": "stage"})
    with watching(server) as ws:
        until(ws, "event", phase="onset")
        assert httpx.patch(f"{sources}/stage", json={"name": "Stage left"}).json()["name"] == "Stage left"
        until(ws, "source", name="Stage left", muted=False, state="healthy")
        assert httpx.patch(f"{sources}/stage", json={"muted": True}).json()["muted"] is True
        closing = until(ws, "event", phase="offset", reason="mute")
        until(ws, "level", rms_dbfs=None)
        assert [m["name"] for m in closing if m["type"] == "source" and m["muted"]] == ["Stage left"]
    with watching(server) as late:
        assert until(late, "source")[-1]["muted"] is True
        httpx.patch(f"{sources}/stage", json={"muted": False})
        messages = until(late, "event", phase="onset")
    assert "gap" not in {message["type"] for message in messages}
    assert httpx.get(sources).json()["sources"][0]["name"] == "Stage left"


def test_thresholds_of_a_source_change_while_it_is_heard_and_stay(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    kept = tmp_path / "sources.json"
    with live_server(model=toy_path, sources_file=kept) as server:
        stage = f"{server.url}/v1/sources/stage"
        httpx.post(f"{server.url}/v1/sources", json={"id": "stage", "detect": {"min_off_ms": 200}})
        with watching(server) as ws:
            (onset,) = [m for m in until(ws, "event", phase="onset") if m["type"] == "event"]
            label = onset["label"]
            answer = httpx.patch(stage, json={"detect": {"thresholds": {label: {"on": 0.999, "off": 0.99}}}})
            assert answer.json()["detect"]["thresholds"] == {label: {"on": 0.999, "off": 0.99}}
            told = until(ws, "configured")[-1]["detect"]
            assert (told["thresholds"][label], told["min_off_ms"]) == ({"on": 0.999, "off": 0.99}, 200)
            assert set(told["labels"]) == {"low", "high"}
            other = {"low": "high", "high": "low"}[label]
            httpx.patch(stage, json={"detect": {"labels": [other]}})
            closing = until(ws, "configured")
            assert [m["reason"] for m in closing if m["type"] == "event" and m["is_final"]] == ["reconfigure"]
            assert closing[-1]["detect"]["labels"] == [other]
        with watching(server) as late:  # it is told what holds, not what held at the start
            detect = until(late, "started")[-1]["effective"]["detect"]
            assert detect["labels"] == [other]
            httpx.patch(stage, json={"detect": {"labels": None, "thresholds": {}, "min_off_ms": None}})
            told = until(late, "configured")[-1]["detect"]
            assert told == httpx.get(f"{server.url}/v1/info").json()["detect"]
        httpx.patch(stage, json={"detect": {"min_on_ms": 70}})
    assert [spec.detect.min_on_ms for spec in SourceFile(kept).read()] == [70]


def test_a_source_goes_to_another_device_with_a_new_session(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    httpx.post(sources, json={"id": "stage", "device": "microphone"})
    with watching(server) as ws:
        until(ws, "event", phase="onset")
        httpx.patch(f"{sources}/stage", json={"device": "line"})
        ending = until(ws, "summary")
        assert [m["reason"] for m in ending if m["type"] == "event" and m["is_final"]] == ["reconfigure"]
        again = until(ws, "source", state="healthy")
    assert "Fake line in" in again[-1]["detail"]
    assert httpx.get(sources).json()["sources"][0]["opened"]["device"] == "Fake line in"


def test_of_three_microphones_one_is_pulled_and_the_others_do_not_notice(
    server: LiveServer, sources: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugs = FakePlugs(monkeypatch, tmp_path, "Left", "Middle", "Right")
    for name in ("Left", "Middle", "Right"):
        httpx.post(sources, json={"device": name, "id": name})
    with ExitStack() as stack:
        left, middle, right = (
            stack.enter_context(watching(server, f"?source={name}")) for name in ("Left", "Middle", "Right")
        )
        for ws in (left, middle, right):
            until(ws, "event", phase="onset")
        plugs.are("Right", "Left")  # their numbers move as well
        pulled = until(middle, "source", state="lost")
        assert [m["reason"] for m in pulled if m["type"] == "event"] == ["stall"]
        until(middle, "source", state="lost")  # it was looked for, and told what there is
        plugs.are("Right", "Left", "Middle")
        assert until(middle, "event", phase="onset")[-1]["onset_ms"] < 1000
        assert httpx.get(sources).json()["sources"][1]["opened"]["device"] == "Middle"
        for name in ("Left", "Right"):
            httpx.delete(f"{sources}/{name}")
        for ws in (left, right):
            ending = until(ws, "summary")
            assert [m["reason"] for m in ending if m["type"] == "event"][-1] == "stop"
            assert "started" not in {m["type"] for m in ending}
            assert ending[-1]["gaps"] == 0


def test_a_device_that_is_not_there_is_waited_for(
    server: LiveServer, sources: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugs = FakePlugs(monkeypatch, tmp_path, "Left")
    with watching(server) as ws:
        httpx.post(sources, json={"device": "Right", "id": "stage"})
        lost = until(ws, "source", state="lost")[-1]
        assert lost["detail"] == "no audio input is called 'Right'; there are 1: Fake: Left"
        plugs.are("Left", "Right")
        until(ws, "source", state="healthy")


def test_a_source_hears_the_channel_that_was_chosen(
    server: LiveServer, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "tone")
    with watching(server) as ws:
        assert httpx.post(sources, json={"id": "stage", "channel": 1}).json()["channel"] == 1
        assert until(ws, "event", phase="onset")[-1]["label"] == "high"
        httpx.patch(f"{sources}/stage", json={"channel": 0})
        until(ws, "summary")
        assert until(ws, "event", phase="onset")[-1]["label"] == "low"
        httpx.patch(f"{sources}/stage", json={"channel": 2})
        failed = until(ws, "source", state="failed")[-1]
        assert "has 2 channels" in failed["detail"]
        httpx.patch(f"{sources}/stage", json={"channel": "mix"})
        until(ws, "source", state="healthy")


@pytest.mark.parametrize(
    "patch", [{"id": "other"}, {"kind": "file"}, {"muted": "perhaps"}, {"device": ""}, [], {"detect": {"of": 1}}]
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    held: str, monkeypatch: pytest.MonkeyPatch, patch: Any
) -> None:
    fake_portaudio(monkeypatch, "missing")
    before = httpx.get(held).json()["sources"][0]
    answer = httpx.patch(f"{held}/stage", json=patch)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")
    after = httpx.get(held).json()["sources"][0]
    assert {name: after[name] for name in ("id", "kind", "name", "muted", "device")} == {
        name: before[name] for name in ("id", "kind", "name", "muted", "device")
    }
