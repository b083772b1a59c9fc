"""How long after the plug is pulled the service tells it, and how long after it is back the sound is heard again.

    python -m tests.bench_replug [--times 10] [--away 3]

Two real PortAudio devices (PulseAudio null sinks), the real service in a process of its own, a real watcher. The first
microphone is pulled and plugged in again, `--times` times, each time `--away` seconds and a random part of one later;
the second must not notice. Ends with status 1 where it did, or where a promise of docs/operations.md was broken.
"""

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.virtual_mic import DEVICE, PACKAGES, SECOND, VirtualMic, missing, plugged_in

NOTICED_S = 2.0
RECOVERED_S = 5.0

Message = dict[str, Any]


async def until(ws: ClientConnection, state: str) -> float:
    """When the watcher was told that the source is in `state`."""
    while True:
        data = await ws.recv()
        if isinstance(data, str) and (told := json.loads(data))["type"] == "source" and told["state"] == state:
            return time.monotonic()


async def measured(mic: VirtualMic, url: str, times: int, away_s: float) -> tuple[list[Message], int]:
    """A row for each pull, and how often the second microphone began a session or lost samples."""
    disturbed = 0

    async def watch_second() -> None:
        nonlocal disturbed
        async with connect(f"{url.replace('http', 'ws')}/v1/events?source=second", max_size=None) as ws:
            await until(ws, "healthy")
            async for data in ws:
                told = json.loads(data) if isinstance(data, str) else {"type": "frame"}
                disturbed += told["type"] in ("started", "gap") or told.get("state") in ("stalled", "lost")

    rows = []
    async with connect(f"{url.replace('http', 'ws')}/v1/events?source=first", max_size=None) as ws:
        watching = asyncio.create_task(watch_second())
        for id, device in (("second", SECOND), ("first", DEVICE)):
            httpx.post(f"{url}/v1/sources", json={"id": id, "device": device}).raise_for_status()
        await until(ws, "healthy")
        await asyncio.sleep(3)  # the first samples of a fresh sink can take two seconds
        for _ in range(times):
            pulled = time.monotonic()
            mic.unplug()
            noticed = await until(ws, "lost")
            await asyncio.sleep(away_s + random.random())
            back = time.monotonic()
            mic.plug()
            heard = await until(ws, "healthy")
            rows.append({"noticed_s": noticed - pulled, "recovered_s": heard - back})
            print(f"noticed after {rows[-1]['noticed_s']:.2f} s, heard again after {rows[-1]['recovered_s']:.2f} s")
            await asyncio.sleep(random.random())
        watching.cancel()
    return rows, disturbed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--away", type=float, default=3.0, metavar="S")
    arguments = parser.parse_args()
    if lacks := missing():
        print(f"not measured, without {', '.join(lacks)}: apt-get install {PACKAGES}")
        return 0
    with plugged_in() as mic, plugged_in(SECOND) as second:
        command = [sys.executable, "-m", "spiccato", "serve", "--port", "0"]
        environment = mic.beside(second) | {"SPICCATO_HISTORY": "off"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
            try:
                assert service.stdout is not None
                found = re.search(r"http://\S+(?=/ )", service.stdout.readline())
                assert found is not None
                while httpx.get(f"{found[0]}/readyz").status_code != 200:
                    time.sleep(0.1)
                rows, disturbed = asyncio.run(measured(mic, found[0], arguments.times, arguments.away))
            finally:
                service.terminate()
    for name in ("noticed_s", "recovered_s"):
        values = [row[name] for row in rows]
        print(f"{name}: median {statistics.median(values):.2f}, greatest {max(values):.2f}, of {len(values)}")
    print(f"the second microphone noticed {disturbed} times")
    kept = all(row["noticed_s"] < NOTICED_S and row["recovered_s"] < RECOVERED_S for row in rows) and not disturbed
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
