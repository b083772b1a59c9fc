"""The soak on a virtual clock, for 18 minutes: the whole service, sockets and timers included, and a crowd."""

from pathlib import Path

import pytest

from tests import soak

SEEN = (
    "anew", "configured", "connections lost", "event", "flushed", "gap", "heartbeat", "readers that read nothing",
    "resumed", "scores", "session idle", "session overloaded", "sessions", "sessions never ended", "source stalled",
    "uploads 200", "uploads 415", "uploads 422", "watched", "watched by WebSocket", "watchers",
)  # fmt: skip


def test_a_crowd_leaves_nothing_behind_and_everything_adds_up(toy_path: Path) -> None:
    found = soak.virtual(toy_path, minutes=18, musicians=4)
    print({name: value for name, value in found.items() if name != "looks"})
    assert found["wrong"] == []
    assert [name for name in SEEN if not found["counted"].get(name)] == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, []),
        ({"blocks": 1_401}, ["blocks grew from 1000 to 1401: 400 are allowed"]),
        ({"files": 12}, ["files grew from 11 to 12: 0 are allowed"]),
        ({"connections": 1}, ["connections grew from 0 to 1: 0 are allowed", "connections is 1 although all left"]),
    ],
)  # fmt: skip
def test_what_the_last_third_left_behind_is_told(changed: dict[str, int], says: list[str]) -> None:
    one = {"blocks": 1_000, "files": 11, "connections": 0, "sessions_kept": 0, "places_taken": 0, "waiting_bytes": 0}
    assert soak.judged_holds([one, one, one | changed]) == says


def test_live_connections_are_no_growth_of_files_and_a_leak_is() -> None:
    one = {"rss_mb": 350.0, "threads": 7, "lag_p99_s": 0.001, "inbox_bytes": 0.0}
    looks = [one | {"sessions": float(number % 7), "files": 25 + number % 7} for number in range(60)]
    assert (
        soak.judged(
            [
                look | {"sessions": look["sessions"] + number, "files": look["files"] + number}
                for number, look in enumerate(looks)
            ]
        )
        == []
    )
    leaking = [look | {"files": look["files"] + number // 5} for number, look in enumerate(looks)]
    assert [said.split()[0] for said in soak.judged(leaking)] == ["files"]
