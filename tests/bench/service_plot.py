"""The picture of a load: latency and CPU against the number of sessions. Knows the report's keys; measures nothing."""

from pathlib import Path
from typing import Any

COLOURS = {20: "#2456a4", 40: "#c2571a"}


def save(report: dict[str, Any], path: Path) -> Path:
    """Raises ImportError without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    for chunk_ms, colour in COLOURS.items():
        runs = [run for run in report["runs"] if run["chunk_ms"] == chunk_ms and run["framing"] == "raw"]
        runs.sort(key=lambda run: run["sessions"])
        if not runs:
            continue
        x = [run["sessions"] for run in runs]
        label = f"chunks of {chunk_ms} ms"
        above.plot(x, [run["p99_ms"] for run in runs], "o-", color=colour, label=f"p99, {label}")
        above.plot(x, [run["p50_ms"] for run in runs], "o:", color=colour, label=f"median, {label}")
        below.plot(x, [run["cpu_ms_per_stream_second"] for run in runs], "o-", color=colour, label=label)
    above.axhline(report["p99_limit_ms"], color="#888888", linewidth=1)
    above.set(title="Chunk sent to answer received, ms", yscale="log")
    below.set(title="CPU for a second of one stream, ms", xlabel="live sessions", yscale="log", xscale="log")
    for axes in (above, below):
        axes.legend(frameon=False)
        axes.grid(color="#dddddd", linewidth=0.6)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
