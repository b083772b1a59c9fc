"""Training, judging and the record of both: what a checked-in `results/NAME.json` holds. Knows the order of the steps
and the machine; nothing of sound."""

import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.zoo.data import Data
from models.zoo.judge import RATE_HZ, best_rule, judge
from models.zoo.system import Labeller, Run, Settings, Solver, System, Trained, kept


def trained_and_judged(which: System, settings: Settings, data: Data, run: Run) -> tuple[Trained, dict[str, Any]]:
    """The system and its results as JSON. Label systems are judged on the report part, once, at the end."""
    if which.needs_data:
        _ = data.clips if which.renders else data.recorded  # reading and rendering are no part of the seconds below
    start = time.process_time()
    trained = which.train(settings, data, run)
    seconds = time.process_time() - start
    results: dict[str, Any] = {
        "system": which.name,
        "kind": which.kind,
        "source": which.source,
        "notes": which.notes,
        "settings": kept(settings),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "training_cpu_s": round(seconds),
        "parameters": trained.parameters,
    }
    if isinstance(trained, Labeller):
        trained.answer = best_rule(trained, data.part("calibrate"))
        results["found"] = {name: value for name, value in trained.about().items() if name != "labels"}  # by a search
        results |= costs(trained)
        run.report("judging on the report part")
        results["figures"] = {**judge(trained, data.part("report")), **trained.further(data, run)}
    else:
        assert isinstance(trained, Solver)
        results["figures"] = trained.figures(data, run)
    return trained, results | {"data": data.described()}


def costs(labeller: Labeller) -> dict[str, Any]:
    """Operations, and how often a row comes."""
    return {
        "operations_per_s": labeller.operations_per_s,
        "hop_ms": 1000.0 * labeller.hop_samples / RATE_HZ,
    }


def machine() -> str:
    """The CPU's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, one thread"
