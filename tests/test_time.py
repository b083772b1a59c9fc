"""Times that people can trust: clocks that are set, summer time, and devices whose clock runs fast or slow."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.weights import Model
from server import drift
from server.drift import Drift
from server.past.query import iso
from server.past.records import Records, epoch_ms, local_zone_min
from tests.synth import low_high, pcm16, silence, tone
from tests.test_session import RATE, Client
from tests.toy import toy_model

SONG = pcm16(low_high())
SONG_S = 3.5


def spans(events: list[dict[str, Any]]) -> list[tuple[str, int, int | None, float]]:
    """What a clock may not change: label, samples, and how long after the first onset."""
    first = datetime.fromisoformat(events[0]["utc_onset"])
    after = [(datetime.fromisoformat(e["utc_onset"]) - first).total_seconds() for e in events]
    return [(e["label"], e["onset_sample"], e["offset_sample"], s) for e, s in zip(events, after, strict=True)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-7200, 7200), min_size=1, max_size=20), st.sampled_from([640, 6400, 33_000]))
def test_whatever_is_done_to_the_clock_no_event_moves_within_a_stretch(steps: list[float], chunk: int) -> None:
    """Set back by an hour in the middle of a note, for example."""
    toy = toy_model()
    calm, shaken = Client(toy), Client(toy)
    calm.hear(SONG, chunk)
    offset_s = 0.0
    right = shaken.clock.utc
    shaken.session.stream.hearing._utc = lambda: right() + offset_s  # type: ignore[union-attr]
    size = max(2, len(SONG) // len(steps) // 2 * 2)
    pieces = [SONG[at : at + size] for at in range(0, len(SONG), size)]
    for number, piece in enumerate(pieces):
        shaken.hear(piece, chunk)
        offset_s += steps[number % len(steps)]
    assert spans(shaken.of("event")) == spans(calm.of("event"))


def test_after_a_gap_utc_is_what_the_clock_says_then(toy: Model) -> None:
    client = Client(toy)
    client.hear(SONG)
    right = client.clock.utc
    client.session.stream.hearing._utc = lambda: right() + 3600.0  # type: ignore[union-attr]
    client.send("gap", samples=RATE)
    client.clock.now += 1.0
    client.hear(SONG)
    onsets = [e for e in client.of("event") if e["phase"] == "onset"]
    times = [datetime.fromisoformat(e["utc_onset"]) for e in onsets]
    assert (times[2] - times[0]) == timedelta(hours=1, seconds=SONG_S + 1)
    assert onsets[2]["onset_sample"] - onsets[0]["onset_sample"] == (SONG_S + 1) * RATE


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [("2026-03-29T01:00:00Z", "+01:00", "+02:00"), ("2026-10-25T01:00:00Z", "+02:00", "+01:00")],
)
@pytest.mark.usefixtures("berlin")
def test_summer_time_begins_and_ends_in_a_note_without_moving_it(
    toy: Model, change: str, before: str, after: str
) -> None:
    """The night's first note lies on the change, its second one after it."""
    client = Client(toy)
    at = epoch_ms(change) / 1000 - 1.0
    client.session.stream.hearing._utc = lambda: at + client.clock.now - 1_000.0  # type: ignore[union-attr]
    client.session.stream.hearing._anchor_s = None  # type: ignore[union-attr]
    client.hear(SONG)
    client.send("stop")
    records = Records()
    said = [m for m in client.told if isinstance(m, dict)]
    rows = [write.row for message in said for write in records.of("stage", message) if write.table.name == "events"]
    assert [row["duration_ms"] for row in rows] == [1200.0, 1110.0]
    low, high = (iso(row["onset_utc"], row["zone_min"]) for row in rows)
    assert (low[-6:], high[-6:]) == (before, after)
    assert (datetime.fromisoformat(high) - datetime.fromisoformat(low)).total_seconds() == pytest.approx(1.53)
    assert local_zone_min(rows[1]["onset_utc"]) == rows[1]["zone_min"]


@pytest.mark.parametrize("ppm", [-300, -20, 100])
def test_a_device_whose_clock_runs_wrong_stays_right_for_a_day(ppm: float) -> None:
    """Blocks come up to 60 ms late, now and then a second; so does the first, which is corrected after a minute."""
    random, rate = Random(ppm), 48_000
    found, anchor_s = Drift(rate), 0.0
    steps = []
    for second in range(1, 24 * 3600):
        sample = round(second * rate * (1 + ppm * 1e-6))
        late_s = random.random() * 0.06 + (1.0 if second % 100 == 1 else 0.0)
        if second == 1:
            anchor_s = late_s
        if step := found.feed(sample, 5_000.0 + second + late_s):
            steps.append(step)
            anchor_s += step
        if second > 70:
            assert abs(anchor_s + sample / rate - second) < 0.08, second
    assert max(map(abs, steps[1:]), default=0.0) < 0.08


def test_without_drift_nothing_is_corrected() -> None:
    random = Random(1)
    found = Drift(16_000)
    assert all(found.feed(n * 320, 7.0 + n * 0.02 + random.random() * 0.015) == 0.0 for n in range(30_000))


def test_utc_is_corrected_while_no_label_is_open_and_never_in_a_note(
    toy: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device 1 % too slow: after each song its UTC would be 35 ms further behind."""
    monkeypatch.setattr(drift, "WINDOW_S", 1.0)
    client = Client(toy, source={"name": "cheap", "kind": "microphone"})
    for _ in range(20):
        for at in range(0, len(SONG), 640):
            client.clock.now += 0.0202
            client.keep(client.session.audio(SONG[at : at + 640], client.clock.now))
    events = client.of("event")
    onsets = [e for e in events if e["phase"] == "onset" and e["label"] == "low"]
    times = [datetime.fromisoformat(e["utc_onset"]) for e in onsets]
    true_s = SONG_S * 1.01
    for number, (one, other) in enumerate(pairwise(times)):
        assert abs((other - one).total_seconds() - true_s) < 0.06, number
    assert abs((times[-1] - times[0]).total_seconds() - 19 * true_s) < 0.06  # 0.66 s without


def test_in_a_note_utc_stands_still_however_wrong_it_is(toy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "WINDOW_S", 0.5)
    client = Client(toy, source={"name": "cheap", "kind": "microphone"})
    hearing = client.session.stream.hearing  # type: ignore[union-attr]
    pcm = pcm16(np.concatenate([tone(200, 4.0), silence(1.0)]))
    seen = set()
    for at in range(0, len(pcm), 640):
        client.clock.now += 0.0206
        client.keep(client.session.audio(pcm[at : at + 640], client.clock.now))
        if hearing.open_labels:
            seen.add(hearing.utc(0))
    assert len(seen) == 1
    assert hearing.utc(0) > seen.pop()  # and then it is corrected
