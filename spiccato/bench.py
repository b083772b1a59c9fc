"""`spiccato bench`: many live sessions against a running service, and what they saw. Knows how figures look.

The load itself is `client/load.py`, its figures `client/figures.py`.
"""

import asyncio
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from client.figures import Figures, measure
from client.load import Plan
from spiccato.openfiles import FILES_BESIDE, open_files
from spiccato.trouble import fail

LATE_MS = 5.0  # who sends later than this measures itself


def run(plan: Plan, as_json: bool) -> bool:
    """Returns whether every session was heard to its end with nothing lost. Raises StreamError."""
    if (most := open_files(plan.sessions + FILES_BESIDE)) < plan.sessions + FILES_BESIDE:
        fail(f"{plan.sessions} sessions: this process may have {most} files open; see `ulimit -Hn`")
    console = Console(stderr=True)
    with console.status(f"{plan.sessions} sessions for {plan.warm_s + plan.seconds:g} s"):
        figures = started(measure(plan))
    if as_json:
        print(json.dumps(figures))
    else:
        Console().print(table(figures))
        for told in remarks(figures):
            print(told, file=sys.stderr)
    return not figures["failed"] and not figures["lost_frames"]


def started(work: Any) -> Figures:
    """On the quickest event loop that there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def table(figures: Figures) -> Table:
    what = f"{figures['sessions']} sessions, chunks of {figures['chunk_ms']} ms, {figures['framing']}"
    rows = Table(title=f"{what}, {figures['seconds']:g} s", show_header=False, title_justify="left")
    rows.add_column(style="bold")
    rows.add_column()
    answers = f"p50 {_ms(figures['p50_ms'])}, p95 {_ms(figures['p95_ms'])}, p99 {_ms(figures['p99_ms'])}"
    rows.add_row("chunk to answer", f"{answers}, at most {_ms(figures['max_ms'])} (of {figures['answers']})")
    rows.add_row("chunk to event", f"p99 {_ms(figures['event_p99_ms'])} (of {figures['events']})")
    rows.add_row("ping to pong", f"p99 {_ms(figures['ping_p99_ms'])}")
    rows.add_row("lag", f"at most {_ms(figures['lag_ms'])} of sound waited")
    factor = figures["realtime_factor"]
    rows.add_row("real-time factor", "-" if factor is None else f"{factor:.5f} (processing time over sound)")
    lost = f"{figures['lost_frames']} frames, {figures['gaps']} gaps, {figures['left_out']} telemetry messages left out"
    rows.add_row("lost", lost)
    if figures["cpu_ms_per_stream_second"] is not None:
        rows.add_row("server: CPU", f"{figures['cpu_ms_per_stream_second']:g} ms for a second of one stream")
        rows.add_row("server: memory", f"{figures['rss_mb']:g} MB")
        rows.add_row("server: event loop", f"p99 at most {_ms(figures['loop_lag_p99_ms'])} late")
    return rows


def remarks(figures: Figures) -> list[str]:
    said = [f"a session ended early: {why}" for why in figures["why_failed"]]
    late = figures["late_p99_ms"]
    if late is not None and late > LATE_MS:
        said.append(f"chunks were sent up to {late:g} ms late (p99): this machine is too busy to measure with")
    if figures["cpu_ms_per_stream_second"] is None:
        said.append("the server's own figures need a token of role `listen` or `admin`")
    return said


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:g} ms"
