"""What one process of the service bears: `make bench-service`, or `python -m tests.bench_service --help`.

Starts the real service in a process of its own and loads it from this one with 1 to 1 000 live sessions of 16 kHz, each
in real time. Not a test: nothing here passes or fails. A latency is the time from the sending of a chunk to the arrival
of a message that it caused (a `level` or an event; `client/load.py`). The knee is the greatest load with p99 up to
25 ms, no frame lost and a generator that kept its own time. Writes service.json and service.png.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from client.figures import measure
from client.load import Plan
from spiccato.bench import LATE_MS, started
from spiccato.openfiles import FILES_BESIDE, open_files
from tests.bench import machine, service_plot
from tests.bench.missing import Missing

ROOT = Path(__file__).resolve().parents[1]
COUNTS = (1, 10, 50, 100, 200, 300, 400, 500, 700)  # with chunks of 20 ms
LARGER = (500, 1_000)  # with chunks of 40 ms
QUICK = (1, 50, 200)
P99_MS = 25.0
LOOP_MS = 10.0  # by which the server's event loop may be late, p99
TARGETS = ((500, 20), (1_000, 40))  # sessions that one process is to bear, with chunks of so many ms
START_S = 120.0


@contextmanager
def serving(workers: int) -> Iterator[str]:
    """A service of its own process; its address."""
    most = str(2 * max(*COUNTS, *LARGER))
    environment = os.environ | {"SPICCATO_MAX_SESSIONS": most, "SPICCATO_HISTORY": "off", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "spiccato", "serve", "--port", "0", "--log-level", "warning"]
    if workers > 1:
        command += ["--workers", str(workers)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+", said)
        if found is None:
            raise SystemExit(f"the service did not start: {said!r}")
        url = found[0].rstrip("/")
        until_ready(url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def until_ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the service was not ready within {START_S:g} s")


def steady(figures: dict[str, Any]) -> bool:
    """Within the limits, and measured by a generator that kept its own time."""
    return bool(
        figures["p99_ms"] is not None
        and figures["p99_ms"] <= P99_MS
        and not figures["lost_frames"]
        and not figures["failed"]
        and figures["late_p99_ms"] <= LATE_MS
    )


def missed(figures: dict[str, Any]) -> list[str]:
    """Which limits it broke, in words; none where it held all of them."""
    p99_ms, loop_ms = figures["p99_ms"], figures["loop_lag_p99_ms"]
    said = []
    if figures["late_p99_ms"] > LATE_MS:
        said.append(f"not measured, the generator was {figures['late_p99_ms']:.3g} ms late (p99)")
    if p99_ms is None or p99_ms > P99_MS:
        said.append(f"p99 {_shown(p99_ms)} ms, the limit is {P99_MS:g}")
    if loop_ms is None or loop_ms > LOOP_MS:
        said.append(f"the event loop's lag p99 {_shown(loop_ms)} ms, the limit is {LOOP_MS:g}")
    if figures["lost_frames"] or figures["failed"]:
        said.append(f"{figures['lost_frames']} frames lost, {figures['failed']} sessions failed")
    return said


def knee(runs: list[dict[str, Any]], chunk_ms: int) -> int | None:
    """The greatest number of sessions up to which every run was steady."""
    best = None
    for run in sorted((run for run in runs if run["chunk_ms"] == chunk_ms), key=lambda run: run["sessions"]):
        if not run["steady"]:
            break
        best = run["sessions"]
    return best


COLUMNS = {  # key of a run to its column
    "sessions": "sessions",
    "chunk_ms": "ms",
    "framing": "framing",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "event_p99_ms": "event p99",
    "lost_frames": "lost",
    "cpu_ms_per_stream_second": "CPU ms/s",
    "rss_mb": "MB",
    "loop_lag_p99_ms": "loop p99",
    "ping_p99_ms": "ping p99",
    "late_p99_ms": "late",
    "generator_cpu": "gen CPU",
    "steady": "steady",
}


def row(run: dict[str, Any]) -> str:
    return " ".join(f"{_shown(run[key]):>9}" for key in COLUMNS)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} sessions only, chunks of 20 ms, raw")
    parser.add_argument("--seconds", type=float, default=6.0, help="that each load is measured")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    parser.add_argument("--sessions", type=int, nargs="+", help="these loads only, chunks of 20 ms, raw")
    parser.add_argument("--targets", action="store_true", help="only the loads that one process is to bear")
    parser.add_argument("--repeat", type=int, default=1, help="times, one after the other on one service")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for service.json and .png")
    args = parser.parse_args()
    loads = [(n, 20, False) for n in args.sessions or (QUICK if args.quick else COUNTS)]
    if args.targets:
        loads = [(n, chunk_ms, framed) for n, chunk_ms in TARGETS for framed in (False, True)]
    elif not args.quick and not args.sessions:
        loads += [(500, 20, True), *((n, 40, False) for n in LARGER), (LARGER[-1], 40, True)]
    loads *= args.repeat
    if open_files(wanted := max(n for n, _, _ in loads) + FILES_BESIDE) < wanted:
        raise SystemExit(f"this process may not have {wanted} files open: see `ulimit -Hn`")
    runs: list[dict[str, Any]] = []
    print(" ".join(f"{name:>9}" for name in COLUMNS.values()), flush=True)
    with serving(args.workers) as url:
        for sessions, chunk_ms, framed in loads:
            run = started(measure(Plan(url, sessions, args.seconds, chunk_ms=chunk_ms, framed=framed)))
            run["steady"] = steady(run)
            runs.append(run)
            print(row(run), flush=True)
    targets = [
        {"sessions": run["sessions"], "chunk_ms": run["chunk_ms"], "framing": run["framing"], "missed": missed(run)}
        for run in runs
        if (run["sessions"], run["chunk_ms"]) in TARGETS
    ]
    report = {
        "machine": machine.describe(None),
        "workers": args.workers,
        "p99_limit_ms": P99_MS,
        "knee": {f"{chunk_ms}_ms": knee(runs, chunk_ms) for chunk_ms in sorted({run["chunk_ms"] for run in runs})},
        "targets": targets,
        "runs": runs,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "service.json").write_text(json.dumps(report, indent=2))
    missing = Missing()
    if missing.attempt("picture", lambda: service_plot.save(report, args.out / "service.png")) is None:
        (args.out / "service.png").unlink(missing_ok=True)  # one of an earlier run would not fit this report
    for chunk_ms, most in report["knee"].items():  # type: ignore[attr-defined]
        print(f"knee with chunks of {chunk_ms.replace('_', ' ')}: {most or 'below the smallest load'}")
    for target in targets:
        which = f"{target['sessions']} sessions with chunks of {target['chunk_ms']} ms, {target['framing']}"
        print(f"{which}: {'MISSED: ' + '; '.join(target['missed']) if target['missed'] else 'held'}")
    if any(run["late_p99_ms"] > LATE_MS for run in runs):
        print(f"where `late` is over {LATE_MS:g} ms this machine was too busy: those rows say nothing of the service")
    print(f"written: {args.out}/service.json" + ("" if "picture" in missing else " and service.png"))


if __name__ == "__main__":
    main()
