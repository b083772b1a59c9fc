"""The tables of `docs/models.md`: `python -m models.zoo.table` writes them from the results and the judged model.

Knows figures and Markdown. With `--check` it writes nothing and ends with status 1 where they are not up to date.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from engine.weights import Model, load
from models.zoo.answer_time import TIMES
from models.zoo.judge import MOMENTS_MS, accuracy, macro_f1

RESULTS = Path(__file__).parent / "results"
JUDGED = Path(__file__).parents[1] / "weights" / "orchestra-twin.safetensors"
DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- the zoo's tables: python -m models.zoo.table -->", "<!-- end of the zoo's tables -->"
HEAD = (
    "system", *(f"{ms} ms" for ms in MOMENTS_MS), "accuracy", "macro F1", "10 dB SNR", "parameters",
    "million operations a second", "first answer", "training, CPU",
)  # fmt: skip

Times = dict[str, dict[str, float]]  # system -> how soon it answers, as `answer_time.py` measured it


def tables(results: list[dict[str, Any]], model: Model, times: Times) -> str:
    """results: what the files of RESULTS hold. Label systems come by their accuracy after 1 s."""
    rows = [
        _spiking(model, times),
        *(_label(one, times) for one in results if one["kind"] == "labels" and "case" not in one),
    ]
    rows.sort(key=lambda row: -row[0])
    tasks = [
        (f"`{one['system']}`", row["what"], row["ours"], row["to_beat"])
        for one in results
        for row in [*_case(one), *one["figures"].get("headline", [])]
    ]
    text = _table(HEAD, [row[1] for row in rows])
    if tasks:
        text += "\n\n" + _table(("system", "its task", "here", "to beat"), tasks)
    return text


def read() -> list[dict[str, Any]]:
    """The checked-in results, by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def read_times() -> Times:
    told: Times = json.loads(TIMES.read_text(encoding="utf-8"))["systems"]
    return told


def placed(document: str, text: str) -> str:
    """The document with `text` between its markers. Raises ValueError if they are not there."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document has no {BEGIN} followed by {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _label(one: dict[str, Any], times: Times) -> tuple[float, tuple[Any, ...]]:
    figures = one["figures"]
    at = figures["balanced_accuracy"]
    return at["1000"], (
        f"`{one['system']}`",
        *(at[str(ms)] for ms in MOMENTS_MS),
        figures["accuracy"],
        figures["macro_f1"],
        figures["balanced_accuracy_white_noise"]["10 dB"],
        _thousands(one["parameters"]),
        f"{one['operations_per_s'] / 1e6:.0f} multiplies",
        _first(times[one["system"]]),
        f"{one['training_cpu_s'] / 60:.0f} min",
    )


def _case(one: dict[str, Any]) -> list[dict[str, str]]:
    """Of a label system on one library by itself (`philharmonia.py`)."""
    if "case" not in one:
        return []
    case, figures = one["case"], one["figures"]
    what = f"{len(case['classes'])} instruments of the library {case['library']}, no pitch on two sides: accuracy"
    return [{"what": what, "ours": f"{figures['accuracy']} %", "to_beat": f"{case['to_beat']} %, with a leaking split"}]


def _spiking(model: Model, times: Times) -> tuple[float, tuple[Any, ...]]:
    figures = model.trained["figures"]
    at = figures["balanced_accuracy"]
    parameters = sum(
        layer.weight.size + layer.bias.size + layer.beta.size + layer.threshold.size for layer in model.layers
    )
    work = figures["further"]["operations_per_s"]
    return at["1000"], (
        f"**`{model.name}` {model.version}**, twin of the shipped",
        *(at[str(ms)] for ms in MOMENTS_MS),
        accuracy(figures["confusion"]),
        macro_f1(figures["confusion"]),
        figures["balanced_accuracy_white_noise"]["10 dB"],
        _thousands(parameters),
        f"{work['effective_accumulates'] / 1e6:.1f} additions",
        _first(times[model.name]),
        "",
    )


def _first(time: dict[str, float]) -> str:
    """Sound and computing."""
    return f"{time['sound_ms']:.0f} (at most {time['worst_sound_ms']:.0f}) + {time['compute_ms']:.2g} ms"


def _thousands(count: int) -> str:
    return f"{count / 1000:.0f} k"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the zoo's tables into docs/models.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if they are not up to date")
    check = parser.parse_args().check
    old = DOCUMENT.read_text(encoding="utf-8")
    new = placed(old, tables(read(), load(JUDGED), read_times()))
    if check:
        sys.exit(old != new)
    DOCUMENT.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
