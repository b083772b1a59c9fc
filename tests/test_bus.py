"""The bus on a real redis-server: one order for everybody, replay over restarts, nothing lost while it is away."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from server import bus as bus_module
from server.bus import NAME, Bus
from server.fits import Unfit
from server.service import Service
from server.settings import Settings
from server.shared_hub import SharedHub
from server.subscriber import Subscriber
from spiccato import doctor_ways
from tests.live_server import bare, eventually, live_server, stream
from tests.redis_server import RedisServer, redis_server
from tests.synth import low_high, pcm16

Message = dict[str, Any]


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(running: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """With nothing in it."""
    monkeypatch.setattr(bus_module, "ANSWER_S", 0.3)
    monkeypatch.setattr(bus_module, "BLOCK_S", 0.2)
    monkeypatch.setattr(bus_module, "LONGEST_PAUSE_S", 0.1)
    running.ask("flushall")
    return running


@asynccontextmanager
async def hub(redis: RedisServer, **bus: Any) -> AsyncIterator[SharedHub]:
    made = SharedHub(redis.url)
    if bus:
        made._bus = Bus(redis.url, made, **bus)
    made.start()
    try:
        async with asyncio.timeout(30):
            while not made._begun:
                await asyncio.sleep(0.001)
            yield made
    finally:
        await made.stop()


def event(number: int, phase: str = "onset", **more: Any) -> Message:
    return {
        "type": "event",
        "event_id": f"e{number}",
        "phase": phase,
        "is_final": phase != "onset",
        "label": "low",
    } | more


async def told(subscriber: Subscriber, count: int) -> list[tuple[int | None, Message]]:
    """The next messages, with their numbers."""
    found = []
    for _ in range(count):
        published = await subscriber.next()
        assert published is not None
        found.append((published.number, json.loads(published.data)))
    return found


async def events_told(subscriber: Subscriber, count: int) -> list[tuple[int | None, Message]]:
    """The next events, with their numbers; of levels a watcher is told as many as it has time for."""
    found: list[tuple[int | None, Message]] = []
    while len(found) < count:
        found += [one for one in await told(subscriber, 1) if one[1]["type"] == "event"]
    return found


def ids(told: list[tuple[int | None, Message]]) -> list[str]:
    return [message["event_id"] for _, message in told]


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def in_loop(scene: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scene

    asyncio.run(main())


def test_watchers_of_every_process_are_told_the_same_in_one_order(redis: RedisServer) -> None:
    async def scene() -> None:
        async with hub(redis) as left, hub(redis) as right:
            watchers = [left.subscribe(), right.subscribe()]
            for number in range(200):
                (left if number % 2 else right).publish("odd" if number % 2 else "even", event(number))
                left.publish("odd", {"type": "level"})
                if number % 7 == 0:
                    await asyncio.sleep(0)
            events, of_right = [await events_told(watcher, 200) for watcher in watchers]
            assert events == of_right  # the same numbers too
            assert len({number for number, _ in events}) == 200
            assert [number for number, _ in events] == sorted(number for number, _ in events)  # type: ignore[type-var]
            for source, numbers in (("odd", range(1, 200, 2)), ("even", range(0, 200, 2))):
                assert [m["event_id"] for _, m in events if m["source"] == source] == [f"e{n}" for n in numbers]
            assert left.events == {"onset": 100}  # counted where it is heard

    in_loop(scene())


def test_a_reader_comes_back_to_another_process_and_after_restarts_of_all(redis: RedisServer) -> None:
    async def scene() -> None:
        async with hub(redis) as first:
            watcher = first.subscribe()
            for number in range(30):
                first.publish("stage", event(number))
            before = await told(watcher, 30)
        redis.stop()
        redis.start()
        after = before[9][0]
        async with hub(redis) as second, hub(redis) as third:
            assert await told(second.subscribe(after=after), 20) == before[10:]
            ahead = second.subscribe(after=before[-1][0])  # has everything, more than a slow process has read
            third.publish("hall", event(30))
            assert ids(await told(ahead, 1)) == ["e30"]
            lost = third.subscribe(after=5)
            assert (await told(lost, 1))[0][1] == {
                "type": "lagged", "from_seq": 6, "to_seq": before[0][0] - 1, "policy": "replay_limit",
            }  # fmt: skip
            assert ids(await told(lost, 31)) == [f"e{n}" for n in range(31)]

    in_loop(scene())


@pytest.mark.parametrize("trouble", ["killed", "hanging"])
def test_while_redis_is_away_messages_wait_and_are_told_once_and_in_order(redis: RedisServer, trouble: str) -> None:
    async def scene() -> None:
        async with hub(redis) as one, hub(redis) as other:
            watchers = [one.subscribe(), other.subscribe()]
            one.publish("stage", event(0))
            assert [ids(await told(watcher, 1)) for watcher in watchers] == [["e0"]] * 2
            (redis.stop if trouble == "killed" else redis.hang)()
            for number in range(1, 1_500):
                one.publish("stage", event(number))
            await until(lambda: one.bus.problem is not None and other.bus.problem is not None)
            assert one.bus.waiting == 1_499
            (redis.start if trouble == "killed" else redis.go_on)()
            for heard in await asyncio.gather(*(told(watcher, 1_499) for watcher in watchers)):
                assert ids(heard) == [f"e{number}" for number in range(1, 1_500)]
            await until(lambda: one.bus.problem is None and not one.bus.waiting)
            one.publish("stage", event(1_500))
            assert ids(await told(watchers[1], 1)) == ["e1500"]

    in_loop(scene())


def test_what_was_sent_twice_is_kept_once(redis: RedisServer) -> None:
    async def scene() -> None:
        async with hub(redis) as one:
            watcher = one.subscribe()
            one.publish("stage", event(1))
            await told(watcher, 1)
            bus = one.bus
            await bus.flush(5)
            bus.put("stage", json.dumps({**event(2), "source": "stage"}))
            bus._take()
            sending, counter = bus._sending, bus._counter
            await bus._send()
            bus._sending, bus._counter = sending, counter  # the answer was lost
            bus.put("stage", json.dumps({**event(3), "source": "stage"}))
            assert ids(await told(watcher, 2)) == ["e2", "e3"]

    in_loop(scene())


def test_over_the_bound_the_oldest_are_dropped_and_every_watcher_is_told_which(redis: RedisServer) -> None:
    async def scene() -> None:
        async with hub(redis, waiting=10) as one, hub(redis) as other:
            watchers = [one.subscribe(), other.subscribe("hall")]
            one.publish("stage", event(0))
            ((first, _),) = await told(watchers[0], 1)
            assert first is not None
            await one.bus.flush(5)
            redis.stop()
            await until(lambda: one.bus.problem is not None)
            for number in range(1, 26):
                one.publish("stage", event(number))
            assert (one.bus.dropped, one.bus.waiting) == (15, 10)
            redis.start()
            (number, gap), *rest = await told(watchers[0], 11)
            assert gap["policy"] == "bus_full"
            assert gap["from_seq"] > first
            assert (gap["to_seq"] - gap["from_seq"], number) == (14, gap["to_seq"])
            assert ids(rest) == [f"e{number}" for number in range(16, 26)]
            assert [number for number, _ in rest] == list(range(gap["to_seq"] + 1, gap["to_seq"] + 11))
            assert (await told(watchers[1], 1))[0][1] == gap

    in_loop(scene())


def test_who_begins_later_knows_what_is_the_case_elsewhere_until_it_is_gone(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "ALIVE_S", 1)

    async def scene() -> None:
        state = {"type": "source", "state": "healthy"}
        async with hub(redis) as later_gone, hub(redis) as early:
            later_gone.publish("stage", state)
            later_gone.publish("stage", event(1))
            later_gone.publish("hall", state)
            await later_gone.bus.flush(5)
            redis.ask("xtrim", NAME, "maxlen", "0")  # so long ago
            later_gone.forget("hall")
            async with hub(redis) as late:
                await until(lambda: late._known.keys() == {"stage"})
                case = [message for _, message in await told(late.subscribe(), 2)]
                assert case == [{**state, "source": "stage"}, {**event(1), "source": "stage"}]
                assert late.case() == []  # of its own sources nothing: outputs tell only of those
                await later_gone.stop()
                await until(lambda: not late._known and not early._known)
                assert late.subscribe()._queue.__len__() == 0

    in_loop(scene())


def test_what_redis_forgot_before_it_was_read_is_told(redis: RedisServer) -> None:
    async def scene() -> None:
        async with hub(redis) as one, hub(redis) as other:
            watcher = other.subscribe()
            one.publish("stage", event(1))
            ((number, _),) = await told(watcher, 1)
            assert number is not None
            await one.bus.flush(5)
            await other.bus._end()  # it is away
            for later in (2, 3):
                one.publish("stage", event(later))
            await one.bus.flush(5)
            redis.ask("xtrim", NAME, "maxlen", "1")
            other.bus.start()
            (_, hole), (newest, last) = await told(watcher, 2)
            assert hole["policy"] == "replay_limit"
            assert (hole["to_seq"] + 1, last["event_id"]) == (newest, "e3")

    in_loop(scene())


def test_a_service_goes_on_while_redis_is_away(redis: RedisServer, toy_path: Path) -> None:
    def bus(url: str) -> Message:
        checks = httpx.get(f"{url}/readyz", timeout=60).json()["checks"]
        found: Message = next(check for check in checks if check["name"] == "bus")
        return found

    settings = {"model": toy_path, "redis_url": redis.url}
    nowhere = {"kind": "stream", "url": "http://127.0.0.1:1/"}
    with live_server(**settings) as one, live_server(**settings) as other, connect(f"{other.ws}/v1/events") as watcher:
        assert bus(one.url)["ok"]
        httpx.post(f"{one.url}/v1/sources", json={**nowhere, "name": "first"})
        assert json.loads(watcher.recv(60))["source"] == "first"
        redis.stop()
        eventually(lambda: not bus(one.url)["ok"])
        assert not bus(one.url)["required"]
        httpx.post(f"{one.url}/v1/sources", json={**nowhere, "name": "second"})
        assert len(bare(stream(one, pcm16(low_high())))) == 4
        eventually(lambda: one.service.hub.bus.waiting > 0)  # type: ignore[union-attr]
        metrics = httpx.get(f"{one.url}/metrics").text
        assert "spiccato_bus_up 0.0" in metrics
        redis.start()
        while json.loads(watcher.recv(60))["source"] != "second":
            pass
        eventually(lambda: bus(one.url)["ok"])


def test_the_doctor_asks_redis(redis: RedisServer) -> None:
    for url, state, told in (
        (redis.url, "ok", "answers"),
        (f"{redis.url}x", "problem", "No such file"),
        ("redis://u:s3cr3t@127.0.0.1:1", "problem", "refused"),
        (None, "ok", "none"),
    ):
        found = doctor_ways.bus(Settings(redis_url=url))
        assert (found.state, told in found.found, "s3cr3t" in found.found) == (state, True, False), found


def test_a_bus_that_cannot_be_is_refused_at_the_start(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, why in (("http://u:s3cr3t@x", "it begins with redis://"), ("redis://u:s3cr3t@x:port", "cannot be read")):
        with pytest.raises(Unfit, match=why) as refused:
            Service(Settings(model=toy_path, redis_url=url))
        assert "s3cr3t" not in str(refused.value)
    monkeypatch.setattr("server.fits.find_spec", lambda _: None)
    with pytest.raises(Unfit, match=r"pip install 'spiccato\[redis\]'"):
        Service(Settings(model=toy_path, redis_url="redis://x"))
