"""The page in real Chromium: one browser for a module of tests, a fake microphone that plays a WAV, the wire looked at.

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
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright
from websockets.sync.client import connect

from server.framing import unframed
from tests.live_server import LiveServer, bare, until
from tests.synth import low_high, write_wav

CHROMIUM = Path("/usr/bin/chromium")
BASE_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP stage.test 127.0.0.1",
]
FAKE = "--use-fake-device-for-media-stream"
RATE = 48_000
PATIENCE_MS = 40_000  # a machine that does much else at once

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


@pytest.fixture(scope="module")
def launch(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Chromium with these flags: one process for each set of them."""
    running: dict[tuple[str, ...], Browser] = {}

    def launched(*flags: str) -> Browser:
        if flags not in running:
            running[flags] = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*BASE_FLAGS, *flags])
        return running[flags]

    yield launched
    for browser in running.values():
        browser.close()


@pytest.fixture
def open_page(launch: Callable[..., Browser], tones: Path) -> Iterator[Open]:
    """Open the page of a server; at the end, the console may hold no complaint but the expected ones."""
    complaints: list[str] = []
    expected: list[str] = []
    stack = ExitStack()

    def opened(
        server: LiveServer,
        *,
        wav: Path | None = None,  # what the microphone hears; `tones` else
        device: bool = True,  # is there a microphone?
        allowed: bool = True,  # may the page use it?
        host: str = "127.0.0.1",
        place: str = "",
        expect_complaint: str = "",
        ready: str = "#live .lane",
        prepare: Callable[[Page], Any] = lambda page: None,
        **context: Any,
    ) -> Page:
        browser = launch(FAKE, f"--use-file-for-fake-audio-capture={wav or tones}") if device else launch()
        browsing = browser.new_context(permissions=["microphone"] if allowed else [], **context)
        stack.callback(browsing.close)
        page = browsing.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: complaints.append(_told(message)) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(f"{error} {error.stack}"))
        if expect_complaint:
            expected.append(expect_complaint)
        prepare(page)
        page.goto(server.url.replace("127.0.0.1", host) + place)
        expect(page.locator(ready).first).to_be_visible()
        return page

    expect.set_options(timeout=PATIENCE_MS)
    with stack:
        yield opened
    unexpected = [line for line in complaints if not any(re.search(pattern, line) for pattern in expected)]
    assert not unexpected, unexpected


def _told(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text} ({message.location.get('url', '')})"


class Wire:
    """Everything that went over the page's WebSockets."""

    def __init__(self, page: Page | None = None) -> None:
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        if page is not None:
            page.on("websocket", self.follow)

    def follow(self, socket: Any) -> None:
        self._newest = socket
        socket.on("framesent", lambda data: self.sent.append(data))
        socket.on("framereceived", lambda data: self.received.append(data))

    def until(self, type: str) -> Any:
        """A context that ends once a message of that type has come."""
        return self._newest.expect_event("framereceived", lambda data: f'"type":"{type}"' in str(data))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.received if isinstance(data, str)]

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.sent if isinstance(data, str)]

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == type]

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


def stopped(page: Page) -> None:
    listen(page)  # the same button stops
    expect(page.locator("#link")).to_have_text("Not connected")


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


def check_same_events(server: LiveServer, wire: Wire, model: str = "main") -> None:
    """The page and an upload get the same events for the samples that the page sent."""
    rate = wire.asked[0]["audio"]["sample_rate"]
    assert finals(wire.of("event"))
    uploaded = []
    for first_sample, pcm in wire.stretches():
        file = ("page.wav", float_wav(pcm, rate))
        answer = httpx.post(f"{server.url}/v1/classify?model={model}", files={"file": file})
        assert answer.status_code == 200
        uploaded += finals(answer.json()["events"], first_sample)
    assert sorted(uploaded) == finals(wire.of("event"))


def check_same_stream(server: LiveServer, wire: Wire) -> None:
    """A plain client of the stream that sends what the page sent gets the same events, updates and all."""
    with connect(f"{server.ws}/v1/stream", max_size=None) as ws:
        for data in wire.sent:
            ws.send(data)
        assert bare(until(ws, "summary")) == bare(wire.of("event"))


def check_accessible(page: Page, what: str) -> None:
    """axe finds nothing to mend, in either theme. The page was opened with `bypass_csp` and reduced motion."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        violations = Axe().run(page).response["violations"]
        told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations]
        assert told == [], f"{what}, {scheme}: {told}"


def colours(page: Page, selector: str) -> int:
    """How many different colours stand on a canvas."""
    return page.evaluate(
        """selector => {
            const shown = document.querySelector(selector)
            const copy = new OffscreenCanvas(shown.width, shown.height).getContext('2d', { willReadFrequently: true })
            copy.drawImage(shown, 0, 0)
            const { data } = copy.getImageData(0, 0, shown.width, shown.height)
            return new Set(new Uint32Array(data.buffer)).size
        }""",
        selector,
    )
