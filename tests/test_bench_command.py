"""`spiccato bench` against the real service: what it says is what was, and what it cannot do it says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.figures import figures
from client.load import Load, Plan, percentile
from client.notes import notes
from client.scrape import Scrape
from server.inbox import Item
from server.lane import Lane
from server.unison import Seat
from spiccato.cli import app
from tests.bench_service import knee, missed, steady
from tests.live_server import LiveServer, live_server

TOKEN = "a-token-of-24-characters"


def bench(url: str, *options: str) -> tuple[int, str, str]:
    run = CliRunner().invoke(app, ["bench", url, "--seconds", "1", *options])
    return run.exit_code, run.stdout, run.stderr


@pytest.mark.parametrize("framing", ["raw", "framed"])
def test_it_tells_latency_loss_and_what_the_server_used(server: LiveServer, framing: str) -> None:
    options = ["--framed"] if framing == "framed" else []
    code, out, err = bench(server.url, "-n", "3", "--chunk-ms", "40", "--json", *options)
    assert code == 0, err
    told = json.loads(out)
    assert (told["sessions"], told["chunk_ms"], told["framing"], told["failed"]) == (3, 40, framing, 0)
    assert told["lost_frames"] == told["gaps"] == 0
    assert told["answers"] >= 3 * 5
    assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["p99_ms"] <= told["max_ms"]
    assert told["cpu_ms_per_stream_second"] > 0
    assert told["rss_mb"] > 10
    assert told["loop_lag_p99_ms"] > 0


def test_a_person_gets_a_table(server: LiveServer) -> None:
    code, out, _ = bench(server.url, "-n", "1")
    assert code == 0
    for row in ("chunk to answer", "chunk to event", "ping to pong", "real-time factor", "lost", "server: CPU"):
        assert row in out


def test_sound_that_the_server_never_heard_is_lost_and_the_status_says_so(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Lane.take
    chunks = 0

    def deaf(lane: Lane, seat: Seat, data: Item, arrived: float) -> bool:
        nonlocal chunks
        chunks += 1
        return chunks in (30, 31) or whole(lane, seat, data, arrived)

    monkeypatch.setattr(Lane, "take", deaf)
    code, out, _ = bench(server.url, "-n", "1", "--json")
    assert (code, json.loads(out)["lost_frames"]) == (1, 4)


def test_a_service_that_is_full_asks_for_a_token_or_is_not_there_is_told_in_a_sentence(
    toy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_server(model=toy_path, max_sessions=1, token=TOKEN) as server:
        code, _, err = bench(server.url, "-n", "1")
        assert (code, "a token is asked for" in err) == (1, True)
        monkeypatch.setenv("SPICCATO_TOKEN", TOKEN)
        assert bench(server.url, "-n", "1")[0] == 0
        code, _, err = bench(server.url, "-n", "2")
        assert (code, "1 sessions are open: the limit is 1" in err) == (1, True)
        assert TOKEN not in err
    code, _, err = bench(server.url, "-n", "1")
    assert (code, "no Spiccato service answers" in err) == (1, True)


def test_a_latency_is_from_the_chunk_that_the_message_names(server: LiveServer) -> None:
    plan = Plan(server.url, 2, 1.0, warm_s=0.0, emit={"levels_hz": 50})

    async def load() -> Load:
        async with Load(plan, notes(1.0, plan.rate_hz)) as load:
            await load.play()
            await load.end()
        return load

    seen = asyncio.run(load()).seen
    assert len(seen.latencies) - len(seen.events) == 2 * 50  # a level for each chunk
    assert figures(plan, seen)["lost_frames"] == 0


def test_percentiles_and_lag_of_two_scrapes() -> None:
    assert percentile([], 99) is None
    assert [percentile(range(1, 101), p) for p in (50, 99, 100)] == [51, 100, 100]
    name = "spiccato_event_loop_lag_seconds"
    text = f'# TYPE {name} histogram\n{name}_bucket{{{{le="0.001"}}}} {{}}\n{name}_bucket{{{{le="0.01"}}}} {{}}\n'
    before, after = Scrape(text.format(1000, 1000)), Scrape(text.format(1098, 1100))
    assert (after.lag_since(before, 50), after.lag_since(before, 99)) == (0.001, 0.01)
    assert after.lag_since(after, 99) is None


def test_the_knee_is_before_the_first_load_that_is_not_borne() -> None:
    well: dict[str, Any] = {"p99_ms": 3.0, "lost_frames": 0, "failed": 0, "late_p99_ms": 1.0, "chunk_ms": 20}
    runs = [
        {**well, "sessions": 1},
        {**well, "sessions": 100},
        {**well, "sessions": 200, "p99_ms": 26.0},
        {**well, "sessions": 300},
        {**well, "sessions": 400, "chunk_ms": 40},
    ]
    for run in runs:
        run["steady"] = steady(run)
    assert (knee(runs, 20), knee(runs, 40), knee(runs[2:], 20)) == (100, 400, None)
    for fault in ({"lost_frames": 1}, {"failed": 1}, {"late_p99_ms": 9.0}, {"p99_ms": None}):
        assert not steady({**well, **fault})


def test_a_target_that_is_missed_is_said_with_the_reason() -> None:
    well = {"p99_ms": 24.0, "loop_lag_p99_ms": 10.0, "late_p99_ms": 5.0, "lost_frames": 0, "failed": 0}
    assert missed(well) == []
    for fault, word in (
        ({"p99_ms": 26.0}, "p99 26 ms"),
        ({"p99_ms": None}, "p99 - ms"),
        ({"loop_lag_p99_ms": 25.0}, "event loop"),
        ({"lost_frames": 3}, "3 frames lost"),
        ({"failed": 1}, "1 sessions failed"),
        ({"late_p99_ms": 6.0}, "not measured"),
    ):
        assert [word in said for said in missed({**well, **fault})] == [True]
