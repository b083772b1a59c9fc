"""What the page costs the browser while it listens: pictures each second, script for one, memory after a while.

    .venv/bin/python -m tests.bench_page [--seconds 60]

Chromium without a GPU, so drawing is slower than on a laptop; the shipped model, all pictures open, 1440 x 900.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from tests.browser import BASE_FLAGS, CHROMIUM, FAKE, RATE
from tests.live_server import live_server
from tests.synth import write_wav

SPY = """() => {
    const ask = window.requestAnimationFrame.bind(window)
    window.spent = []
    window.at = []
    window.requestAnimationFrame = (draw) => ask((now) => {
        const begun = performance.now()
        draw(now)
        spent.push(performance.now() - begun)
        at.push(now)
    })
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, live_server() as server:
        noise = np.random.default_rng(1).normal(0, 0.05, 10 * RATE).astype(np.float32)
        sound = write_wav(Path(folder) / "noise.wav", noise, RATE)
        flags = [*BASE_FLAGS, FAKE, f"--use-file-for-fake-audio-capture={sound}"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, permissions=["microphone"])
        page.goto(server.url)
        page.locator("#live .lane").first.wait_for()
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => [one.name, one.encodedBodySize])")
        ours = [size for name, size in loaded if "/v1/" not in name]
        print(f"first paint after {paint:.0f} ms, {len(ours)} files of {sum(ours) / 1000:.1f} kB in all")
        page.evaluate(SPY)
        page.locator("#listen").click()
        page.wait_for_timeout(15_000)  # the rings are full
        devtools = page.context.new_cdp_session(page)

        def heap() -> int:
            devtools.send("HeapProfiler.collectGarbage")
            return devtools.send("Runtime.getHeapUsage")["usedSize"]

        page.evaluate("spent.length = at.length = 0")
        before = heap()
        page.wait_for_timeout(1000 * seconds)
        after = heap()
        spent, at = (np.array(page.evaluate(name)) for name in ("spent", "at"))
        print(f"{(len(at) - 1) / (at[-1] - at[0]) * 1000:.1f} pictures a second over {seconds} s")
        print(f"script for one: median {np.median(spent):.2f} ms, 95 % below {np.percentile(spent, 95):.2f} ms")
        print(f"memory: {before / 1e6:.2f} MB, {seconds} s later {after / 1e6:.2f} MB")
        browser.close()


if __name__ == "__main__":
    main()
