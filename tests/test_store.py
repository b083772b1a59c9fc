"""What Redis keeps of a session, whose it is, and what a session holds back until it is there."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from engine.weights import Model
from server.escrow import LEAP, Escrow
from server.outbox import Outbox, Told, encoded
from server.session import Out
from server.store import MESSAGES, Save, Store, digest
from tests.redis_server import RedisServer, redis_server
from tests.synth import low_high, pcm16
from tests.test_session import Client

DIGEST = digest("secret")


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def store(running: RedisServer) -> Iterator[Store]:
    running.ask("flushall")
    made = Store(running.url, 60)
    yield made
    made.close()


def a_save(owner: int = 0, *messages: int, fresh: bool = True, seq: int = 0) -> Save:
    told = [(number, f'{{"seq": {number}}}') for number in messages]
    state, snapshot = (lambda: f"state {seq}".encode()), lambda: b"snapshot"
    return Save("s_1", owner, DIGEST, fresh, -1, seq, 0, 0, 0, state, snapshot, told)


def test_who_claims_a_session_has_it_and_the_older_owner_is_refused(store: Store) -> None:
    assert store.save([a_save(0, 2, 3, seq=4), a_save(0, 5, seq=6)]) == ["saved", "saved"]
    assert store.look("s_1", DIGEST) == (0, b"state 6")
    claimed = store.claim("s_1", DIGEST)
    assert claimed is not None
    assert claimed == (1, b"state 6", b"snapshot", -1, [b'{"seq": 2}', b'{"seq": 3}', b'{"seq": 5}'])
    assert store.save([a_save(0, 7, seq=8), a_save(1, 7, seq=8)]) == ["taken", "saved"]
    again = store.claim("s_1", DIGEST)
    assert again is not None
    assert again.owner == 2
    store.drop("s_1", 1)
    assert store.look("s_1", DIGEST) is not None
    store.drop("s_1", 2)
    assert store.look("s_1", DIGEST) is None


def test_nobody_gets_a_session_without_its_secret(store: Store) -> None:
    store.save([a_save()])
    for asked in (digest("other"), "", "secret"):
        assert store.look("s_1", asked) is None
        assert store.claim("s_1", asked) is None
    assert store.claim("s_2", DIGEST) is None
    assert store.look("s_1", DIGEST) == (0, b"state 0")


def test_a_message_that_is_sent_twice_is_kept_once_and_the_oldest_go(store: Store) -> None:
    store.save([a_save(0, 1, 2)])
    store.save([a_save(0, 1, 2, 3)])  # its answer was lost
    claimed = store.claim("s_1", DIGEST)
    assert claimed is not None
    assert [json.loads(text)["seq"] for text in claimed.messages] == [1, 2, 3]
    store.save([a_save(1, *range(4, 4 + MESSAGES))])
    claimed = store.claim("s_1", DIGEST)
    assert claimed is not None
    assert [json.loads(text)["seq"] for text in claimed.messages] == list(range(4, 4 + MESSAGES))


def test_a_redis_that_has_forgotten_says_so_and_what_is_kept_goes_by_itself(store: Store, running: RedisServer) -> None:
    assert store.save([a_save(fresh=False)]) == ["forgotten"]
    assert store.look("s_1", DIGEST) is None
    store.save([a_save(0, 1)])
    for key in ("{spiccato}:live:s_1", "{spiccato}:live:s_1:told"):
        assert 60 < int(running.ask("ttl", key)) <= 120


class Held:
    """A session behind an escrow, and what its client would read."""

    def __init__(self, model: Model) -> None:
        self.client = Client(model, source={"kind": "file"})
        self.session = self.client.session
        assert self.session.stream is not None
        self.session.stream.safe = 0
        self.outs: list[Out] = []
        self.outbox = Outbox(self.session.id)
        self.wanted = 0
        self.escrow = Escrow(self.session, DIGEST, self.release, self.want, 0.0)
        self.say([out for out in self.client.told if isinstance(out, dict) and out["type"] == "started"])

    def release(self, outs: list[Out], told: list[Told]) -> None:
        self.outs += outs
        self.outbox.put(told)

    def want(self) -> None:
        self.wanted += 1

    def say(self, outs: list[Out]) -> None:
        self.escrow.say(outs, encoded(outs), 1.0)

    def hear(self, first: float, end: float) -> None:
        pcm = pcm16(low_high())
        self.say(self.client.hear(pcm[round(first * 32_000) : round(end * 32_000)]))

    def read(self) -> list[dict[str, Any]]:
        messages = []
        while (data := self.outbox.take()) is not None:
            messages.append(json.loads(data))
        return messages

    def saved(self) -> Save:
        save = self.escrow.save(2.0)
        assert save is not None
        return save


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages if message["type"] != "level"]


def test_nothing_but_telemetry_is_told_before_it_is_saved(toy: Model) -> None:
    held = Held(toy)
    assert kinds(held.read()) == ["started"]
    held.hear(0, 0.5)
    assert {message["type"] for message in held.read()} == {"level"}
    assert not held.wanted
    held.hear(0.5, 1.0)  # an onset
    before = held.read()
    assert kinds(before) == []
    assert held.wanted
    save = held.saved()
    held.hear(1.0, 2.5)  # its end, after it was saved
    assert held.read() == []  # what comes after what waits waits too
    held.escrow.answered(save, "saved", 3.0)
    assert kinds(held.read()) == ["event"]
    held.escrow.answered(save := held.saved(), "saved", 3.0)
    after = held.read()
    assert kinds(after) == ["event", "event"]
    assert [number for number, _ in save.messages] == [m["seq"] for m in after if m["type"] == "event"]


def test_what_cannot_be_saved_is_told_with_numbers_that_nothing_saved_has(toy: Model) -> None:
    held = Held(toy)
    held.hear(0, 1.0)
    before = held.read()
    late = held.saved()
    held.escrow.give_up()
    told = held.read()
    assert kinds(told) == ["lagged", "event"]
    assert told[0]["to_seq"] - told[0]["from_seq"] == LEAP - 1
    runs = [(m.get("from_seq", m["seq"]), m["seq"]) for m in before + told]
    assert all(first == last + 1 for (_, last), (first, _) in pairwise(runs))
    held.escrow.answered(late, "saved", 4.0)  # what was on its way when it was given up says nothing
    assert not held.escrow.is_safe
    held.hear(1.0, 1.9)
    assert kinds(held.read()) == ["event"]  # nothing waits any more
    save = held.saved()
    assert held.session.saved().seq == save.seq
    assert b'"leapt":[' in save.state()
    held.hear(1.9, 2.5)
    assert kinds(held.read()) == []  # from the save on it does
    held.escrow.answered(save, "saved", 5.0)
    held.escrow.answered(held.saved(), "saved", 6.0)
    assert held.escrow.is_safe
    assert kinds(held.read()) == ["event"]


def test_a_redis_that_has_forgotten_a_session_is_told_it_again(toy: Model) -> None:
    held = Held(toy)
    held.escrow.answered(held.saved(), "saved", 3.0)
    held.hear(0, 1.0)
    held.escrow.answered(first := held.saved(), "forgotten", 3.0)
    assert not first.fresh
    assert kinds(held.read()) == ["started"]
    again = held.saved()
    assert again.fresh
    assert again.messages == first.messages
    assert again.gone == again.messages[0][0] - 1
    held.escrow.answered(again, "saved", 3.0)
    assert kinds(held.read()) == ["event"]


def test_a_heartbeat_names_what_is_saved_and_what_was_heard_where_nothing_can_be(toy: Model) -> None:
    held = Held(toy)
    samples = []

    def heartbeat() -> None:
        held.say(held.client.wait(2.5))
        samples.append(held.read()[-1]["sample"])

    held.hear(0, 0.4)
    heartbeat()
    held.escrow.answered(held.saved(), "saved", 3.0)
    held.hear(0.4, 0.48)
    heartbeat()
    held.escrow.give_up()
    heartbeat()
    assert samples == [0, 6_400, 7_680]
