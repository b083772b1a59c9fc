"""Live sessions go on in another service, with the very same events: real services, a real Redis, real clients."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from client.stream import StreamError
from engine.weights import Model
from server import failover as failover_module
from server import store as store_module
from server.service import Service
from server.settings import Settings
from tests.fleet import Fleet, Player, Relay
from tests.live_server import LiveServer, bare, eventually, live_server, receive, send, streaming, until
from tests.redis_server import RedisServer, redis_server
from tests.synth import low_high, pcm16
from tests.test_resume import closing

SOUND = pcm16(low_high())
PACE = 8.0
Two = tuple[LiveServer, LiveServer]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def two(redis: RedisServer, toy_path: Path) -> Iterator[Two]:
    """Services with the same Redis."""
    settings = {"model": toy_path, "failover_url": redis.url, "stall_ms": 600_000, "connects_per_minute": 1_000_000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "ANSWER_S", 0.5)
        with live_server(**settings) as one, live_server(**settings) as other:
            yield one, other


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that hears nothing learns soon that it is one."""
    monkeypatch.setattr(failover_module, "REFRESH_S", 0.3)


def in_loop(scene: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(100):
            await scene

    asyncio.run(main())


class Scene:
    """Players behind a relay to services."""

    def __init__(self, relay: Relay, players: list[Player]) -> None:
        self.relay = relay
        self.players = players
        self.until = asyncio.Event()
        self.playing = [asyncio.create_task(player.play(self.until)) for player in players]

    async def more(self, events: int = 2) -> None:
        """Until each player was told so many events more."""
        wanted = [player.events + events for player in self.players]
        while any(player.events < least for player, least in zip(self.players, wanted, strict=True)):
            await asyncio.sleep(0.01)
            for task in self.playing:
                if task.done():
                    task.result()

    def move(self, to: int, ports: list[int]) -> None:
        """Every connection is lost, and made again with that service."""
        self.relay.only = to
        self.relay.cut(*ports)

    async def end(self, model: Model) -> None:
        self.until.set()
        await asyncio.gather(*self.playing)
        assert [player.mistakes(model) for player in self.players] == [[]] * len(self.players)


def held(server: LiveServer, players: list[Player]) -> int:
    """How many sessions of these players it has."""
    theirs = {player.told[0]["session"] for player in players}
    return len([one for one in tuple(server.service.sessions._running) if one.session.id in theirs])


def test_a_session_goes_on_in_another_service_and_the_one_that_had_it_ends_its_copy(two: Two, toy: Model) -> None:
    ports = [server.settings.port for server in two]
    lost = [server.service.failover.lost for server in two]  # type: ignore[union-attr]

    players: list[Player] = []

    async def scene() -> None:
        relay = Relay(ports)
        async with relay.open() as port:
            players.extend(Player(port, number, PACE) for number in range(8))
            playing = Scene(relay, players)
            for turn in range(3):
                await playing.more()
                playing.move(ports[turn % 2], ports)
            await playing.more()
            await playing.end(toy)

    in_loop(scene())
    eventually(lambda: not held(two[0], players) and not held(two[1], players))
    for server, before in zip(two, lost, strict=True):
        assert server.service.failover.lost > before  # type: ignore[union-attr]


def test_after_kill_9_each_session_ends_with_the_events_of_an_undisturbed_one(
    redis: RedisServer, two: Two, toy: Model, toy_path: Path
) -> None:
    last = two[0].settings.port

    async def scene() -> None:
        fleet = Fleet(toy_path, redis.url, 3)
        relay = Relay(list(fleet.ports))
        try:
            await fleet.start(*fleet.ports)
            async with relay.open() as port:
                playing = Scene(relay, [Player(port, number, 4.0) for number in range(8)])
                for victim in fleet.ports:
                    await playing.more(1)
                    relay.ports = [*(port for port in relay.ports if port != victim), last]
                    fleet.kill(victim)
                await playing.more(1)
                await playing.end(toy)
                assert all(player.reconnects for player in playing.players)
        finally:
            fleet.close()

    in_loop(scene())


def test_who_is_cut_off_from_redis_ends_its_copy_once_it_is_back(
    two: Two, toy: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    ports = [server.settings.port for server in two]
    store = one.service.failover.store  # type: ignore[union-attr]

    def away(*_: Any) -> Any:
        raise ConnectionError("cut off")

    async def scene() -> None:
        relay = Relay(ports, only=ports[0])
        async with relay.open() as port:
            playing = Scene(relay, [Player(port, number, PACE) for number in range(2)])
            await playing.more()
            with monkeypatch.context() as cut_off:
                cut_off.setattr(store, "save", away)
                cut_off.setattr(store, "ping", away)
                playing.move(ports[1], ports)
                await playing.more()
                assert held(one, playing.players) == held(other, playing.players) == 2
            while held(one, playing.players):
                await asyncio.sleep(0.01)
            await playing.more()
            await playing.end(toy)

    in_loop(scene())


@pytest.mark.parametrize("trouble", ["killed", "hanging"])
def test_while_redis_is_away_sessions_go_on_and_after_it_they_can_go_on_elsewhere(
    redis: RedisServer, two: Two, toy: Model, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    ports = [server.settings.port for server in two]
    monkeypatch.setattr(failover_module, "PATIENCE_S", 0.1)
    monkeypatch.setattr(failover_module, "GIVE_UP_S", 0.2)
    failover = two[0].service.failover
    assert failover is not None

    async def scene() -> None:
        relay = Relay(ports, only=ports[0])
        async with relay.open() as port:
            playing = Scene(relay, [Player(port, number, PACE) for number in range(3)])
            await playing.more()
            (redis.stop if trouble == "killed" else redis.hang)()
            await playing.more(4)
            while failover.problem is None:
                await asyncio.sleep(0.01)
            (redis.start if trouble == "killed" else redis.go_on)()
            while failover.problem is not None:
                await asyncio.sleep(0.01)
            while not all(conversation.outlives for conversation in tuple(failover._sessions)):
                await asyncio.sleep(0.01)
            playing.move(ports[1], ports)
            await playing.more()
            await playing.end(toy)

    in_loop(scene())


def test_a_session_that_was_told_more_than_is_saved_does_not_go_on_elsewhere(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [server.settings.port for server in two]
    monkeypatch.setattr(failover_module, "PATIENCE_S", 0.1)
    failover = two[0].service.failover
    assert failover is not None
    store = failover.store

    def away(*_: Any) -> Any:
        raise ConnectionError("cut off")

    async def scene(**more: Any) -> Player:
        relay = Relay(ports, only=ports[0])
        async with relay.open() as port:
            while failover.problem is not None:
                await asyncio.sleep(0.01)
            playing = Scene(relay, [player := Player(port, 0, PACE, **more)])
            await playing.more()
            with monkeypatch.context() as cut_off:
                cut_off.setattr(store, "save", away)
                cut_off.setattr(store, "ping", away)
                await playing.more()
                playing.move(ports[1], ports)
                await playing.more(3)
                playing.until.set()
                await asyncio.gather(*playing.playing)
        return player

    async def both() -> None:
        told = (await scene(anew=True)).told
        assert [message["reason"] for message in told if message["type"] == "anew"] == ["resume_unknown"]
        with pytest.raises(StreamError, match="told more than could be saved"):
            await scene()

    in_loop(both())


def test_a_service_that_stops_hands_its_sessions_over(redis: RedisServer, two: Two, toy: Model, toy_path: Path) -> None:
    port = two[0].settings.port

    async def scene() -> None:
        with live_server(model=toy_path, failover_url=redis.url, stall_ms=600_000) as stopping:
            relay = Relay([stopping.settings.port, port], only=stopping.settings.port)
            async with relay.open() as at:
                playing = Scene(relay, [Player(at, number, PACE) for number in range(3)])
                await playing.more()
                relay.only = port
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(stopping.service.drain(), loop(stopping)))
                assert not held(stopping, playing.players)
                await playing.more()
                await playing.end(toy)

    in_loop(scene())


def loop(server: LiveServer) -> asyncio.AbstractEventLoop:
    failover = server.service.failover
    assert failover is not None
    return failover._tasks[0].get_loop()


def test_the_last_messages_of_a_session_can_be_fetched_from_another_service(two: Two) -> None:
    one, other = two
    audio = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    with streaming(one, audio=audio, source={"kind": "file"}) as ws:
        token = receive(ws)["resume"]["token"]
        ws.send(SOUND)
        send(ws, "stop")
        first = until(ws, "summary")
    for asked, code in ((token, 1000), (token + "x", 4404)):
        with connect(f"{other.ws}/v1/stream") as ws:
            send(ws, "start", audio=audio, resume={"token": asked, "last_seq": -1})
            assert receive(ws)["type"] == "ready"
            again = until(ws, "summary")
            assert closing(ws) == code
        if code == 1000:
            assert bare(again) == bare(first)
            assert again[-1] == first[-1]
        else:
            assert again[0]["code"] == "resume_unknown"


def test_a_fault_of_ours_in_fetching_a_session_is_told_and_keeps_nobody_waiting(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(start: object) -> None:
        raise RuntimeError("a fault")

    with streaming(two[0]) as ws:
        token = receive(ws)["resume"]["token"]
    monkeypatch.setattr(two[1].service.sessions, "fetch", fails)
    audio = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    with connect(f"{two[1].ws}/v1/stream") as ws:
        send(ws, "start", audio=audio, resume={"token": token, "last_seq": 0})
        assert until(ws, "error")[-1]["code"] == "internal"
        assert closing(ws) == 4500


def test_a_client_is_told_whether_its_session_outlives_the_service(two: Two, server: LiveServer) -> None:
    for service, rate, outlives in ((two[0], 16_000, True), (two[0], 12_345, False), (server, 16_000, False)):
        with streaming(service, rate) as ws:
            assert receive(ws)["resume"]["failover"] is outlives


def test_settings_that_cannot_be_are_refused(toy_path: Path) -> None:
    with pytest.raises(ValueError, match="failover_url: it begins with redis://"):
        Service(Settings(model=toy_path, failover_url="http://u:s3cr3t@x"))
