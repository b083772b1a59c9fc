"""The page and the engine behind it: what is shown is what the engine uses, of one model or of two, for hours."""

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from engine.weights import Model, save
from server.source import EMIT
from tests.browser import (
    Open,
    Wire,
    check_accessible,
    check_same_events,
    check_same_stream,
    colours,
    listen,
    sounding,
    stopped,
)
from tests.live_server import LiveServer, live_server, send, streaming
from tests.synth import low_high, pcm16

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000


def is_text(data: str | bytes) -> bool:
    return isinstance(data, str)


def wires_of(page: Page, wires: list[Wire]) -> None:
    """One for each WebSocket that the page opens."""

    def follow(socket: object) -> None:
        wires.append(Wire())
        wires[-1].follow(socket)

    page.on("websocket", follow)


def test_two_models_are_compared_on_the_same_samples(
    toy: Model, toy_path: Path, open_page: Open, tmp_path: Path
) -> None:
    (layer,) = toy.layers
    swapped = replace(layer, weight=layer.weight[:, ::-1].copy())
    other = replace(toy, name="other", labels=("high", "low"), layers=(swapped,), on=(0.8, 0.999999999))
    save(other, tmp_path / "other.safetensors")
    history = str(tmp_path / "history.sqlite")
    with live_server(model=toy_path, compare_model=tmp_path / "other.safetensors", history=history) as server:
        wires: list[Wire] = []
        page = open_page(server, bypass_csp=True, reduced_motion="reduce", prepare=lambda page: wires_of(page, wires))
        page.get_by_label("compare").check()
        listen(page)
        sounding(page, "low")
        apart = page.locator('#live .lane[data-label="low"]')
        expect(apart).to_have_attribute("data-apart", "true")
        expect(page.locator(".versus p")).to_have_text("above toy 0.0.1, below other 0.0.1: low only above")
        expect(page.locator(".versus .figure")).to_contain_text("≠")
        sounding(page, "high")
        expect(page.locator('#live .lane[data-label="high"]')).to_have_attribute("data-apart", "false")
        assert colours(page, '.lane[data-label="high"] .twin') > 2
        check_accessible(page, "compared")
        expect(page.locator('.log-list [data-label="high"][data-phase="offset"]').first).to_be_visible()
        stopped(page)
        first, second = wires
        assert first.stretches() == second.stretches()  # the same samples under the same indices
        assert [wire.of("started")[0]["model"]["name"] for wire in wires] == ["toy", "other"]
        check_same_events(server, first)
        check_same_events(server, second, model="compare")
        for wire in wires:
            check_same_stream(server, wire)
        assert {event["label"] for event in second.of("event")} == {"high"}
        kept = httpx.get(f"{server.url}/v1/history").json()["events"]
        assert {event["model"] for event in kept} == {"toy@0.0.1"}


def test_the_pictures_show_a_tone_of_known_form_as_it_is(orchestra_server: LiveServer, tmp_path: Path) -> None:
    """Attack 0.1 s to -6 dBFS, decay 0.15 s to -14, sustain 1 s, release 0.3 s, at 1 kHz, after 0.5 s of silence."""
    form = [(-70.0, 0.5), (-6.0, 0.1), (-14.0, 0.15), (-14.5, 1.0), (-70.0, 0.3), (-100.0, 0.4)]
    ends = np.cumsum([seconds for _, seconds in form])
    t = np.arange(round(ends[-1] * RATE)) / RATE
    db = np.interp(t, [0, *ends], [-70.0, *(level for level, _ in form)])
    emit = {"frames_hz": 100, "wave": True, "linear": True}
    with streaming(orchestra_server, RATE, emit=emit) as ws:
        ws.send(pcm16((10 ** (db / 20) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)))
        send(ws, "stop")
        told = list(ws)
    started = next(message for message in map(json.loads, filter(is_text, told)) if message["type"] == "started")
    frames = [base64.b64encode(data).decode() for data in told if isinstance(data, bytes)]
    (tmp_path / "told.json").write_text(json.dumps({"started": started, "rate": RATE, "frames": frames}))
    script = ROOT / "tests" / "client" / "heard.mjs"
    heard = json.loads(subprocess.run(["node", script, tmp_path / "told.json"], check=True, capture_output=True).stdout)

    assert [letter for letter, _, _ in heard["parts"]] == ["A", "D", "S", "R"]
    for (letter, first, _), begins in zip(heard["parts"], ends, strict=False):
        assert first / 100 == pytest.approx(begins, abs=0.08), letter
    assert heard["attackMs"] == pytest.approx(100, abs=40)
    sustain = slice(100, 160)
    assert heard["peak"][sustain] == pytest.approx([10 ** (-14.25 / 20)] * 60, rel=0.05)
    centres = httpx.get(f"{orchestra_server.url}/v1/info").json()["bands_hz"]
    loudest = {centres[band] for band in heard["mel"][sustain]}
    assert all(900 < hz < 1100 for hz in loudest)
    assert set(heard["linearHz"][sustain]) == {1000.0}
    fine = orchestra_server.service.model.front_end.fine
    assert heard["fine"] == (fine.fibres if fine else 0)


BEHIND = """
    const ask = window.requestAnimationFrame.bind(window)
    let waiting = null // what a browser that shows another tab holds back
    window.requestAnimationFrame = (draw) => (waiting ? waiting.push(draw) : ask(draw))
    window.behind = (hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
        const held = waiting ?? []
        waiting = hidden ? [] : null
        for (const draw of held) requestAnimationFrame(draw)
        document.dispatchEvent(new Event('visibilitychange'))
    }"""


def test_behind_another_tab_it_hears_tells_and_is_whole_when_it_comes_back(server: LiveServer, open_page: Open) -> None:
    page = open_page(server, prepare=lambda page: page.add_init_script(BEHIND))
    wire = Wire(page)
    listen(page)
    sounding(page, "low")
    page.evaluate("behind(true)")
    expect(page).to_have_title("high – Spiccato")
    expect(page.locator("#announcer")).to_contain_text("on.")
    rows = page.locator('.log-list [data-phase="offset"]')
    expect(rows.first).to_be_attached()
    page.evaluate("behind(false)")
    sounding(page, "low")
    assert colours(page, ".spectrogram canvas") > 20
    expect(page.locator("#dropped")).to_have_text("Nothing lost")
    stopped(page)
    expect(page).to_have_title("Spiccato")
    assert wire.of("gap") == []
    check_same_events(server, wire)


HOURS = """
    const real = window.WebSocket
    window.WebSocket = class {
        static OPEN = 1
        readyState = 1
        constructor(url) {
            if (!url.includes('/v1/events')) return new real(url)
            window.socket = this
            setTimeout(() => this.onopen())
        }
        close() {}
    }
    const numbers = (data) => Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)).buffer
    let told = null // one round of what a source says, with frames as buffers
    let round = 0
    /** The source says everything again, `rounds` times, as fast as pictures come; the clock goes on. */
    window.play = async (given, rounds) => {
        told ??= given.map((one) => (typeof one === 'string' ? numbers(one) : one))
        for (const end = round + rounds; round < end; round++) {
            const shift = round * SAMPLES
            for (const one of told) {
                if (one instanceof ArrayBuffer) {
                    const view = new DataView(one)
                    const first = view.getBigUint64(4, true)
                    view.setBigUint64(4, first + BigInt(shift), true)
                    socket.onmessage({ data: one })
                    view.setBigUint64(4, first, true)
                    continue
                }
                if (one.type === 'started' && round > 0) continue
                const at = (name) => (one[name] == null ? {} : { [name]: one[name] + shift })
                const moved = { ...one, ...at('onset_sample'), ...at('offset_sample'), ...at('decided_sample') }
                if (one.event_id) moved.event_id = `${one.event_id} ${round}`
                socket.onmessage({ data: JSON.stringify(moved) })
            }
            if (round % 20 === 0) await new Promise((drawn) => requestAnimationFrame(drawn))
        }
    }"""


def test_after_an_hour_more_the_page_holds_no_more_than_before(server: LiveServer, open_page: Open) -> None:
    sound = low_high()
    with streaming(server, RATE, emit=EMIT) as ws:
        ws.send(pcm16(sound))
        send(ws, "stop")
        said = list(ws)
    texts = [json.loads(data) for data in said if is_text(data)]
    kinds = {"started", "event", "level", "scores", "heartbeat"}
    assert kinds - {"heartbeat"} <= {message["type"] for message in texts}
    given = [data if isinstance(data, bytes) else json.loads(data) for data in said]
    told = [
        base64.b64encode(one).decode() if isinstance(one, bytes) else one
        for one in given
        if isinstance(one, bytes) or one["type"] in kinds
    ]
    answer = {"sources": [{"id": "hall", "name": "Hall", "kind": "microphone", "state": "healthy", "muted": False}]}

    def prepare(page: Page) -> None:
        page.add_init_script(HOURS.replace("SAMPLES", str(len(sound))))
        page.route("**/v1/sources", lambda route: route.fulfill(json={**answer, "devices": [], "problem": None}))

    page = open_page(server, prepare=prepare)
    page.locator("#input").select_option(label="Hall")
    listen(page)
    expect(page.locator("#link")).to_have_text("Connected")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def held() -> tuple[int, int, int]:
        """Bytes on the heap, bytes of buffers, nodes of the document."""
        for _ in range(2):
            devtools.send("HeapProfiler.collectGarbage")
        heap = devtools.send("Runtime.getHeapUsage")
        nodes = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}["Nodes"]
        return heap["usedSize"], heap["backingStorageSize"], int(nodes)

    page.evaluate("([told, rounds]) => play(told, rounds)", [told, 300])  # 17 minutes: the lists are full
    before = held()
    page.evaluate("rounds => play(null, rounds)", 1029)  # an hour more
    after = held()
    expect(page.locator(".log-list li")).to_have_count(100)
    print(f"heap {before[0]} -> {after[0]}, buffers {before[1]} -> {after[1]}, nodes {before[2]} -> {after[2]}")
    assert after[0] - before[0] < 200_000  # a byte for each frame would be 360 000
    assert after[1] - before[1] < 200_000
    assert abs(after[2] - before[2]) < 50
