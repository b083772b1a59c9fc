"""The hub: everybody hears everything, and a slow reader harms only itself."""

import asyncio
import json
from typing import Any

import pytest

from server.hub import Hub
from server.protocol import Lagged
from server.subscriber import QUEUE_MESSAGES, TELEMETRY, TELEMETRY_ROOM, Subscriber, lagged
from tests.live_server import LiveServer, stream
from tests.synth import low_high, pcm16


def event(number: int, phase: str = "onset") -> dict[str, Any]:
    return {"type": "event", "event_id": str(number), "phase": phase, "is_final": phase != "onset"}


def waiting(subscriber: Subscriber) -> list[Any]:
    async def taken() -> list[Any]:
        found = []
        while subscriber._queue:
            published = await subscriber.next()
            assert published is not None
            data = published.data
            found.append(data if isinstance(data, bytes) else json.loads(data))
        return found

    return asyncio.run(taken())


def test_a_message_reaches_all_who_asked_for_its_source_with_the_sources_name() -> None:
    hub = Hub()
    left, right, both = hub.subscribe("left"), hub.subscribe("right"), hub.subscribe()
    hub.publish("left", event(1))
    assert waiting(left) == waiting(both) == [{**event(1), "source": "left"}]
    assert waiting(right) == []


def test_frames_come_only_where_one_source_was_asked_for() -> None:
    hub = Hub()
    left, both = hub.subscribe("left"), hub.subscribe()
    hub.publish("left", b"frame")
    assert waiting(left) == [b"frame"]
    assert waiting(both) == []


def test_a_slow_reader_loses_telemetry_and_keeps_every_event() -> None:
    hub = Hub()
    slow = hub.subscribe()
    for number in range(500):
        hub.publish("left", {"type": "level"})
        hub.publish("left", event(number))
    heard = waiting(slow)
    assert [m["event_id"] for m in heard if m["type"] == "event"] == [str(n) for n in range(500)]
    assert len(heard) - 500 == TELEMETRY_ROOM // 2
    assert slow.left_out == 500 - TELEMETRY_ROOM // 2


def test_a_reader_too_slow_for_events_is_cut_off_alone() -> None:
    hub = Hub()
    slow, fast = hub.subscribe(), hub.subscribe()
    heard = 0
    for number in range(QUEUE_MESSAGES + 1):
        hub.publish("left", event(number))
        heard += len(waiting(fast))
    assert slow.too_slow.is_set()
    assert not fast.too_slow.is_set()
    assert heard == QUEUE_MESSAGES + 1


def test_a_new_reader_first_hears_what_is_the_case() -> None:
    hub = Hub()
    state = {"type": "source", "state": "healthy"}
    for out in (state, {"type": "started"}, event(1), event(2), event(1, "offset"), {"type": "level"}):
        hub.publish("left", out)
    assert [m["type"] for m in waiting(hub.subscribe("left"))] == ["source", "started", "event"]
    hub.publish("left", {"type": "summary"})
    assert [m["type"] for m in waiting(hub.subscribe())] == ["source"]
    hub.forget("left")
    assert waiting(hub.subscribe()) == []


def test_after_unsubscribing_nothing_is_kept() -> None:
    hub = Hub()
    gone = hub.subscribe()
    hub.unsubscribe(gone)
    hub.publish("left", event(1))
    assert waiting(gone) == []


def test_what_a_reader_is_told_that_it_missed_fits_the_published_schema() -> None:
    for policy in ("cut_off", "replay_limit"):
        told = Lagged.model_validate_json(lagged(7, 9, policy))
        assert (told.from_seq, told.to_seq, told.policy) == (7, 9, policy)


def test_a_tap_hears_all_but_telemetry_and_its_failure_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    heard: list[tuple[str, str]] = []

    def broken(source: str, message: dict[str, Any]) -> None:
        raise RuntimeError("full")

    hub.tap(broken)
    hub.tap(lambda source, message: heard.append((source, message["type"])))
    reader = hub.subscribe()
    hub.publish("left", event(1))
    hub.publish("left", {"type": "level"})
    hub.publish("left", b"frame")
    hub.tell("a session", {"type": "gap"})
    assert heard == [("left", "event"), ("a session", "gap")]
    assert len(waiting(reader)) == 2
    assert caplog.text.count("a tap failed") == 2


def test_a_tap_hears_live_sessions_to_their_summary(server: LiveServer) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    server.service.hub.tap(lambda source, message: heard.append((source, message)))
    told = stream(server, pcm16(low_high()), source={"name": "tapped"})
    mine = [message for source, message in heard if source == "tapped"]
    assert [m["type"] for m in mine] == [m["type"] for m in told if m["type"] not in TELEMETRY]
    assert [m["phase"] for m in mine if m["type"] == "event"] == ["onset", "offset", "onset", "offset"]
