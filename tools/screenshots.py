"""Make the pictures of the page under docs/: real service, real Chromium, a fake microphone that plays rendered music.

    .venv/bin/python -m tools.screenshots [FOLDER] [--all]

FOLDER is docs/ where nothing is said. `--all` makes every place at three widths in both themes, to be looked at.
Needs what `make test` installs: Chromium, fluidsynth and its soundfont.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import BASE_FLAGS, CHROMIUM, FAKE, RATE
from tests.live_server import LiveServer, live_server
from tests.synth import render, silence, write_wav

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTHS = {"desktop": (1440, 900), "tablet": (820, 1180), "phone": (390, 844)}
PIECE = (  # instrument, pitches, seconds for each note
    ("flute", [72, 76, 79, 84], 0.7),
    ("trumpet", [60, 64, 67, 72], 0.6),
    ("piano", [48, 55, 60, 64, 67, 72], 0.3),
    ("violin", [67, 71, 74, 79], 0.7),
)
SHOWN = {("desktop", "dark"): "now files then", ("desktop", "light"): "now", ("phone", "dark"): "now"}
LISTEN_MS = 16_000


def music(folder: Path) -> Path:
    """One instrument after the other, 48 kHz."""
    parts = []
    for instrument, pitches, note_s in PIECE:
        sound, _ = soundfile.read(render(folder / f"{instrument}.wav", instrument, pitches, note_s), dtype="float32")
        parts += [0.9 * sound[: round((len(pitches) * note_s + 0.4) * RATE)], silence(0.3, RATE)]
    return write_wav(folder / "music.wav", np.concatenate(parts), RATE)


@contextmanager
def page_of(browser: Browser, server: LiveServer, size: str, scheme: str) -> Iterator[Page]:
    width, height = WIDTHS[size]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, permissions=["microphone"], locale="en-GB"
    )
    page.set_default_timeout(60_000)
    page.goto(server.url)
    page.locator("#live .lane").first.wait_for()
    yield page
    page.close()


def now(page: Page) -> None:
    page.locator("#listen").click()
    page.wait_for_timeout(LISTEN_MS)
    page.locator(".stage-names li").first.wait_for()
    if page.locator("#notice button").is_visible():  # a busy machine
        page.locator("#notice button").click()
    page.wait_for_timeout(400)  # what lights up has lit


def files(page: Page, sound: Path) -> None:
    page.set_input_files("#file", sound)
    page.locator(".file-wave").wait_for()
    page.locator(".play").click()
    page.wait_for_timeout(4000)
    page.locator(".play").click()


def then(page: Page) -> None:
    page.goto(f"{page.url.partition('#')[0]}#then")
    page.locator(".then-list button", has_text="clip").first.click()
    page.locator(".then-spectrum").wait_for()
    page.wait_for_timeout(500)


def save(page: Page, path: Path) -> None:
    """WebP, small enough for a repository."""
    Image.open(io.BytesIO(page.screenshot())).save(path, quality=80, method=6)
    print(path, path.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DOCS)
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        sound = music(folder)
        flags = [*BASE_FLAGS, FAKE, f"--use-file-for-fake-audio-capture={sound}"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        with live_server(history=str(folder / "history.sqlite"), clips="all", clips_dir=folder / "clips") as server:
            for size in WIDTHS:
                for scheme in ("dark", "light"):
                    places = "now files then sources" if asked.all else SHOWN.get((size, scheme), "")
                    if not places:
                        continue
                    with page_of(browser, server, size, scheme) as page:
                        for place in places.split():
                            if place == "now":
                                now(page)
                            elif place == "files":
                                files(page, sound)
                            elif place == "then":
                                then(page)
                            else:
                                page.goto(f"{server.url}#{place}")
                                page.wait_for_timeout(500)
                            save(page, asked.folder / f"page-{place}-{size}-{scheme}.webp")
        browser.close()


if __name__ == "__main__":
    main()
