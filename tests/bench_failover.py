"""Services are killed under live sessions, again and again; and what it costs to save them.

    python -m tests.bench_failover [--sessions 50] [--kills 20] [--redis-away 10]
    python -m tests.bench_failover --cost [--sessions 500]

Each client's events, ids, numbers and summary are held to those of a session that nobody disturbed. Needs redis-server.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.weights import Model, load, save
from server.choir import Choir
from server.escrow import Escrow
from server.session import Session
from server.settings import Settings
from server.store import Store, digest
from tests.fleet import Fleet, Player, Relay
from tests.redis_server import RedisServer, redis_server
from tests.synth import low_high, pcm16
from tests.toy import toy_model

ROUNDS = 5


async def kills(model: Model, path: Path, redis: RedisServer, sessions: int, times: int, away_s: float) -> list[str]:
    """What went wrong."""
    fleet = Fleet(path, redis.url)
    relay, until = Relay(fleet.ports), asyncio.Event()
    try:
        await fleet.start(*fleet.ports)
        async with relay.open() as port:
            players = [Player(port, number) for number in range(sessions)]
            playing = [asyncio.create_task(player.play(until)) for player in players]
            for turn in range(times):
                await _more(players, playing, 1)
                victim = fleet.ports[turn % len(fleet.ports)]
                held = len([link for link in relay.links if link[0] == victim])
                fleet.kill(victim)
                print(f"killed {turn + 1} of {times}, under {held} sessions", flush=True)
                await _more(players, playing, 1)
                await fleet.start(victim)
            if away_s:
                redis.stop()
                print(f"Redis is away for {away_s:g} s", flush=True)
                told = [player.events for player in players]
                await asyncio.sleep(away_s)
                print(f"{sum(player.events for player in players) - sum(told)} events were told meanwhile")
                redis.start()
                await _more(players, playing, 1)
            until.set()
            await asyncio.gather(*playing)
    finally:
        fleet.close()
    wrong = [f"client {i}: {mistake}" for i, player in enumerate(players) for mistake in player.mistakes(model)]
    events, back = sum(player.events for player in players), sum(player.reconnects for player in players)
    print(f"{sessions} sessions, {events} events, {back} times another connection, {len(wrong)} mistakes")
    return wrong


async def _more(players: list[Player], playing: list["asyncio.Task[None]"], events: int) -> None:
    """Until each was told so many more; a client that ended too soon raises."""
    wanted = [player.events + events for player in players]
    while any(player.events < least for player, least in zip(players, wanted, strict=True)):
        await asyncio.sleep(random.uniform(0.05, 0.3))
        for task in playing:
            if task.done():
                task.result()


def cost(redis: RedisServer, sessions: int) -> None:
    """Of one save of each session, with the shipped model."""
    model = load(Settings().model)
    pool, store = Choir(model, sessions), Store(redis.url, 60)
    start = json.dumps({"type": "start", "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000}})
    sound, escrows = pcm16(low_high())[:32_000], []
    for number in range(sessions):
        session = Session(model, Settings().limits, session_id=f"s_{number:012x}", pool=pool, failover=True)
        session.text(start)
        session.begin(sound, time.monotonic())
        escrows.append(Escrow(session, digest("secret"), lambda outs, told: None, lambda: None, 0.0))
    loop_s, thread_s, redis_s, size = [], [], [], 0
    for _ in range(ROUNDS):
        began = time.process_time()
        saves = [save for escrow in escrows if (save := escrow.save(0.0)) is not None]
        loop_s.append(time.process_time() - began)
        began, before = time.process_time(), store.bytes
        server_s = _cpu_s(redis)
        for at in range(0, sessions, 32):
            for escrow, one, answer in zip(escrows[at:], saves[at:], store.save(saves[at : at + 32]), strict=False):
                escrow.answered(one, answer, 0.0)
        thread_s.append(time.process_time() - began)
        redis_s.append(_cpu_s(redis) - server_s)
        size = store.bytes - before
    told: dict[str, Any] = {
        "event loop": min(loop_s),
        "thread": min(thread_s),
        "Redis": min(redis_s),
    }
    for where, seconds in told.items():
        each = f"{seconds / sessions * 1e6:6.1f} us of CPU for a save"
        print(f"{where:10}  {each}, {sessions} a second: {seconds:.1%} of a core")
    print(f"{size / sessions:.0f} bytes a save")


def _cpu_s(redis: RedisServer) -> float:
    found = dict(line.split(":") for line in redis.ask("info", "cpu").splitlines() if ":" in line)
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--redis-away", type=float, default=0.0)
    parser.add_argument("--cost", action="store_true")
    asked = parser.parse_args()
    with redis_server() as redis, tempfile.TemporaryDirectory() as folder:
        if asked.cost:
            cost(redis, asked.sessions or 500)
            return
        path = Path(folder) / "toy.safetensors"
        save(toy_model(), path)
        wrong = asyncio.run(kills(load(path), path, redis, asked.sessions or 50, asked.kills, asked.redis_away))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
