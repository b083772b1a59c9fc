"""The page in real Chromium, against the real server: what a musician sees, and that it is what the server heard.

The browser's microphone is a WAV file (Chromium's fake capture device: it loops, its start is not aligned). The exact
samples that the page sent are read from its WebSocket, so what they mean can be asked again by other ways.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright
from websockets.sync.client import connect

from server.framing import unframed
from tests.live_server import LiveServer, bare, live_server, until
from tests.synth import low_high, render, write_wav
from tests.virtual_mic import VirtualMic

CHROMIUM = Path("/usr/bin/chromium")
BASE_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
]
ALLOW = "--use-fake-ui-for-media-stream"  # every request for the microphone is granted
RATE = 48_000
PATIENCE_MS = 20_000

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} does not exist, so the page cannot be tested: apt-get install chromium")
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the toy model calls low, then high; loops every 3.5 s."""
    return write_wav(tmp_path_factory.mktemp("page") / "tones.wav", low_high(RATE), RATE)


@pytest.fixture
def chromium(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    with ExitStack() as stack:

        def launch(*flags: str) -> Browser:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*BASE_FLAGS, *flags])
            stack.callback(browser.close)
            return browser

        yield launch


@pytest.fixture
def open_page(chromium: Callable[..., Browser], tones: Path) -> Iterator[Open]:
    """Open the page of a server; at the end, the console may hold no complaint but the expected ones."""
    complaints: list[str] = []
    expected: list[str] = []

    def opened(
        server: LiveServer,
        *flags: str,
        wav: Path | None = None,
        host: str = "127.0.0.1",
        expect_complaint: str = "",
        ready: str = "#live .lane",
        **context: Any,
    ) -> Page:
        fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={wav or tones}"]
        browsing: BrowserContext = chromium(*(flags or (ALLOW, *fake))).new_context(**context)
        page = browsing.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: complaints.append(_told(message)) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if expect_complaint:
            expected.append(expect_complaint)
        page.goto(server.url.replace("127.0.0.1", host))
        expect(page.locator(ready).first).to_be_visible()
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield opened
    unexpected = [line for line in complaints if not any(re.search(pattern, line) for pattern in expected)]
    assert unexpected == []


def _told(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text} ({message.location.get('url', '')})"


class Wire:
    """Everything that went over the page's WebSockets."""

    def __init__(self, page: Page) -> None:
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        page.on("websocket", self._follow)

    def _follow(self, socket: Any) -> None:
        socket.on("framesent", lambda data: self.sent.append(data))
        socket.on("framereceived", lambda data: self.received.append(data))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.received if isinstance(data, str)]

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.sent if isinstance(data, str)]

    def stretches(self) -> list[tuple[int, bytes]]:
        """The samples sent, cut where the page told that some were lost (a busy machine): (first sample, PCM)."""
        found = [(0, b"")]
        for data in self.sent:
            if not isinstance(data, bytes):
                continue
            header, samples = unframed(data)
            first, pcm = found[-1]
            behind = first + len(pcm) // 4 - header.first
            if behind < 0:
                found.append((header.first, samples))
            else:
                found[-1] = (first, pcm + samples[4 * behind :])  # it went again after a lost connection
        return found


def listen(page: Page) -> None:
    """As somebody without a mouse would."""
    page.locator("#listen").focus()
    page.keyboard.press("Enter")


def sounding(page: Page, label: str) -> None:
    expect(page.locator(f'.stage-names [data-label="{label}"]')).to_be_visible()
    expect(page.locator(f'#live .lane[data-label="{label}"]')).to_have_attribute("data-on", "true")


def float_wav(pcm: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(pcm, "<f4"), rate, subtype="FLOAT", format="WAV")
    return file.getvalue()


def finals(events: list[dict[str, Any]], first_sample: int = 0) -> list[tuple[Any, ...]]:
    return sorted(
        (event["onset_sample"] + first_sample, event["offset_sample"] + first_sample, event["label"], event["peak"])
        for event in events
        if event["phase"] == "offset"
    )


def check_same_events(server: LiveServer, wire: Wire) -> None:
    """The page, an upload and a plain client of the stream get the same events for the samples that the page sent."""
    rate = wire.asked[0]["audio"]["sample_rate"]
    events = [message for message in wire.messages if message["type"] == "event"]
    assert finals(events)

    uploaded = []
    for first_sample, pcm in wire.stretches():
        answer = httpx.post(f"{server.url}/v1/classify", files={"file": ("page.wav", float_wav(pcm, rate))})
        assert answer.status_code == 200
        uploaded += finals(answer.json()["events"], first_sample)
    assert sorted(uploaded) == finals(events)

    with connect(f"{server.ws}/v1/stream", max_size=None) as ws:
        for data in wire.sent:
            ws.send(data)
        assert bare(until(ws, "summary")) == bare(events)


def test_what_is_played_into_the_microphone_lights_up_and_is_what_every_other_way_hears(
    server: LiveServer, open_page: Open
) -> None:
    page = open_page(server)
    wire = Wire(page)
    expect(page.locator(".stage-quiet")).to_have_text("Press Listen and play something.")
    listen(page)
    sounding(page, "low")
    sounding(page, "high")
    expect(page.locator("#announcer")).to_contain_text("on.")
    expect(page.locator("#link")).to_contain_text("Connected")
    expect(page.locator(".meter-value")).to_contain_text("dBFS")
    expect(page.locator("#latency")).to_contain_text("Answers in")
    expect(page.locator('.log-list [data-label="low"][data-phase="offset"]').first).to_be_visible()
    listen(page)  # the same button stops
    expect(page.locator("#link")).to_have_text("Not connected")
    assert wire.messages[-1]["type"] == "summary"
    check_same_events(server, wire)


def test_the_shipped_model_hears_an_instrument_through_the_page(
    orchestra_server: LiveServer, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(orchestra_server, wav=render(tmp_path / "flute.wav", "flute", [72, 76, 79, 84], note_s=0.8))
    wire = Wire(page)
    listen(page)
    expect(page.locator(".stage-names li").first).to_be_visible()
    expect(page.locator('.log-list [data-phase="offset"]').first).to_be_visible()
    listen(page)
    expect(page.locator("#link")).to_have_text("Not connected")
    check_same_events(orchestra_server, wire)


def test_the_spectrogram_and_the_lanes_show_the_sound(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    listen(page)
    sounding(page, "high")
    colours = """selector => {
        const canvas = document.querySelector(selector)
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
        return new Set(new Uint32Array(data.buffer)).size
    }"""
    assert page.evaluate(colours, ".spectrogram canvas") > 20
    assert page.evaluate(colours, '.lane[data-label="high"] canvas') > 3
    expect(page.locator('.lane[data-label="high"] .lane-score')).to_contain_text("%")


def test_a_file_becomes_a_timeline_that_plays(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server)
    page.get_by_role("radio", name="File").check()
    expect(page.locator(".drop-text")).to_contain_text("WAV, FLAC, OGG, MP3 and M4A")
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)
    told = httpx.post(f"{server.url}/v1/classify", content=tones.read_bytes()).json()
    expect(page.locator("#timeline .bars i")).to_have_count(len(finals(told["events"])))
    expect(page.locator(".file-position")).to_have_text("0:00.0 of 0:03.5")
    page.locator("#play").click()
    for label in ("low", "high"):
        expect(page.locator(f'.stage-names [data-label="{label}"]')).to_be_visible()
        expect(page.locator(f'#timeline .lane[data-label="{label}"]')).to_have_attribute("data-on", "true")
    expect(page.locator(".log-list li")).to_have_count(2)


def test_the_events_can_be_taken_out_as_json(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server)
    page.set_input_files("#file", tones)
    expect(page.locator(".log-list li")).to_have_count(2)
    with page.expect_download() as download:
        page.locator("#download").click()
    events = json.loads(Path(download.value.path()).read_text())["events"]
    assert [event["label"] for event in events] == ["low", "high"]
    assert download.value.suggested_filename.endswith(".json")


def test_a_file_that_is_no_sound_shows_the_servers_own_sentence(
    server: LiveServer, open_page: Open, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear orchestra, please play louder.\n" * 20)
    page = open_page(server, expect_complaint="Failed to load resource")
    page.set_input_files("#file", text)
    told = httpx.post(f"{server.url}/v1/classify", files={"file": ("letter.txt", text.read_bytes())}).json()
    expect(page.locator(".drop-text")).to_have_text(told["error"]["message"])
    expect(page.locator("#notice span")).to_have_text(told["error"]["message"])


def test_a_microphone_that_is_denied_or_missing_is_a_sentence(server: LiveServer, open_page: Open) -> None:
    denied = open_page(server, "--use-fake-device-for-media-stream", "--deny-permission-prompts")
    listen(denied)
    expect(denied.locator("#notice")).to_contain_text("may not use the microphone")
    missing = open_page(server, ALLOW)
    listen(missing)
    expect(missing.locator("#notice")).to_contain_text("no microphone")
    expect(missing.locator("#listen")).to_be_enabled()


def test_a_page_from_plain_http_says_why_it_has_no_microphone(server: LiveServer, open_page: Open) -> None:
    page = open_page(server, "--host-resolver-rules=MAP stage.test 127.0.0.1", host="stage.test")
    expect(page.locator("#notice")).to_contain_text(f"This page came from http://stage.test:{server.settings.port}")
    expect(page.locator("#listen")).to_be_disabled()


def test_where_a_token_is_asked_for_the_page_asks_for_it_and_works_with_it(
    toy_path: Path, open_page: Open, tones: Path
) -> None:
    token = "a-token-that-somebody-was-given"
    with live_server(model=toy_path, token=token) as server:
        page = open_page(server, expect_complaint="401", ready="#token")
        wire = Wire(page)
        field = page.get_by_label("This service asks for a token")
        expect(field).to_be_focused()
        field.fill("a-token-that-somebody-made-up")
        page.keyboard.press("Enter")
        expect(page.locator("#token-problem")).to_contain_text("not known")
        field.fill(token)
        page.keyboard.press("Enter")
        expect(field).to_be_hidden()
        expect(page.locator("#live .lane")).to_have_count(2)
        listen(page)
        sounding(page, "low")
        listen(page)
        expect(page.locator("#link")).to_have_text("Not connected")
        assert wire.messages[-1]["type"] == "summary"
        page.set_input_files("#file", tones)
        expect(page.locator("#timeline .lane")).to_have_count(2)
        page.reload()
        expect(page.locator("#live .lane")).to_have_count(2)  # kept for this tab
        assert token not in page.url + page.content()


def test_a_page_that_hears_nothing_draws_nothing(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    quiet = """() => new Promise((resolve) => {
        const ask = window.requestAnimationFrame
        let timer = setTimeout(resolve, 1500)
        window.requestAnimationFrame = (draw) => {
            clearTimeout(timer)
            timer = setTimeout(resolve, 1500)
            return ask(draw)
        }
    })"""
    page.evaluate(quiet)  # comes back once 1.5 s have passed without a request to draw


def test_a_server_that_goes_away_is_told_and_found_again(toy_path: Path, open_page: Open) -> None:
    with live_server(model=toy_path) as server:
        port = server.settings.port
        page = open_page(server, expect_complaint="WebSocket connection|Failed to load resource")
        listen(page)
        sounding(page, "low")
    expect(page.locator("#link")).to_contain_text(re.compile("Connection lost|Connecting again"))
    expect(page.locator(".stage-quiet")).to_have_text("No connection: nothing is heard.")
    expect(page.locator(".stage-names li")).to_have_count(0)
    with live_server(model=toy_path, port=port):
        expect(page.locator("#link")).to_contain_text("Connected")
        sounding(page, "low")
        expect(page.locator("#dropped")).to_contain_text("not sent")
        listen(page)
        expect(page.locator("#link")).to_have_text("Not connected")


def test_the_servers_own_microphone_can_be_followed(
    toy_path: Path, open_page: Open, virtual_mic: VirtualMic, monkeypatch: pytest.MonkeyPatch, tones: Path
) -> None:
    virtual_mic.into(monkeypatch)
    with live_server(model=toy_path) as server:
        page = open_page(server)
        page.get_by_role("radio", name="Server").check()
        page.locator("#server-device").select_option(label="pulse")
        page.locator("#server-listen").click()
        expect(page.locator(".meter-value")).not_to_have_text("no sound yet")
        playing = virtual_mic.play(tones)
        sounding(page, "low")
        sounding(page, "high")
        assert playing.wait(20) == 0
        page.locator("#server-listen").click()
        expect(page.locator("#link")).to_have_text("Not connected")
        assert httpx.get(f"{server.url}/v1/sources").json()["sources"] == []


def test_a_server_without_microphones_says_why(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    sentence = "PortAudio is not installed: apt-get install libportaudio2"
    answer = {"sources": [], "devices": [], "problem": {"code": "no_portaudio", "message": sentence}}
    page.route("**/v1/sources", lambda route: route.fulfill(json=answer))
    page.get_by_role("radio", name="Server").check()
    expect(page.locator("#notice")).to_contain_text(sentence)
    expect(page.locator("#server-listen")).to_be_disabled()


def test_on_a_telephone_nothing_is_wider_than_the_screen(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server, viewport={"width": 360, "height": 740})
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)
    assert page.evaluate(fits)
