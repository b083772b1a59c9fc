"""What a session told and a connection sends: dense, bounded, given out again for whoever comes back."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import Code, Refusal
from server.outbox import FULL_ABOVE, KEEP_BYTES, KEEP_MESSAGES, KEEP_S, THIN_ABOVE, Outbox, encoded
from server.session import Out


class Box:
    """An outbox, a clock, and who tells it what."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outbox = Outbox("s_1", lambda: self.now)
        self.told: list[dict[str, Any]] = []

    def tell(self, *types: str) -> None:
        outs: list[Out] = []
        for type in types:
            if type == "frame":
                outs.append(b"\xf5")
                continue
            message: dict[str, Any] = {"type": type, "seq": len(self.told)}
            if type in ("onset", "update", "offset"):
                message |= {"type": "event", "phase": type, "event_id": "e1"}
            self.told.append(message)
            outs.append(message)
        self.outbox.put(encoded(outs))

    def take(self, most: int = 10**6) -> list[Any]:
        """What the connection gets now."""
        taken: list[Any] = []
        while self.outbox.waits and len(taken) < most:
            data = self.outbox.take()
            assert data is not None
            taken.append(data if isinstance(data, bytes) else json.loads(data))
        return taken


def numbers(messages: list[Any]) -> list[int]:
    """The numbers that the messages stand for, in their order."""
    covered: list[int] = []
    for message in messages:
        if isinstance(message, dict):
            first = message["from_seq"] if message["type"] == "lagged" else message["seq"]
            covered += range(first, message["seq"] + 1)
    return covered


def test_a_reader_that_keeps_up_gets_everything_as_it_was_told() -> None:
    box = Box()
    got = []
    for _ in range(10 * THIN_ABOVE):
        box.tell("level", "onset", "frame", "heartbeat")
        got += box.take()
    assert [m for m in got if isinstance(m, dict)] == box.told
    assert got.count(b"\xf5") == 10 * THIN_ABOVE
    assert box.outbox.left_out == 0


def test_for_a_slow_reader_the_latest_telemetry_waits_and_every_event() -> None:
    box = Box()
    for _ in range(1_000):
        box.tell("level", "scores", "frame")
    box.tell("onset", "update", "gap", "update", "error")
    got = box.take()
    assert numbers(got) == list(range(2_005))
    assert len(got) < 2 * THIN_ABOVE
    texts = [m for m in got if isinstance(m, dict)]
    assert [m.get("phase", m["type"]) for m in texts[-6:]] == ["scores", "onset", "lagged", "gap", "update", "error"]
    assert [m["seq"] for m in texts if m["type"] == "level"][-1] == 1_998
    (lagged,) = [m for m in texts if m["type"] == "lagged" and m["to_seq"] > 2_000]
    assert lagged == {
        "type": "lagged",
        "session": "s_1",
        "seq": 2_001,
        "from_seq": 2_001,
        "to_seq": 2_001,
        "policy": "latest",
    }


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_however_often_a_client_comes_back_it_gets_each_event_once_and_every_number(data: st.DataObject) -> None:
    box = Box()
    read: list[Any] = []  # by the client
    kinds = st.sampled_from(["level", "scores", "heartbeat", "frame", "onset", "update", "offset", "gap"])
    for _ in range(data.draw(st.integers(1, 12))):
        box.tell(*data.draw(st.lists(kinds, max_size=40)) * data.draw(st.sampled_from([1, 1, 5])))
        sent = [m for m in box.take(data.draw(st.integers(0, 60))) if isinstance(m, dict)]
        read += sent[: data.draw(st.integers(0, len(sent)))]  # the rest is lost with the connection
        if data.draw(st.booleans()):
            box.outbox.acknowledged(read[-1]["seq"] if read else -1)
        box.outbox.rewind(read[-1]["seq"] if read else -1)
    read += [m for m in box.take() if isinstance(m, dict)]
    assert numbers(read) == list(range(len(box.told)))
    lasting = [m for m in box.told if m["type"] in ("event", "gap") and m.get("phase") != "update"]
    assert [m for m in read if m["type"] in ("event", "gap") and m.get("phase") != "update"] == lasting
    assert [m for m in read if m["type"] != "lagged"] == [box.told[m["seq"]] for m in read if m["type"] != "lagged"]


def test_only_the_newest_resumed_is_told() -> None:
    """An older one, read first, would let a client send again what was heard."""
    box = Box()
    box.tell("onset", "resumed")
    box.take()
    box.outbox.rewind(-1)
    box.tell("resumed")
    box.outbox.rewind(-1)
    box.tell("offset", "resumed")
    got = box.take()
    assert [(m.get("phase", m["type"]), m["seq"]) for m in got] == [
        ("onset", 0),
        ("lagged", 2),
        ("offset", 3),
        ("resumed", 4),
    ]
    assert numbers(got) == list(range(5))


def test_what_was_sent_is_kept_for_a_minute_and_a_thousand_messages() -> None:
    box = Box()
    for _ in range(KEEP_MESSAGES + 500):
        box.tell("onset")
        box.take()
    box.outbox.rewind(-1)
    assert len(box.take()) == KEEP_MESSAGES + 500  # all of this minute
    box.now += KEEP_S + 1
    box.tell("offset")
    box.take()
    with pytest.raises(Refusal) as refusal:
        box.outbox.rewind(499)
    assert refusal.value.code is Code.RESUME_TOO_OLD
    assert "last_seq=499: messages are kept from seq 501 on only" in str(refusal.value)
    box.outbox.rewind(500)
    assert numbers(box.take()) == list(range(501, KEEP_MESSAGES + 501))


def test_what_is_kept_is_bounded_in_bytes_and_telemetry_costs_nothing() -> None:
    box = Box()
    for _ in range(5_000):
        box.tell("level", "scores")
        box.take()
    assert box.outbox.bytes < 1_000
    box.tell(*["onset"] * 10_000)
    box.take()
    assert KEEP_BYTES * 0.9 < box.outbox.bytes <= KEEP_BYTES


def test_a_number_that_was_never_told_or_was_acknowledged_is_refused() -> None:
    box = Box()
    box.tell("onset", "offset")
    box.take()
    with pytest.raises(Refusal, match="told nothing after seq 1") as refusal:
        box.outbox.rewind(2)
    assert refusal.value.code is Code.RESUME_UNKNOWN
    box.outbox.acknowledged(0)
    with pytest.raises(Refusal, match="from seq 1 on only"):
        box.outbox.rewind(-1)
    box.outbox.rewind(0)
    assert numbers(box.take()) == [1]


def test_events_that_nobody_takes_fill_it_and_taking_them_makes_room() -> None:
    box = Box()
    box.tell(*["level"] * 10 * FULL_ABOVE)
    assert not box.outbox.full
    box.tell(*["onset"] * (FULL_ABOVE + 1))
    assert box.outbox.full
    box.take(200)
    assert not box.outbox.full


@given(st.lists(st.sampled_from(["passed", "level", "onset", "rewind", "ack"]), max_size=40), st.integers(0, 10**6))
def test_telemetry_that_passes_the_outbox_is_counted_and_not_kept(steps: list[str], seed: int) -> None:
    """As if it had gone through: `box` has what `through` has, whatever comes between."""
    box, through, rng = Box(), Box(), random.Random(seed)
    for step in steps:
        last_seq = rng.randint(through.outbox._gone, len(box.told) - 1)
        if step == "passed":
            through.tell("level")
            box.told.append(through.told[-1])
            box.outbox.passed(box.told[-1]["seq"])
            through.take()
        elif step == "rewind":
            box.outbox.rewind(last_seq)
            through.outbox.rewind(last_seq)
            assert box.take() == through.take()
        elif step == "ack":
            box.outbox.acknowledged(last_seq)
            through.outbox.acknowledged(last_seq)
        else:
            box.tell(step)
            through.tell(step)
            assert box.take() == through.take()
        assert box.outbox.bytes == through.outbox.bytes
        assert box.outbox._newest == through.outbox._newest
        assert box.outbox._gone == through.outbox._gone
