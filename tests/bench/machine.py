"""One thread on one CPU, a clock for it, and what machine it was. Imported before numpy: knows nothing of audio."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
FINE_NS = 10_000  # a clock that ticks more coarsely than this says nothing about a run of milliseconds


def one_thread() -> int | None:
    """Keep every library on one thread, and this process on one CPU; returns which, None where that cannot be had.

    To be called before numpy is imported: the threads of a BLAS that wait for work make every figure slower.
    """
    os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))
    if not hasattr(os, "sched_setaffinity"):
        return None
    cpu = max(os.sched_getaffinity(0))  # the first ones serve more interrupts
    os.sched_setaffinity(0, {cpu})
    return cpu


def clock() -> tuple[str, Callable[[], int]]:
    """What times are measured with: the CPU time of the whole process, so that others on the same CPU do not count.

    Every thread counts: a library that started more of them would gain nothing. Wall time where CPU time is coarse.
    """
    began = time.process_time_ns()
    while (ended := time.process_time_ns()) == began:
        pass
    if ended - began < FINE_NS:
        return "CPU time", time.process_time_ns
    return "wall time", time.perf_counter_ns


def describe(cpu: int | None) -> dict[str, object]:
    """The machine of a run, for its report."""
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "pinned_to": cpu,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
