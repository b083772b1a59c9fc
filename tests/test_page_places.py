"""The page's other places in real Chromium: files, and the server's sources."""

import csv
import io
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect
from sqlalchemy import make_url

from server.past.database import Database
from tests.browser import RATE, Open, check_accessible, colours, finals, listen, sounding, stopped
from tests.live_server import LiveServer, eventually, live_server
from tests.past_rows import keep, row
from tests.synth import low_high, write_wav
from tests.virtual_mic import VirtualMic


def test_a_file_becomes_a_timeline_that_plays(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server, place="/#files", ready=".drop-text")
    expect(page.locator(".drop-text")).to_contain_text("WAV, FLAC, OGG, MP3 and M4A")
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)
    told = httpx.post(f"{server.url}/v1/classify", content=tones.read_bytes()).json()
    expect(page.locator("#timeline .bars i")).to_have_count(len(finals(told["events"])))
    expect(page.locator(".file-position")).to_have_text("0:00.0 of 0:03.5")
    expect(page.locator(".file-wave")).to_be_visible()
    assert colours(page, ".file-wave") > 1
    assert colours(page, ".file-spectrum") > 20
    page.locator(".play").click()
    for label in ("low", "high"):
        expect(page.locator(".file-now")).to_have_text(label)
        expect(page.locator(f'#timeline .lane[data-label="{label}"]')).to_have_attribute("data-on", "true")


def test_a_file_is_zoomed_and_moved_in_with_the_keyboard(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server)
    page.set_input_files("#file", tones)
    seek = page.get_by_label("Position in the file")
    expect(seek).to_be_visible()
    ticks = page.locator("#timeline .ticks span")
    expect(ticks.last).to_have_text("0:03.5")
    seek.focus()
    page.keyboard.press("+")
    expect(ticks.last).to_have_text("0:01.6")
    page.keyboard.press("-")
    expect(ticks.last).to_have_text("0:03.5")
    page.keyboard.press("End")
    expect(page.locator(".file-position")).to_have_text("0:03.5 of 0:03.5")
    page.locator(".closer").press("Enter")
    expect(ticks.first).to_have_text("0:01.8")


def test_many_files_are_heard_one_after_the_other(
    server: LiveServer, open_page: Open, tones: Path, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear orchestra, please play louder.\n" * 20)
    page = open_page(server, expect_complaint="Failed to load resource")
    page.set_input_files("#file", [text, tones, tones])
    rows = page.locator(".shelf li")
    expect(rows).to_have_count(3)
    told = httpx.post(f"{server.url}/v1/classify", files={"file": ("letter.txt", text.read_bytes())}).json()
    expect(rows.nth(0)).to_contain_text(told["error"]["message"])
    for line in (rows.nth(1), rows.nth(2)):
        expect(line).to_contain_text("3.5 s: ")
    rows.nth(2).get_by_role("button").first.click()
    expect(rows.nth(2).get_by_role("button").first).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Remove tones.wav").last.click()
    expect(rows).to_have_count(2)


def test_a_file_is_taken_out_in_every_form_as_the_service_writes_it(
    server: LiveServer, open_page: Open, tones: Path
) -> None:
    page = open_page(server)
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)

    def both(name: str) -> tuple[str, str]:
        with page.expect_download() as download:
            page.locator("#timeline").get_by_role("button", name=name).click()
        path = Path(download.value.path())
        answer = httpx.post(
            f"{server.url}/v1/classify?format={name.lower()}", files={"file": ("tones.wav", tones.read_bytes())}
        )
        return path.read_text(), answer.text

    ours, theirs = both("Audacity")
    assert ours == theirs
    for table in zip(*(csv.DictReader(io.StringIO(text)) for text in both("CSV")), strict=True):
        numbers = [[float(row[k]) for k in ("onset_ms", "offset_ms", "score", "peak", "threshold")] for row in table]
        assert numbers[0] == numbers[1]
        assert table[0].keys() == table[1].keys()
        assert [table[0][k] for k in ("label", "reason", "model")] == [
            table[1][k] for k in ("label", "reason", "model")
        ]
    ours, theirs = both("JAMS")
    assert json.loads(ours) == json.loads(theirs)
    ours, theirs = both("JSON")
    assert finals(json.loads(ours)["events"]) == finals(json.loads(theirs)["events"])


def test_what_was_heard_is_found_again_played_corrected_and_taken_out(
    toy_path: Path, open_page: Open, tmp_path: Path
) -> None:
    with live_server(
        model=toy_path, history=str(tmp_path / "history.sqlite"), clips="all", clips_dir=tmp_path / "clips"
    ) as server:
        page = open_page(server, bypass_csp=True, reduced_motion="reduce")
        listen(page)
        sounding(page, "low")
        sounding(page, "high")
        expect(page.locator('.log-list [data-label="high"][data-phase="offset"]').first).to_be_visible()
        stopped(page)
        page.locator('.places a[href="#then"]').click()
        rows = page.locator(".then-list li")
        expect(rows).not_to_have_count(0)
        stored = httpx.get(f"{server.url}/v1/history").json()["events"]
        expect(rows).to_have_count(len(stored))
        expect(page.locator(".glance tr")).to_have_count(3)  # hours, low, high

        page.locator(".then-label").select_option("low")
        expect(rows).to_have_count(len([event for event in stored if event["label"] == "low"]))
        rows.first.get_by_role("button").press("Enter")
        expect(page.locator(".then-spectrum")).to_be_visible()
        assert colours(page, ".then-spectrum") > 20
        expect(page.locator(".then-open audio")).to_be_visible()
        assert page.locator(".then-right").input_value() == ""
        page.locator(".then-right").select_option("high")
        expect(rows.first).to_contain_text("really high")
        corrected = httpx.get(f"{server.url}/v1/history?corrected=true").json()["events"]
        assert [event["correction"]["label"] for event in corrected] == ["high"]
        check_accessible(page, "then")
        wide = page.viewport_size
        page.set_viewport_size({"width": 360, "height": 740})
        for part in ("html", ".then", ".then-tools", ".then-list"):
            assert page.evaluate(
                "(part) => (({ scrollWidth: a, clientWidth: b }) => a <= b)(document.querySelector(part))", part
            )
        page.set_viewport_size(wide)

        with page.expect_download() as download:
            page.locator(".then .exports").get_by_role("button", name="CSV").click()
        table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
        assert {row["label"] for row in table} == {"low"}
        page.get_by_role("button", name="The day before").click()
        expect(page.locator(".then-problem")).to_contain_text("Nothing was named")


def test_a_day_of_many_events_is_shown_page_by_page_the_newest_first(
    toy_path: Path, open_page: Open, tmp_path: Path
) -> None:
    yesterday = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
    noon = round(yesterday.timestamp() * 1000)
    database = Database(make_url(f"sqlite:///{tmp_path / 'history.sqlite'}"))
    database.prepare()
    labels = ["low", "high"]
    keep(database, *(row(n, onset_utc=noon + 1000 * n, label=labels[n % 2], family="test") for n in range(120)))
    database.close()
    with live_server(model=toy_path, history=str(tmp_path / "history.sqlite")) as server:
        page = open_page(server, place="/#then", ready=".then-day", timezone_id="UTC")
        page.locator(".then-day").fill(yesterday.date().isoformat())
        rows, more = page.locator(".then-list li"), page.get_by_role("button", name="More")
        expect(rows).to_have_count(50)
        more.press("Enter")
        expect(rows).to_have_count(100)
        expect(more).to_be_visible()
        more.press("Enter")
        expect(rows).to_have_count(120)
        expect(more).to_be_hidden()
        moments = [f"12:0{n // 60}:{n % 60:02}" for n in reversed(range(120))]
        assert page.locator(".then-list li span:first-child").all_text_contents() == moments

        page.locator(".then-label").select_option("high")
        expect(rows).to_have_count(50)
        more.click()
        expect(rows).to_have_count(60)
        expect(more).to_be_hidden()
        assert page.locator(".then-list li span:first-child").all_text_contents() == moments[::2]


def thresholds(server: LiveServer) -> dict[str, dict[str, float]]:
    """Of the only source."""
    (source,) = httpx.get(f"{server.url}/v1/sources").json()["sources"]
    return dict(source["detect"]["thresholds"])


def test_the_servers_own_microphone_is_added_followed_renamed_muted_and_removed(
    toy_path: Path, open_page: Open, virtual_mic: VirtualMic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    virtual_mic.into(monkeypatch)
    with live_server(model=toy_path) as server:
        page = open_page(server, place="/#sources", ready=".sources form")
        page.get_by_label("Microphone").select_option(label="pulse")
        page.get_by_label("Name", exact=True).fill("Stage left")
        page.get_by_role("button", name="Add").click()
        card = page.locator(".sources li")
        expect(card).to_contain_text("pulse")
        card.get_by_role("button", name="Follow").click()
        expect(page.locator(".meter-value")).not_to_have_text("no sound yet")
        again = np.tile(low_high(RATE), 20)  # a busy machine shows a sound late: what it missed comes once more
        playing = virtual_mic.play(write_wav(tmp_path / "again.wav", again, RATE))
        sounding(page, "low")
        sounding(page, "high")
        assert colours(page, "#live .samples canvas") > 1
        page.get_by_role("button", name="low", exact=True).press("Enter")
        expect(page.get_by_label("low on from")).to_have_value("0.7")
        page.get_by_label("low on from").press("ArrowLeft")
        eventually(lambda: thresholds(server) == {"low": {"on": 0.69, "off": 0.4}})
        expect(page.locator("#tune-low .tuning-note")).to_have_text("")
        page.get_by_label("listen for low").uncheck()
        expect(page.locator('.lane[data-label="low"]')).to_have_attribute("data-off", "true")
        page.get_by_label("listen for low").check()
        page.get_by_role("button", name="The model’s own").click()
        expect(page.locator('.lane[data-label="low"]')).to_have_attribute("data-off", "false")
        eventually(lambda: httpx.get(f"{server.url}/v1/sources").json()["sources"][0]["detect"]["thresholds"] == {})
        assert playing.poll() is None
        page.locator('.places a[href="#sources"]').click()
        card.get_by_label("Name of").fill("Stage right")
        page.keyboard.press("Enter")
        virtual_mic.unplug()
        expect(page.locator(".sources li[data-state='lost']")).to_have_count(1)
        card.get_by_role("button", name="Mute").click()
        expect(card).to_contain_text("muted")
        (source,) = httpx.get(f"{server.url}/v1/sources").json()["sources"]
        assert (source["name"], source["muted"]) == ("Stage right", True)
        card.get_by_role("button", name="Remove").click()
        expect(card).to_have_count(0)
        assert httpx.get(f"{server.url}/v1/sources").json()["sources"] == []


def test_a_stream_is_added_on_the_page_and_removed(server: LiveServer, open_page: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    page = open_page(server, place="/#sources", ready=".sources form")
    page.locator(".sources form").get_by_label("address").fill(f"http://127.0.0.1:{port}/radio.mp3")
    page.get_by_label("Name", exact=True).fill("Radio")
    page.get_by_role("button", name="Add").click()
    card = page.locator(".sources li")
    expect(card).to_contain_text(f"127.0.0.1:{port}/radio.mp3")
    expect(card).to_have_attribute("data-state", re.compile("lost|recovering"))
    (source,) = httpx.get(f"{server.url}/v1/sources").json()["sources"]
    assert (source["kind"], source["name"]) == ("stream", "Radio")
    card.get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    assert httpx.get(f"{server.url}/v1/sources").json()["sources"] == []


def test_a_server_without_microphones_says_why(server: LiveServer, open_page: Open) -> None:
    sentence = "PortAudio is not installed: apt-get install libportaudio2"
    answer = {"sources": [], "devices": [], "problem": {"code": "no_portaudio", "message": sentence}}
    page = open_page(
        server,
        place="/#sources",
        ready=".sources form",
        prepare=lambda page: page.route("**/v1/sources", lambda route: route.fulfill(json=answer)),
    )
    expect(page.locator(".sources-problem")).to_contain_text(sentence)
