"""A report as tables in a terminal. Knows figures and words; measures nothing."""

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.report import Report
from tests.bench.timing import Times


def show(report: Report) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    m = report.machine
    console.print(
        f"\n{m['cpu']}, {m['cpus']} CPUs, load {m['load_before']}, Python {m['python']}; one thread on one CPU. "
        f"{m['clock']}: medians of {m['repeats']} rounds over {m['seconds']:g} s of sound, the least in brackets."
    )
    for part in (frames, networks, where, transforms, curves, peers):
        table = part(report)
        if table.row_count:
            console.print()
            console.print(table)
    if report.missing:
        console.print()
        for name, reason in report.missing.items():
            console.print(f"{name}: {reason}")


def new(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def frames(report: Report) -> Table:
    table = new("A frame, microseconds", "", *[f"{name}\n{report.models[name]}" for name in report.frames])
    rows = {
        "whole": "samples to latch, a long block in one call",
        "untraced": "the same without the trace",
        "front end": "  front end alone",
        "network": "  network alone",
        "latches": "  latches alone",
        "trace": "  trace alone",
        "live": "samples to latch, one call a hop",
    }
    for part, words in rows.items():
        table.add_row(words, *[us(parts[part]) for parts in report.frames.values()])
    table.add_row("CPU for a second of audio, ms", *[f"{report.cpu_ms_a_second(name):.3f}" for name in report.frames])
    table.add_row("times real time", *[f"{report.times_real_time(name):,.0f}" for name in report.frames])
    blank = [""] * (len(report.frames) - 1)
    table.add_row(f"a frame of one of {report.pool_at} streams in a pool", us(report.pool[report.pool_at]), *blank)
    table.add_row("live streams for one core, pooled", f"{report.streams_a_core():,}", *blank)
    return table


def networks(report: Report) -> Table:
    heads = [head for name in report.races for head in (f"{name}\n{report.models[name]}", "times\nengine")]
    table = new("The network alone, microseconds a frame", "", *heads)
    for rival in dict.fromkeys(name for race in report.races.values() for name in race):
        row = []
        for race in report.races.values():
            if rival in race:
                row += [us(race[rival]), f"{race[rival].median / race['engine'].median:,.2f}"]
            else:
                row += ["", ""]
        table.add_row(rival, *row)
    if "rival size" in report.races:
        table.caption = "rival size: random spikes at 10 % of the inputs; the others hear music"
    return table


def where(report: Report) -> Table:
    table = new(f"Where a frame's time goes, {report.models['reference']}, nanoseconds", "", "alone", "of the whole, %")
    whole = report.frames["reference"]["whole"].median
    for name, time in report.stages.items():
        table.add_row(name, ns(time), f"{100 * time.median / whole:.1f}")
    table.add_row("the rest: loop, prefetch, cold caches", f"{report.rest():.0f}", f"{100 * report.rest() / whole:.1f}")
    table.add_row("whole", ns(report.frames["reference"]["whole"]), "100.0", end_section=True)
    table.add_row("what a call from Python adds", f"{report.frames['reference']['live'].median - whole:.0f}", "")
    floor = f"floor: its {report.floor_bytes:,} bytes moved once, no arithmetic"
    table.add_row(floor, ns(report.floor), f"{100 * report.floor.median / whole:.1f}")
    return table


def transforms(report: Report) -> Table:
    table = new("The transform alone, nanoseconds a frame", "", *[f"{n} samples" for n in report.fft])
    for name in dict.fromkeys(name for libraries in report.fft.values() for name in libraries):
        table.add_row(name, *[ns(libraries[name]) if name in libraries else "" for libraries in report.fft.values()])
    table.caption = "libraries: a call from Python each, batched: one for 256 frames, rocket-fft: in a compiled loop"
    return table


def curves(report: Report) -> Table:
    most = max((len(curve) for curve in report.curves.values()), default=0)
    table = new("How the cost grows, microseconds a frame", "", *[""] * most)
    for what, curve in report.curves.items():
        cells = [f"[dim]{at:g}[/]\n{time.median / 1e3:.3f}" for at, time in curve.items()]
        table.add_row(what, *cells, *[""] * (most - len(cells)))
    return table


def peers(report: Report) -> Table:
    table = new("Others, milliseconds of CPU for a second of audio", "", "ms", "times engine")
    for name in report.peers:
        table.add_row(name, f"{report.peer_ms_a_second(name):.3f}", f"{report.peer_ratio(name):.1f}")
    return table


def us(time: Times) -> str:
    if time.median >= 1e5:
        return f"{time.median / 1e3:.0f} ({time.least / 1e3:.0f})"
    digits = 3 if time.median < 1e4 else 1
    return f"{time.median / 1e3:.{digits}f} ({time.least / 1e3:.{digits}f})"


def ns(time: Times) -> str:
    return f"{time.median:,.0f} ({time.least:,.0f})"
