"""What the database and the bus hold: events a second, and bytes an event takes.

    python -m tests.bench_kept [--events 20000]

SQLite and PostgreSQL through the service's own writer, and Redis Streams with an event's JSON, appended one at a time,
in batches, and read again: all with their syncs on. PostgreSQL and redis-server are Debian's, each in a process of its
own on this machine, reached over a Unix socket. What is not installed is said to be missing.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from server.past.database import Database, address
from server.past.tables import events
from server.past.writer import MAX_WAITING, Write, Writer
from tests.past_rows import final, row
from tests.postgres import cluster
from tests.redis_server import redis_server

TOGETHER = 100  # events in a batch for Redis: those of a tenth of a second of 1 000 sessions


def database(url: str, count: int) -> tuple[float, float]:
    """Events a second, bytes an event."""
    opened = Database(address(url, Path(url)))
    writer = Writer(opened, max_waiting=count)
    writer.start()
    assert writer.flush(60)
    began = time.perf_counter()
    for number in range(count):
        writer.put(Write(events, row(number)))
    assert writer.flush(600)
    took = time.perf_counter() - began
    with opened.reading() as connection:
        if opened.is_sqlite:
            size = connection.execute(text("select page_count * page_size from pragma_page_count, pragma_page_size"))
        else:
            size = connection.execute(text("select pg_total_relation_size('events')"))
        held = size.scalar_one()
    writer.close()
    return count / took, held / count


def bus(client: Any, count: int) -> dict[str, float]:
    """Appended one at a time, appended in batches, read in batches, all a second; bytes an event in memory."""
    event = json.dumps(final(0)).encode()
    began = time.perf_counter()
    for _ in range(count):
        client.xadd("events", {"e": event})
    alone = time.perf_counter() - began
    before = client.info("memory")["used_memory"]
    began = time.perf_counter()
    for _ in range(count // TOGETHER):
        with client.pipeline(transaction=False) as batch:
            for _ in range(TOGETHER):
                batch.xadd("events", {"e": event})
            batch.execute()
    together = time.perf_counter() - began
    size = (client.info("memory")["used_memory"] - before) / count
    began, at, read = time.perf_counter(), "0", 0
    while found := client.xread({"events": at}, count=TOGETHER):
        at, read = found[0][1][-1][0], read + len(found[0][1])
    reading = time.perf_counter() - began
    return {
        "alone": count / alone,
        "together": count / together,
        "read": read / reading,
        "json": len(event),
        "size": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=MAX_WAITING)
    count = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        rate, size = database(f"{folder}/history.sqlite", count)
    print(f"SQLite: {rate:.0f} events a second, {size:.0f} bytes each")
    try:
        with cluster() as postgres:
            postgres.stop()  # the tests' own goes without syncs
            postgres.start(fsync=True)
            rate, size = database(postgres.create("bench"), count)
        print(f"PostgreSQL: {rate:.0f} events a second, {size:.0f} bytes each, indexes included")
    except pytest.skip.Exception as missing:
        print(f"PostgreSQL: {missing}")
    try:
        redis = pytest.importorskip("redis", reason="the extra `redis` is not installed")
        with redis_server() as server, redis.Redis(unix_socket_path=str(server.socket)) as client:
            held = bus(client, count)
        print(
            f"Redis Streams: {held['alone']:.0f} events a second one at a time, "
            f"{held['together']:.0f} in batches of {TOGETHER}, {held['read']:.0f} read; "
            f"{held['json']:.0f} bytes of JSON, {held['size']:.0f} in memory"
        )
    except pytest.skip.Exception as missing:
        print(f"Redis: {missing}")


if __name__ == "__main__":
    main()
