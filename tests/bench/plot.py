"""A report as one picture: parts of a frame, rivals on a log axis, transforms, curves. Measures nothing."""

from pathlib import Path
from typing import Any

from tests.bench.report import Report

INK, GREY, LINE = "#1f2933", "#7b8794", "#d5dae0"
ENGINE, OTHER = "#d1495b", "#9fb3c8"
EAR, NETWORK, REST = "#2a7f86", "#e08e45", "#a0a8b1"
OTHER_STAGES = ("check of the samples", "latches", "trace", "the rest")

# What grows: the panel's title and what its axis counts.
PANELS = {
    "streams": ("Streams in a pool", "whole frame, µs"),
    "hidden layers of 128": ("Hidden layers of 128", "network, µs"),
    "width of two hidden layers": ("Width of two hidden layers", "network, µs"),
    "input spikes, %": ("Input spikes, %", "network, µs"),
    "bands": ("Bands", "front end, µs"),
    "samples in a frame": ("Samples in a frame", "front end, µs"),
    "hop, ms": ("Hop, ms", "front end, µs"),
}


def save(report: Report, path: Path) -> Path:
    """Raises ImportError without matplotlib."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.size": 9, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": GREY,
        "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlepad": 9,
    }  # fmt: skip
    with mpl.rc_context(style):
        height = 12.5 if report.curves else 7.0
        figure = Figure(figsize=(13, height), facecolor="white", layout="constrained")
        figure.get_layout_engine().set(rect=(0.01, 0.01, 0.98, 1 - 1.0 / height), h_pad=0.1, w_pad=0.1)  # type: ignore[union-attr]
        halves = figure.subfigures(2, 1, height_ratios=[1.3, 1]) if report.curves else [figure]
        grid = halves[0].add_gridspec(2, 2, height_ratios=[1, 1.15])
        parts(halves[0].add_subplot(grid[:, 0]), report)
        rivals(halves[0].add_subplot(grid[0, 1]), report)
        transforms(halves[0].add_subplot(grid[1, 1]), report)
        if report.curves:
            panels = halves[1].subplots(2, 4).ravel()
            for axes, what in zip(panels, report.curves, strict=False):
                curve(axes, report, what)
            if report.peers:
                peers(panels[-1], report)
            else:
                panels[-1].set_axis_off()
        title = f"{report.whole_us():.2f} µs a frame, {report.times_real_time():,.0f} times real time"
        figure.text(0.015, 1 - 0.2 / height, title, fontsize=16, fontweight="bold", va="top")
        m = report.machine
        said = f"{report.models['reference']}, a hop of {report.hop_us / 1e3:g} ms, samples to latch. {m['cpu']}, "
        said += f"one thread; {m['clock']}, medians of {m['repeats']} rounds in which all take turns"
        figure.text(0.015, 1 - 0.55 / height, said, color=GREY, va="top")
        figure.savefig(path, dpi=120)
    return path


def parts(axes: Any, report: Report) -> None:
    """Each stage begins where the one before ends: the bars together are a frame."""
    named = {name: time.median for name, time in report.stages.items()} | {"the rest": max(report.rest(), 0.0)}
    whole = sum(named.values())
    at = 0.0
    for row, (name, time) in enumerate(named.items()):
        own = NETWORK if name.startswith("layer") else REST if name in OTHER_STAGES else EAR
        axes.barh(row, time, left=at, color=own, height=0.72)
        before = at + time > 0.85 * whole
        x, side = (at - 0.01 * whole, "right") if before else (at + time + 0.01 * whole, "left")
        axes.text(x, row, f"{time:.0f}", ha=side, va="center", fontsize=8.5, bbox={"color": "white", "pad": 0.5})
        at += time
    axes.axvline(report.floor.median, color=INK, linewidth=1, linestyle=":")
    axes.text(report.floor.median, len(named) - 0.35, " floor: its bytes moved once", fontsize=8, va="center")
    axes.set_yticks(range(len(named)), list(named))
    axes.set(title="Where a frame's time goes, ns", xlim=(0, at), ylim=(len(named), -0.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def bars(axes: Any, values: dict[str, float], title: str, form: str) -> None:
    """Horizontal bars on a log axis, the quickest first, the engine's in its colour."""
    names = sorted(values, key=lambda name: -values[name])
    colours = [ENGINE if name.startswith("engine") else OTHER for name in names]
    axes.barh(names, [values[name] for name in names], color=colours, height=0.7)
    for i, name in enumerate(names):
        axes.text(values[name] * 1.08, i, form.format(values[name]), va="center", fontsize=8.5)
    axes.set_xscale("log")
    axes.set(title=title, xlim=(min(values.values()) / 3, max(values.values()) * 2.5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def rivals(axes: Any, report: Report) -> None:
    values = {name: time.median / 1e3 for name, time in report.races["reference"].items()}
    bars(axes, values, f"The network alone, {report.models['reference']}, µs a frame", "{:,.3g}")


def transforms(axes: Any, report: Report) -> None:
    n, libraries = next(iter(report.fft.items()))
    bars(axes, {name: t.median for name, t in libraries.items()}, f"The transform alone, {n} samples, ns", "{:,.0f}")


def curve(axes: Any, report: Report, what: str) -> None:
    times = report.curves[what]
    title, counts = PANELS[what]
    x = list(times)
    lower, upper = [t.lower / 1e3 for t in times.values()], [t.upper / 1e3 for t in times.values()]
    axes.fill_between(x, lower, upper, color=ENGINE, alpha=0.15, linewidth=0)
    axes.plot(x, [t.median / 1e3 for t in times.values()], color=ENGINE, marker="o", markersize=4, linewidth=1.5)
    if what == "streams":
        axes.set_xscale("log", base=2)
        x.remove(1024)  # its label would lie on its neighbour's
    axes.set_xticks(x, [f"{at:g}" if at < 1000 else f"{at / 1024:g}k" for at in x])
    axes.minorticks_off()
    axes.set(title=title, ylim=(0, 1.12 * max(upper)), ylabel=counts)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def peers(axes: Any, report: Report) -> None:
    values = {name: report.peer_ms_a_second(name) for name in report.peers}
    bars(axes, values, "CPU a second of audio, ms", "{:,.2g}")
