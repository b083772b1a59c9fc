"""A report as one picture: parts of a frame, rivals on a log axis, transforms, curves. Measures nothing."""

from pathlib import Path
from typing import Any

from tests.bench.report import Report

INK, GREY, ENGINE, OTHER = "#1f2933", "#8a94a0", "#d1495b", "#9fb3c8"
STAGES = ("#264653", "#2a6f77", "#2a9d8f", "#57b894", "#8ab17d", "#babb74", "#e9c46a", "#f4a261", "#ee8959", "#e76f51",
          "#c05746", "#a0525b", "#7d4f6d", "#6d6875")  # fmt: skip
REST = "#d5dae0"
UNITS = {"streams": "streams in a pool", "hidden layers of 128": "hidden layers of 128", "bands": "bands"}


def save(report: Report, path: Path) -> Path:
    """Raises ImportError without matplotlib."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.size": 9, "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": INK,
        "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlepad": 10,
    }  # fmt: skip
    with mpl.rc_context(style):
        rows = 4 if report.curves else 2
        figure = Figure(figsize=(13, 13.5 if report.curves else 7.5), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # type: ignore[union-attr]
        grid = figure.add_gridspec(rows, 12, height_ratios=[1.0, 1.5, 1.1, 1.1][:rows])
        parts(figure.add_subplot(grid[0, :]), report)
        rivals(figure.add_subplot(grid[1, :6]), report)
        transforms(figure.add_subplot(grid[1, 6:]), report)
        places = [grid[row, 3 * i : 3 * i + 3] for row in (2, 3) for i in range(4)] if report.curves else []
        for place, what in zip(places, report.curves, strict=False):
            curve(figure.add_subplot(place), report, what)
        if places and report.peers:
            peers(figure.add_subplot(places[-1]), report)
        figure.suptitle(
            f"{report.whole_us():.2f} µs a frame of 10 ms, {report.times_real_time():,.0f} times real time\n",
            x=0.01, ha="left", fontsize=15, fontweight="bold",
        )  # fmt: skip
        figure.text(
            0.01, 0.965 if report.curves else 0.945,
            f"network {report.models['reference']}, {report.machine['cpu']}, one thread, {report.machine['clock']}, "
            f"medians of {report.machine['repeats']} rounds",
            color=GREY, va="top",
        )  # fmt: skip
        figure.savefig(path, dpi=130)
    return path


def parts(axes: Any, report: Report) -> None:
    at = 0.0
    whole = report.frames["reference"]["whole"].median
    named = {name: time.median for name, time in report.stages.items()} | {"rest": max(report.rest(), 0.0)}
    for i, (name, time) in enumerate(named.items()):
        colour = REST if name == "rest" else STAGES[i % len(STAGES)]
        axes.barh(
            0, time, left=at, color=colour, edgecolor="white", linewidth=1, height=0.6, label=f"{name} {time:.0f}"
        )
        if time > 0.06 * whole:
            axes.text(at + time / 2, 0, f"{time:.0f}", ha="center", va="center", color="white", fontweight="bold")
        at += time
    axes.axvline(report.floor.median, color=INK, linewidth=1, linestyle=":", ymin=0.05, ymax=0.95)
    axes.text(report.floor.median, 0.36, " floor: bytes moved once", fontsize=8, va="bottom")
    axes.set(title="Where a frame's time goes, ns", yticks=[], xlim=(0, at), ylim=(-0.4, 0.5))
    axes.spines["left"].set_visible(False)
    axes.legend(ncols=7, loc="upper left", bbox_to_anchor=(0, -0.15), frameon=False, fontsize=8.5, handlelength=1)


def bars(axes: Any, values: dict[str, float], title: str, form: str) -> None:
    """Horizontal bars on a log axis, the engine's in its colour."""
    names = list(values)[::-1]
    colours = [ENGINE if name.startswith("engine") else OTHER for name in names]
    axes.barh(names, [values[name] for name in names], color=colours, height=0.65)
    for i, name in enumerate(names):
        axes.text(values[name] * 1.08, i, form.format(values[name]), va="center", fontsize=8.5)
    axes.set_xscale("log")
    axes.set(title=title, xlim=(min(values.values()) / 2, max(values.values()) * 3))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=REST, linewidth=0.6)
    axes.set_axisbelow(True)


def rivals(axes: Any, report: Report) -> None:
    values = {name: time.median / 1e3 for name, time in report.races["reference"].items()}
    bars(axes, values, f"The network alone, {report.models['reference']}, µs a frame", "{:,.3g}")


def transforms(axes: Any, report: Report) -> None:
    n, libraries = next(iter(report.fft.items()))
    bars(axes, {name: t.median for name, t in libraries.items()}, f"The transform alone, {n} samples, ns", "{:,.0f}")


def curve(axes: Any, report: Report, what: str) -> None:
    times = report.curves[what]
    x = list(times)
    axes.fill_between(
        x,
        [t.lower / 1e3 for t in times.values()],
        [t.upper / 1e3 for t in times.values()],
        color=ENGINE,
        alpha=0.15,
        lw=0,
    )
    axes.plot(x, [t.median / 1e3 for t in times.values()], color=ENGINE, marker="o", markersize=4, linewidth=1.5)
    if what == "streams":
        axes.set_xscale("log", base=2)
    axes.set_xticks(x, [f"{at:g}" for at in x])
    axes.minorticks_off()
    axes.set(title=what[0].upper() + what[1:], ylim=(0, None), ylabel="µs a frame")
    axes.grid(axis="y", color=REST, linewidth=0.6)
    axes.set_axisbelow(True)


def peers(axes: Any, report: Report) -> None:
    values = {"engine": report.cpu_ms_a_second()} | {name: report.peer_ms_a_second(name) for name in report.peers}
    bars(axes, values, "CPU for a second of audio, ms", "{:,.2g}")
