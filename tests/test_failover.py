"""Live sessions go on in another service, with the very same events: real services, a real redis-server, real clients."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from engine.weights import Model
from tests.fleet import Player, Relay
from tests.live_server import LiveServer, live_server
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def two(redis: RedisServer, toy_path: Path) -> Iterator[tuple[LiveServer, LiveServer]]:
    """Services with the same Redis."""
    settings = {"model": toy_path, "failover_url": redis.url, "stall_ms": 600_000, "connects_per_minute": 1_000_000}
    with live_server(**settings) as one, live_server(**settings) as other:
        yield one, other


def in_loop(scene: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scene

    asyncio.run(main())


def test_a_session_goes_on_in_another_service_and_the_one_that_had_it_ends_its_copy(
    two: tuple[LiveServer, LiveServer], toy: Model
) -> None:
    ports = [server.settings.port for server in two]

    async def scene() -> None:
        relay, until = Relay(ports), asyncio.Event()
        async with relay.open() as port:
            players = [Player(port, number) for number in range(8)]
            playing = [asyncio.create_task(player.play(until)) for player in players]
            for turn in range(4):
                while min(player.events for player in players) < 2 * turn + 2:
                    await asyncio.sleep(0.02)
                    for task in playing:
                        if task.done():
                            task.result()
                relay.only = ports[1 - turn % 2]
                relay.cut(ports[turn % 2])
            until.set()
            await asyncio.gather(*playing)
        assert [player.mistakes(toy) for player in players] == [[]] * 8

    in_loop(scene())
