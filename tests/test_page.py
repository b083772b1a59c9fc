"""The page in real Chromium, against the real server: what a musician sees, and that it is what the server heard."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser import (
    Open,
    Wire,
    check_accessible,
    check_same_events,
    check_same_stream,
    colours,
    finals,
    listen,
    sounding,
    stopped,
)
from tests.live_server import LiveServer, live_server
from tests.synth import render


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
    stopped(page)
    assert wire.messages[-1]["type"] == "summary"
    check_same_events(server, wire)
    check_same_stream(server, wire)


def test_the_shipped_model_hears_an_instrument_through_the_page(
    orchestra_server: LiveServer, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(orchestra_server, wav=render(tmp_path / "flute.wav", "flute", [72, 76, 79, 84], note_s=0.8))
    wire = Wire(page)
    listen(page)
    expect(page.locator(".stage-names li").first).to_be_visible()
    expect(page.locator('.log-list [data-phase="offset"]').first).to_be_visible()
    stopped(page)
    check_same_events(orchestra_server, wire)


def test_every_picture_shows_the_sound(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    listen(page)
    sounding(page, "high")
    assert colours(page, ".spectrogram canvas") > 20
    for picture in ("samples", "envelope", "spikes"):
        assert colours(page, f"#live .{picture} canvas") > 2, picture
    assert colours(page, '.lane[data-label="high"] canvas') > 3
    expect(page.locator('.lane[data-label="high"] .lane-score')).to_contain_text("%")
    page.get_by_role("radio", name="linear").check()
    expect(page.locator(".spectrogram .axis")).to_contain_text("7 kHz")
    assert colours(page, ".spectrogram canvas") > 20


def test_a_neuron_is_picked_on_the_raster_and_tells_what_it_hears(server: LiveServer, open_page: Open) -> None:
    page = open_page(server, expect_complaint="404")
    listen(page)
    sounding(page, "low")
    page.locator("#live .spikes canvas").click(position={"x": 50, "y": 30})
    expect(page.locator(".neuron-text")).to_contain_text("best; works")
    expect(page.locator(".neuron .figure")).to_contain_text("/s")
    expect(page.locator(".neuron-field")).to_be_visible()
    number = page.get_by_label("Number")
    number.fill("0")
    number.press("Enter")
    expect(page.locator(".neuron-text")).to_contain_text("cochlea, neuron 0.")
    number.fill("99999")
    number.press("Enter")
    expect(page.locator("#notice")).to_contain_text("no neuron '99999'")


def test_a_threshold_is_moved_under_its_lane_and_the_engine_uses_it_at_once(
    server: LiveServer, open_page: Open
) -> None:
    page = open_page(server)
    wire = Wire(page)
    listen(page)
    sounding(page, "low")
    name = page.get_by_role("button", name="low", exact=True)
    filled = name.evaluate("button => { button.click(); return document.querySelector('#tune-low input').value }")
    assert filled == "0.7"  # at once: somebody quick moves what is there
    name.press("Enter")
    expect(name).to_have_attribute("aria-expanded", "false")
    name.press("Enter")
    on = page.get_by_label("low on from")
    with wire.until("configured"):
        on.press("ArrowLeft")
    expect(page.locator("#tune-low .tuning-note")).to_have_text("")
    page.get_by_label("listen for low").uncheck()
    expect(page.locator('.lane[data-label="low"]')).to_have_attribute("data-off", "true")
    expect(page.locator('.stage-names [data-label="low"]')).to_have_count(0)
    sounding(page, "high")
    told = wire.of("configured")
    assert told[0]["detect"]["thresholds"]["low"] == {"on": 0.69, "off": 0.4}
    assert told[-1]["detect"]["labels"] == ["high"]
    page.get_by_label("listen for low").check()
    page.get_by_role("button", name="The model’s own").click()
    sounding(page, "low")
    expect(page.locator("#tune-low .tuning-note")).to_have_text("")
    stopped(page)
    told = wire.of("configured")
    assert told[-1]["detect"] == wire.of("started")[0]["effective"]["detect"]


def test_families_and_pictures_fold_and_stay_folded(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    lanes = page.locator("#live .lane")
    expect(lanes).to_have_count(2)
    family = page.locator(".family button").first
    family.press("Enter")
    expect(family).to_have_attribute("aria-expanded", "false")
    expect(family).to_be_focused()
    expect(lanes).to_have_count(0)
    page.get_by_role("button", name="spikes").click()
    expect(page.locator(".spikes canvas")).to_be_hidden()
    page.reload()
    expect(family).to_have_attribute("aria-expanded", "false")
    expect(lanes).to_have_count(0)
    expect(page.locator(".spikes canvas")).to_be_hidden()


class Cable:
    """Between page and server: everything goes through, until the cable is cut."""

    def __init__(self, page: Page) -> None:
        self.wire = Wire()
        self.ends: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        page.route_web_socket("**/v1/stream", self._route)

    def _route(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()
        self.ends.append((page, server))

        def up(data: str | bytes) -> None:
            self.wire.sent.append(data)
            server.send(data)

        def down(data: str | bytes) -> None:
            self.wire.received.append(data)
            page.send(data)

        page.on_message(up)
        server.on_message(down)

    def cut(self) -> None:
        page, server = self.ends[-1]
        server.close(code=3001, reason="the cable was cut")
        page.close(code=3001, reason="the cable was cut")


def test_a_lost_connection_loses_no_sound_and_no_event(server: LiveServer, open_page: Open) -> None:
    cables: list[Cable] = []
    # what the page sends while the cable breaks, Chromium complains of on a busy machine
    page = open_page(server, expect_complaint="CLOSING or CLOSED", prepare=lambda page: cables.append(Cable(page)))
    (cable,) = cables
    listen(page)
    sounding(page, "low")
    cable.cut()
    expect(page.locator("#link")).to_contain_text(re.compile("Connection lost|Connecting again"))
    expect(page.locator("#link")).to_contain_text("Connected")
    sounding(page, "high")
    expect(page.locator('.log-list [data-label="high"][data-phase="offset"]').first).to_be_visible()
    expect(page.locator("#dropped")).to_have_text("Nothing lost")
    stopped(page)
    wire = cable.wire
    assert len(cable.ends) == 2
    assert len(wire.of("resumed")) == 1
    assert len(wire.of("started")) == 1
    assert wire.of("gap") == []
    check_same_events(server, wire)
    assert len(finals(wire.of("event"))) >= 2


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
        stopped(page)


def test_another_device_takes_the_place_of_one_that_goes_in_the_same_session(
    server: LiveServer, open_page: Open
) -> None:
    spy = """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
        navigator.mediaDevices.getUserMedia = async (wanted) => (window.media = await ask(wanted))"""
    page = open_page(server, prepare=lambda page: page.add_init_script(spy))
    wire = Wire(page)
    listen(page)
    sounding(page, "low")
    page.evaluate("() => { const [track] = media.getTracks(); track.stop(); track.dispatchEvent(new Event('ended')) }")
    expect(page.locator("#notice")).to_contain_text("is gone: listening with")
    sounding(page, "high")
    stopped(page)
    assert len(wire.of("started")) == 1
    gaps = {(gap["where"], gap["reason"]) for gap in wire.of("gap")}  # a busy machine makes more than one
    assert gaps == {("network", "discontinuity")}


@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_the_microphone_is_heard_at_the_rate_that_the_device_has(
    server: LiveServer, open_page: Open, rate: int
) -> None:
    device = f"""const Device = AudioContext
        window.AudioContext = class extends Device {{ constructor() {{ super({{ sampleRate: {rate} }}) }} }}"""
    page = open_page(server, prepare=lambda page: page.add_init_script(device))
    wire = Wire(page)
    listen(page)
    sounding(page, "low")
    stopped(page)
    assert wire.asked[0]["audio"]["sample_rate"] == rate
    pcm = b"".join(pcm for _, pcm in wire.stretches())
    assert len(pcm) // 4 <= wire.of("summary")[0]["audio_ms"] * rate / 1000 + 1


def test_a_night_in_which_the_laptop_slept_is_a_gap(server: LiveServer, open_page: Open) -> None:
    asleep = """const Node = AudioWorkletNode
        window.AudioWorkletNode = class extends Node {
            constructor(...given) {
                super(...given)
                let chunks = 0 // from the 40th on, the wall clock is a minute ahead of the audio clock
                this.port.addEventListener('message', ({ data }) => (data.wallMs += chunks++ > 40 ? 60000 : 0))
            }
        }"""
    page = open_page(server, prepare=lambda page: page.add_init_script(asleep))
    wire = Wire(page)
    listen(page)
    sounding(page, "low")
    expect(page.locator("#dropped")).to_contain_text("1 gap")
    stopped(page)
    (gap,) = wire.of("gap")
    assert gap["samples"] == pytest.approx(60 * wire.asked[0]["audio"]["sample_rate"], rel=0.02)


def test_a_microphone_that_is_denied_or_missing_is_a_sentence(server: LiveServer, open_page: Open) -> None:
    denied = open_page(server, allowed=False)
    listen(denied)
    expect(denied.locator("#notice")).to_contain_text("may not use the microphone")
    missing = open_page(server, device=False)
    listen(missing)
    expect(missing.locator("#notice")).to_contain_text("no microphone")
    expect(missing.locator("#listen")).to_be_enabled()


def test_a_page_from_plain_http_says_why_it_has_no_microphone(server: LiveServer, open_page: Open) -> None:
    answer = {"sources": [], "devices": [], "problem": None}
    page = open_page(
        server,
        host="stage.test",
        allowed=False,
        prepare=lambda page: page.route("**/v1/sources", lambda route: route.fulfill(json=answer)),
    )
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
        stopped(page)
        assert wire.messages[-1]["type"] == "summary"
        page.set_input_files("#file", tones)
        expect(page.locator("#timeline .lane")).to_have_count(2)
        page.goto(server.url)
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


def test_axe_finds_nothing_to_mend(server: LiveServer, open_page: Open, tones: Path) -> None:
    page = open_page(server, bypass_csp=True, reduced_motion="reduce")
    listen(page)
    sounding(page, "low")
    page.get_by_role("button", name="low", exact=True).click()
    check_accessible(page, "now")
    stopped(page)
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)
    check_accessible(page, "files")
    page.locator('.places a[href="#sources"]').click()
    check_accessible(page, "sources")


def test_the_whole_page_is_small_and_painted_at_once(server: LiveServer, open_page: Open) -> None:
    page = open_page(server)
    loaded: list[dict[str, Any]] = page.evaluate(
        """() => performance.getEntries().filter((entry) => entry.encodedBodySize !== undefined)
            .map(({ name, encodedBodySize }) => ({ name, bytes: encodedBodySize }))"""
    )
    web = [one for one in loaded if "/v1/" not in one["name"]]
    assert len(web) > 30
    assert {one["name"].split("/")[2] for one in web} == {server.url.split("/")[2]}  # nothing from other hosts
    assert sum(one["bytes"] for one in web) < 150_000


@pytest.mark.parametrize("width", [360, 820])
def test_nothing_is_wider_than_the_screen(server: LiveServer, open_page: Open, tones: Path, width: int) -> None:
    page = open_page(server, viewport={"width": width, "height": 740})
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.set_input_files("#file", tones)
    expect(page.locator("#timeline .lane")).to_have_count(2)
    assert page.evaluate(fits)
    page.locator('.places a[href="#sources"]').click()
    assert page.evaluate(fits)
