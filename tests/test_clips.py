"""Clips hold the sound that they say, to the sample: in any chunking, across gaps, within their bounds of memory."""

import io
import logging
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.past import corrected, flac
from server.past.clips import Clips
from server.past.reel import Cut, Reel
from server.past.tables import clips
from server.past.writer import Write
from tests.live_server import LiveServer, eventually, live_server, send, streaming, until
from tests.past_rows import final, summary
from tests.synth import pcm16, silence, tone

RATE = 1_000  # of the reels of these tests: a sample is a millisecond


def reel(cuts: list[Cut], given_up: Any = lambda: None, **limits: float) -> Reel:
    return Reel(RATE, cuts.append, given_up, **{"pre_s": 0.5, "post_s": 0.25, "max_s": 4.0, **limits})


def onset(number: int, sample: int) -> dict[str, Any]:
    return final(number, "onset", onset_sample=sample)


def offset(number: int, onset_sample: int, sample: int, phase: str = "offset") -> dict[str, Any]:
    return final(number, phase, onset_sample=onset_sample, offset_sample=sample)


def noise(samples: int, seed: int = 1) -> NDArray[np.float32]:
    """Every sample another one, on the grid of 16 bits."""
    ints = np.random.default_rng(seed).permutation(60_000)[:samples] - 30_000
    return (ints / 32768).astype(np.float32)


NOISE = noise(50_000)
PIECES = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 700)), min_size=1, max_size=30)  # heard, lost before it


@settings(deadline=None, max_examples=50)
@given(PIECES, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 600)), max_size=6))
def test_sample_k_of_a_clip_is_sample_first_plus_k_of_the_session(
    pieces: list[tuple[int, int]], played: list[tuple[float, float, int]]
) -> None:
    """Whatever is lost, however it is cut into chunks, whenever it is decided, also for events at the same time."""
    pieces[0] = (pieces[0][0], 0)
    total = sum(heard + lost for heard, lost in pieces)
    clock = np.zeros(total, np.int16)  # silence where samples were lost
    sound = NOISE[:total]
    cuts: list[Cut] = []
    recorded = reel(cuts)
    events = []
    for number, (begin, length, late) in enumerate(played):
        first = round(begin * (total - 1))
        last = min(first + 1 + round(length * 3000), total)
        events.append((number, first, last, min(first + late // 2, total), min(last + late, total)))
    told: set[tuple[int, str]] = set()
    at = 0

    def tell() -> None:
        for number, first, last, known, over in events:
            if known <= at and (number, "onset") not in told:
                recorded.told(onset(number, first))
                told.add((number, "onset"))
            if over <= at and (number, "offset") not in told:
                recorded.told(offset(number, first, last))
                told.add((number, "offset"))

    for heard, lost in pieces:
        at += lost
        tell()
        chunk = sound[at : at + heard]
        clock[at : at + heard] = np.round(chunk * 32768).astype(np.int16)
        recorded.heard(at, chunk)
        at += heard
        tell()
    recorded.told(summary())
    assert len(cuts) == len(events)
    for cut in cuts:
        number = int(cut.event["event_id"], 32)
        _, first, last, _, _ = events[number]
        assert np.array_equal(cut.samples(), clock[cut.first : cut.end])
        assert cut.end == min(last + 250, cut.first + 4000, total)
        assert cut.first == max(0, first - 500)


def test_a_clip_is_cut_only_once_its_tail_exists() -> None:
    cuts: list[Cut] = []
    recorded = reel(cuts)
    sound = noise(3000)
    recorded.heard(0, sound[:1000])
    recorded.told(onset(1, 900))
    recorded.heard(1000, sound[1000:2000])
    recorded.told(offset(1, 900, 1800))
    assert cuts == []  # up to 2050
    recorded.heard(2000, sound[2000:2049])
    assert cuts == []
    recorded.heard(2049, sound[2049:2050])
    assert [(cut.first, cut.end) for cut in cuts] == [(400, 2050)]


def test_what_is_taken_back_gets_no_clip() -> None:
    cuts: list[Cut] = []
    recorded = reel(cuts)
    recorded.heard(0, noise(1000))
    recorded.told(onset(1, 900))
    recorded.told(offset(1, 900, 950, phase="retract"))
    recorded.heard(1000, noise(1000))
    recorded.told(summary())
    assert cuts == []


def test_memory_is_a_few_seconds_without_events_and_bounded_with_endless_ones() -> None:
    cuts: list[Cut] = []
    given_up = threading.Semaphore(0)
    recorded = reel(cuts, given_up.release)
    most = 0
    for at in range(0, 1_000_000, 500):
        recorded.heard(at, np.zeros(500, np.float32))
        most = max(most, recorded.kept)
    assert most <= 6_000
    for number in range(100):  # none of them ever ends
        at = 1_000_000 + number * 5_000
        recorded.told(onset(number, at))
        for more in range(0, 5_000, 500):
            recorded.heard(at + more, np.zeros(500, np.float32))
        assert recorded.kept <= 181_000
    assert given_up.acquire(blocking=False)
    recorded.told(summary())
    assert (recorded.kept, cuts) == (0, [])


def test_a_long_note_keeps_its_beginning_however_long_it_lasts() -> None:
    cuts: list[Cut] = []
    recorded = reel(cuts)
    sound = noise(20_000)
    recorded.heard(0, sound[:1000])
    recorded.told(onset(1, 600))
    for at in range(1000, 20_000, 1000):
        recorded.heard(at, sound[at : at + 1000])
    for at in range(20_000, 600_000, 1000):
        recorded.heard(at, np.zeros(1000, np.float32))
        assert recorded.kept < 11_000
    recorded.told(offset(1, 600, 599_000))
    assert np.array_equal(cuts[0].samples(), np.round(sound[100:4100] * 32768).astype(np.int16))


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 96_001, 192_000])
def test_a_file_holds_the_very_samples_and_what_they_are(tmp_path: Path, rate: int) -> None:
    samples = np.random.default_rng(1).integers(-32_768, 32_768, rate // 4).astype(np.int16)
    samples[:2] = -32_768, 32_767
    size = flac.write(tmp_path / "below" / "a.flac", samples, rate, {"TITLE": "Violin d'amore, é"})
    found, found_rate = soundfile.read(tmp_path / "below" / "a.flac", dtype="int16")
    assert (found_rate, (tmp_path / "below" / "a.flac").stat().st_size) == (rate, size)
    assert np.array_equal(found, samples)
    with soundfile.SoundFile(tmp_path / "below" / "a.flac") as file:
        assert file.title == "Violin d'amore, é"
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["a.flac"]


def clipping(root: Path, kept: list[Write]) -> Clips:
    return Clips(root, "all", kept.append, pre_s=0.5, post_s=0.25, max_s=4.0)


def test_a_disk_that_takes_no_clip_is_told_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spiccato.history")
    (tmp_path / "clips").write_text("a file where a folder should be")
    kept: list[Write] = []
    clipped = clipping(tmp_path / "clips", kept)
    recorded = clipped.of_session(RATE * 8, True)
    assert recorded is not None
    for number in range(3):
        recorded.told(onset(number, 0))
        recorded.heard(number * 4000, noise(4000))
        recorded.told(offset(number, 0, 100))
    eventually(lambda: clipped.dropped["disk"] == 3)
    assert clipped.problem is not None
    assert caplog.text.count("clips cannot be written") == 1
    (tmp_path / "clips").unlink()
    recorded.told(onset(4, 0))
    recorded.told(offset(4, 0, 100))
    clipped.close()
    assert (clipped.problem, clipped.written) == (None, 1)
    assert [write.table for write in kept] == [clips]
    assert caplog.text.count("clips are written again") == 1


def test_clips_that_wait_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clipped = clipping(tmp_path, [])
    gate = threading.Event()
    clipped._thread.submit(gate.wait)
    blocks = [(0, np.zeros(1, np.int16))]
    for number in range(5):
        clipped._cut(Cut(final(number), 48_000, 0, 10_000_000, blocks))  # 20 MB each
    assert clipped.dropped["queue"] == 2
    assert caplog.text.count("the next are dropped") == 1
    clipped._thread._work_queue.get()  # not to be written in a test
    clipped._thread._work_queue.get()
    clipped._thread._work_queue.get()
    gate.set()
    clipped.close()


@pytest.mark.parametrize(
    ("scope", "source", "session"), [("off", False, False), ("sources", True, False), ("all", True, True)]
)
def test_whose_sound_is_kept(tmp_path: Path, scope: Any, source: bool, session: bool) -> None:
    clipped = Clips(tmp_path, scope, lambda write: None, pre_s=1, post_s=1, max_s=10)
    assert (clipped.of_source(8000, True) is not None) == source
    assert (clipped.of_session(8000, True) is not None) == session
    assert clipped.of_session(8000, False) is None  # a file
    clipped.close()


@pytest.fixture(scope="module")
def clipped(toy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    state = tmp_path_factory.mktemp("state")
    settings = {"history": str(state / "h.sqlite"), "clips": "all", "clips_dir": state / "clips", "clips_pre_s": 0.5}
    with live_server(model=toy_path, **settings) as running:
        yield running


def clip_of(server: LiveServer, event: str) -> tuple[dict[str, Any], NDArray[np.int16], int]:
    """What the history says of a clip, and the clip."""
    address = f"{server.url}/v1/history/{event}"

    def there() -> bool:
        found = httpx.get(address)
        return found.status_code == 200 and found.json()["clip"] is not None

    eventually(there)
    answer = httpx.get(f"{server.url}/v1/clips/{event}.flac")
    assert answer.headers["content-type"] == "audio/flac"
    samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    return httpx.get(address).json(), samples, rate


@pytest.mark.parametrize("gap", [0, 1_234])
def test_a_marker_lies_at_its_sample_in_the_clip_across_a_gap_too(clipped: LiveServer, gap: int) -> None:
    """A tone with one marked sample in it, before and after the gap, heard through the real service."""
    before, after = tone(200, 1.0), tone(200, 1.0)
    before[5_000] = after[7_000] = 0.999
    first = np.concatenate([silence(0.75), before])
    second = np.concatenate([after, silence(1.5)])
    with streaming(clipped) as ws:
        for at in range(0, len(first), 777):
            ws.send(pcm16(first[at : at + 777]))
        if gap:
            send(ws, "gap", samples=gap, reason="capture_overflow")
        for at in range(0, len(second), 777):
            ws.send(pcm16(second[at : at + 777]))
        send(ws, "stop")
        said = until(ws, "summary")
    ended = [m["event_id"] for m in said if m["type"] == "event" and m["phase"] == "offset"]
    assert len(ended) == (2 if gap else 1)
    clock = np.concatenate([np.frombuffer(pcm16(p), "<i2") for p in (first, np.zeros(gap, np.float32), second)])
    markers = {12_000 + 5_000, len(first) + gap + 7_000}
    seen = set()
    for one in ended:
        told, samples, rate = clip_of(clipped, one)
        begin = told["clip"]["first_sample"]
        assert rate == 16_000
        assert len(samples) == told["clip"]["samples"]
        assert begin == told["onset_sample"] - 8_000
        assert np.array_equal(samples, clock[begin : begin + len(samples)])
        assert begin + len(samples) >= told["offset_sample"] + 16_000 or begin + len(samples) == len(clock)
        seen |= {int(at) + begin for at in np.flatnonzero(samples > 32_000)}
    assert seen == markers


def test_a_part_of_a_clip_can_be_asked_for(clipped: LiveServer) -> None:
    with streaming(clipped) as ws:
        ws.send(pcm16(np.concatenate([silence(0.5), tone(4000, 1.0), silence(0.5)])))
        send(ws, "stop")
        event = next(m["event_id"] for m in until(ws, "summary") if m["type"] == "event")
    told, _, _ = clip_of(clipped, event)
    address = f"{clipped.url}/v1/clips/{event}.flac"
    whole = httpx.get(address).content
    assert len(whole) == told["clip"]["bytes"]
    part = httpx.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert httpx.get(address, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_the_interval_of_an_event_is_the_clips_part_of_it_and_nothing_else(tmp_path: Path) -> None:
    clip = tmp_path / "clip.flac"
    sound = np.arange(1000, dtype=np.int16)
    flac.write(clip, sound, 16_000, {})

    def part(onset: int, offset: int) -> NDArray[np.int16] | None:
        event = {"clip": {"first_sample": 5000}, "onset_sample": onset, "offset_sample": offset}
        return corrected.interval(event, clip)

    for onset, offset, expected in ((5100, 5300, sound[100:300]), (4900, 5050, sound[:50]), (5900, 7000, sound[900:])):
        found = part(onset, offset)
        assert found is not None
        np.testing.assert_array_equal(found, expected)
    assert part(4000, 4900) is None  # the clip begins after the event
    assert part(6000, 6100) is None
    clip.write_bytes(b"fLaC" + bytes(40))
    assert part(5100, 5300) is None
