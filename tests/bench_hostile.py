"""What do live sessions notice of uploads that were made to do harm? Part of `make bench-service`.

The same sessions play twice to a service of its own process: alone, and while one hostile file after the other is
uploaded (the corpus of `tests/test_hostile.py`). Prints both latencies and their ratio, and writes
build/bench/hostile.json. Ends with status 1 where a frame is lost or a file is not answered with 4xx.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx

from client.figures import measure
from client.load import Plan
from spiccato.bench import started
from tests.bench import machine
from tests.bench_service import ROOT, serving
from tests.test_hostile import corpus, truncations

SHOWN = ("p50_ms", "p99_ms", "ping_p99_ms", "loop_lag_p99_ms", "late_p99_ms", "lost_frames", "rss_mb")
UPLOAD_S = 60.0


async def beside(plan: Plan, files: list[tuple[str, bytes]]) -> tuple[dict[str, Any], Counter[int]]:
    """What the sessions of `plan` measure, and the answers to the files that are uploaded meanwhile, in turn."""
    answers: Counter[int] = Counter()
    measuring = asyncio.create_task(measure(plan))
    async with httpx.AsyncClient(timeout=UPLOAD_S) as http:
        for _, data in cycle(files):
            if measuring.done():
                break
            answers[(await http.post(f"{plan.url}/v1/classify", content=data)).status_code] += 1
    return await measuring, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=12.0, help="that each of the two is measured")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for hostile.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(1) as url:
        files = [*corpus(), *truncations(Path(folder))]
        plan = Plan(url, args.sessions, args.seconds)
        alone = started(measure(plan))
        run, answers = started(beside(plan, files))
    print(f"{'':>9} " + " ".join(f"{name:>15}" for name in SHOWN))
    for name, figures in (("alone", alone), ("beside", run)):
        print(f"{name:>9} " + " ".join(f"{_shown(figures[key]):>15}" for key in SHOWN))
    ratio = run["p99_ms"] / alone["p99_ms"]
    print(f"{sum(answers.values())} uploads of {len(files)} hostile files, answers {dict(answers)}")
    print(f"p99 is {ratio:.2f} times that alone")
    report = {
        "machine": machine.describe(None),
        "sessions": args.sessions,
        "files": len(files),
        "answers": answers,
        "p99_ratio": ratio,
        "alone": alone,
        "beside": run,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "hostile.json").write_text(json.dumps(report, indent=2))
    sys.exit(bool(run["lost_frames"] or run["failed"] or {code for code in answers if not 400 <= code < 500}))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
