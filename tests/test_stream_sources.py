"""Streams and files as sources over REST: what is asked for, allowed, told and hidden."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live_server import LiveServer, eventually, live_server
from tests.stream_servers import Radio, http_server, mp3_radio
from tests.synth import low_high, tone, write_wav
from tests.test_sources import states, until, watching


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    write_wav(outside / "secret.wav", low_high())
    folder = outside / "sounds"
    (folder / "hall").mkdir(parents=True)
    write_wav(folder / "hall" / "tones.wav", low_high()[:28_000])
    (folder / "link.wav").symlink_to(outside / "secret.wav")
    return folder


@pytest.fixture(scope="module")
def own(toy_path: Path, folder: Path) -> Iterator[LiveServer]:
    """A service that may fetch from this machine's 127.0.0.1 only, and read files of a folder."""
    with live_server(model=toy_path, stream_hosts="127.0.0.1", source_folder=folder) as running:
        yield running


@pytest.fixture
def sources(own: LiveServer) -> Iterator[str]:
    url = f"{own.url}/v1/sources"
    yield url
    for source in httpx.get(url).json()["sources"]:
        assert httpx.delete(f"{url}/{source['id']}").status_code == 204


def test_a_stream_is_added_heard_told_without_its_secrets_and_removed(own: LiveServer, sources: str) -> None:
    with http_server(mp3_radio(tone(200, 2.0, 44_100), 44_100, titles=["Song"])) as radio, watching(own) as ws:
        url = radio.replace("http://", "http://me:s3cr3t@") + "/live?key=s3cr3t"
        answer = httpx.post(sources, json={"kind": "stream", "url": url, "name": "Radio", "channel": 0})
        assert answer.status_code == 201
        told = until(ws, "event", phase="onset")
        listed = httpx.get(sources)
        seen = listed.json()["sources"][0]
        patched = httpx.patch(f"{sources}/Radio", json={"name": "Radio Eins"})
        assert httpx.delete(f"{sources}/Radio").status_code == 204
        until(ws, "summary")
    assert (told[-1]["label"], told[-1]["source"]) == ("low", "Radio")
    assert (seen["kind"], seen["url"], seen["channel"]) == ("stream", f"{radio}/live?...", 0)
    assert (seen["state"], seen["opened"]["codec"], seen["opened"]["title"]) == ("healthy", "mp3float", "Song")
    assert patched.json()["session"] == seen["session"]  # a new name does not open it anew: its address was kept
    assert "s3cr3t" not in answer.text + listed.text + patched.text + str(told)


def test_a_file_is_heard_at_its_own_pace_over_and_over(own: LiveServer, sources: str) -> None:
    with watching(own) as ws:
        asked = {"kind": "file", "path": "hall/tones.wav", "loop": True, "name": "hall"}
        assert httpx.post(sources, json=asked).status_code == 201
        first = until(ws, "event", phase="onset")
        again = until(ws, "event", phase="onset")
    onsets = [told[-1]["onset_ms"] for told in (first, again)]
    assert onsets[1] - onsets[0] == pytest.approx(1750, abs=30)  # one clock, no hole between the rounds
    assert first[-1]["utc_onset"] is not None
    assert states(first + again) == ["recovering", "healthy"]


def test_a_file_that_is_not_looped_ends(own: LiveServer, sources: str) -> None:
    with watching(own) as ws:
        httpx.post(sources, json={"kind": "file", "path": "hall/tones.wav", "name": "once"})
        told = until(ws, "source", state="ended")
    assert [event["label"] for event in told if event["type"] == "event" and event["is_final"]] == ["low"]
    assert httpx.get(sources).json()["sources"][0]["state"] == "ended"


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"kind": "stream"}, 400, "url"),
        ({"kind": "stream", "url": "http://127.0.0.1:1/x", "channel": 32}, 400, "channel"),
        ({"kind": "stream", "url": "file:///etc/passwd"}, 403, "not 'file'"),
        ({"kind": "stream", "url": "/etc/passwd"}, 403, "no address of a stream"),
        ({"kind": "stream", "url": "http://127.0.0.9/x"}, 403, "none of the hosts"),
        ({"kind": "stream", "url": "http://169.254.169.254/x"}, 403, "link-local"),
        ({"kind": "file"}, 400, "path"),
        ({"kind": "file", "path": "../secret.wav"}, 403, "not below the folder"),
        ({"kind": "file", "path": "/etc/passwd"}, 403, "not below the folder"),
        ({"kind": "file", "path": "link.wav"}, 403, "not below the folder"),
        ({"kind": "file", "path": "a\0b"}, 400, "path"),
        ({"kind": "kazoo"}, 400, "kazoo"),
    ],
)
def test_what_may_not_be_a_source_is_refused(sources: str, asked: dict[str, Any], status: int, told: str) -> None:
    answer = httpx.post(sources, json=asked)
    assert (answer.status_code, told in answer.json()["error"]["message"]) == (status, True), answer.text
    assert httpx.get(sources).json()["sources"] == []


def test_a_change_that_is_not_allowed_changes_nothing(sources: str) -> None:
    httpx.post(sources, json={"kind": "stream", "url": "http://127.0.0.1:1/x", "name": "one"})
    answer = httpx.patch(f"{sources}/one", json={"url": "http://127.0.0.9/x", "name": "other", "muted": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")
    seen = httpx.get(sources).json()["sources"][0]
    assert (seen["url"], seen["name"], seen["muted"]) == ("http://127.0.0.1:1/x", "one", False)


def test_without_a_folder_no_file_is_a_source(server: LiveServer) -> None:
    answer = httpx.post(f"{server.url}/v1/sources", json={"kind": "file", "path": "x.wav"})
    assert (answer.status_code, "source_folder" in answer.text) == (403, True)


def test_a_host_that_is_refused_later_fails_the_source_and_does_not_try_again(own: LiveServer, sources: str) -> None:
    """A redirect leads elsewhere: only the decoding process finds out."""
    away = Radio(b"", 1.0, status=b"HTTP/1.0 302 Found", headers={"Location": "http://127.0.0.9/x"}, ends=True)
    with http_server(away) as radio:
        httpx.post(sources, json={"kind": "stream", "url": f"{radio}/live", "name": "away"})
        eventually(lambda: httpx.get(sources).json()["sources"][0]["state"] == "failed")
    assert "127.0.0.9 is none of the hosts" in httpx.get(sources).json()["sources"][0]["detail"]
