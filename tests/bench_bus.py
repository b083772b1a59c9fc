"""How much the event bus carries: `python -m tests.bench_bus [--messages N]`, on a redis-server of its own.

Two hubs in two processes share a Redis with its default settings but on a socket. One publishes events, the other's
watcher counts them: as many as go through, then 100 a second, each with the time from publishing to being told.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from typing import Any

from server.shared_hub import SharedHub
from tests.redis_server import redis_server

PACED = 500
EVERY_S = 0.01


def event(number: int) -> dict[str, Any]:
    """As large as a real one."""
    padding = {"padding": "x" * 400}
    return {"type": "event", "event_id": str(number), "phase": "offset", "is_final": True, "at": time.time(), **padding}


async def publish(url: str, count: int) -> None:
    hub = SharedHub(url)
    hub.start()
    for number in range(count):
        hub.publish("stage", event(number))
        if number % 100 == 99:
            await asyncio.sleep(0)
            while hub.bus.waiting > 5_000:
                await asyncio.sleep(0.001)
    await hub.bus.flush(600)
    for number in range(PACED):
        hub.publish("stage", event(number))
        await asyncio.sleep(EVERY_S)
    await hub.bus.flush(600)
    await hub.stop()


def publisher(url: str, count: int) -> None:
    asyncio.run(publish(url, count))


async def watch(url: str, count: int) -> dict[str, float]:
    hub = SharedHub(url)
    hub.start()
    watcher = hub.subscribe()
    other = multiprocessing.get_context("spawn").Process(target=publisher, args=(url, count))
    other.start()
    first_s, late_ms = 0.0, []
    for number in range(count + PACED):
        published = await watcher.next()
        assert published is not None
        if number == 0:
            first_s = time.monotonic()
        if number == count - 1:
            took_s = time.monotonic() - first_s
        if number >= count:
            late_ms.append((time.time() - json.loads(published.data)["at"]) * 1000)
    await asyncio.to_thread(other.join)
    await hub.stop()
    late_ms.sort()
    return {
        "messages_per_second": round(count / took_s),
        "median_ms": round(statistics.median(late_ms), 2),
        "p99_ms": round(late_ms[round(PACED * 0.99) - 1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=50_000)
    with redis_server() as redis:
        print(json.dumps(asyncio.run(watch(redis.url, parser.parse_args().messages))))


if __name__ == "__main__":
    main()
