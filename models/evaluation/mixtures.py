"""Recordings in which several instruments sound, judged against who sounds when. Knows streams of events, not clips.

What `spiccato data render` writes, or a `truth.csv` of one's own: `path`, `onset_s`, `offset_s`, `label`, a row for
each time that an instrument sounds. Each file is heard as one stream, as loud as it is. Three questions, from loose to
strict: is each instrument named that sounds somewhere in the file; in each segment of 1 s and of 100 ms; and are its
onsets and offsets right.
Source of segments: Mesaros, Heittola and Virtanen 2016, "Metrics for Polyphonic Sound Event Detection", as in sed_eval:
a label counts for a segment if it is on in any part of it.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.events import Event
from engine.pipeline import Pipeline
from engine.weights import Model
from models.data.recording import CorpusError
from models.evaluation.collars import SoundEvent, event_f1, prf
from models.evaluation.listing import LeftOut
from models.evaluation.sound import Unreadable, pieces
from models.evaluation.target import target_of

TRUTH = "truth.csv"
FIELDS = {"path", "onset_s", "offset_s", "label"}
SEGMENTS_S = (1.0, 0.1)
COLLARS_MS = (50, 200)


@dataclass(frozen=True)
class Mixture:
    """One file: what sounds in it, and what the engine said. Times in seconds."""

    seconds: float
    truth: list[SoundEvent]
    said: list[SoundEvent]


def table_of(path: Path) -> Path | None:
    """The table of truth that `path` is or holds, if it is one."""
    table = path / TRUTH if path.is_dir() else path
    if not table.is_file() or table.suffix.lower() != ".csv":
        return None
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return table if set(next(csv.reader(file), [])) >= FIELDS else None


def judge(
    model: Model,
    table: Path,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Figures of at most `limit` files, as JSON. Raises CorpusError naming the first line that is no truth."""
    truths, left_out = read(table, model)
    names = sorted(truths)[:limit]
    mixtures = []
    for done, name in enumerate(names, start=1):
        try:
            mixtures.append(hear(model, table.parent / name, truths[name]))
        except Unreadable as error:
            left_out.append(LeftOut(name, "", str(error)))
        progress(done, len(names))
    return {
        "files": len(mixtures),
        "seconds": round(sum(one.seconds for one in mixtures), 2),
        **figures(model, mixtures),
        "left_out": [{"path": one.name, "instrument": one.instrument, "reason": one.reason} for one in left_out],
    }


def read(table: Path, model: Model) -> tuple[dict[str, list[SoundEvent]], list[LeftOut]]:
    """File -> what sounds in it. A file with an instrument that is no label of the model is left out whole: whatever
    was said of it might be right."""
    truths: dict[str, list[SoundEvent]] = defaultdict(list)
    unknown: dict[str, LeftOut] = {}
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            name, written = (row.get("path") or "").strip(), (row.get("label") or "").strip()
            try:
                onset_s, offset_s = float(row["onset_s"]), float(row["offset_s"])
            except (TypeError, ValueError):
                onset_s = offset_s = math.nan
            if not name or not 0.0 <= onset_s < offset_s < math.inf:
                raise CorpusError(
                    f"{table}, line {rows.line_num}: needs a path and 0 <= onset_s < offset_s, found path={name!r},"
                    f" onset_s={row.get('onset_s')!r}, offset_s={row.get('offset_s')!r}"
                )
            target = target_of(written, model)
            if isinstance(target, str) or target.label is None:
                reason = target if isinstance(target, str) else f"{written!r} is not one label of the model"
                unknown.setdefault(name, LeftOut(name, written, reason))
                continue
            truths[name].append((target.label, onset_s, offset_s))
    return {name: events for name, events in truths.items() if name not in unknown}, list(unknown.values())


def hear(model: Model, path: Path, truth: list[SoundEvent]) -> Mixture:
    """The whole file as one stream. Raises Unreadable."""
    rate_hz = model.front_end.sample_rate_hz
    pipeline = Pipeline(model)
    events: list[Event] = []
    for sound in pieces(path, rate_hz):
        events += pipeline.feed(sound)
    samples = pipeline.samples
    events += pipeline.flush()
    said = [
        (e.label, e.onset_sample / rate_hz, (e.offset_sample or 0) / rate_hz) for e in events if e.phase == "offset"
    ]
    return Mixture(samples / rate_hz, truth, said)


def figures(model: Model, mixtures: Sequence[Mixture]) -> dict[str, Any]:
    """Shares 0..1. Macro: the mean over the labels that sound somewhere."""
    clips = [(one.truth, one.said) for one in mixtures]
    return {
        "file_labels": over_labels(model, [({e[0] for e in one.truth}, {e[0] for e in one.said}) for one in mixtures]),
        "segments": {
            f"{size_s:g}": over_labels(model, [pair for one in mixtures for pair in segments(one, size_s)])
            for size_s in SEGMENTS_S
        },
        "event_f1": {
            str(ms): {"onset": event_f1(clips, ms / 1000, False), "onset_offset": event_f1(clips, ms / 1000, True)}
            for ms in COLLARS_MS
        },
    }


def segments(mixture: Mixture, size_s: float) -> list[tuple[set[str], set[str]]]:
    """(labels that sound, labels that were said) of each segment of the file."""
    last = max([mixture.seconds, *(event[2] for event in mixture.truth)])
    rows: list[tuple[set[str], set[str]]] = [(set(), set()) for _ in range(math.ceil(round(last / size_s, 6)))]
    for column, events in enumerate((mixture.truth, mixture.said)):
        for label, onset_s, offset_s in events:
            first = math.floor(round(onset_s / size_s, 6))
            for row in rows[first : max(first + 1, math.ceil(round(offset_s / size_s, 6)))]:
                row[column].add(label)
    return rows


def over_labels(model: Model, pairs: Sequence[tuple[set[str], set[str]]]) -> dict[str, Any]:
    """pairs: (true labels, said labels) of each file or segment. F1 over all of them, of each label, and their mean."""
    labels: Mapping[str, dict[str, float]] = {
        label: prf(
            sum(label in true and label in said for true, said in pairs),
            sum(label in true for true, _ in pairs),
            sum(label in said for _, said in pairs),
        )
        for label in model.labels
        if any(label in true for true, _ in pairs)
    }
    overall = prf(
        sum(len(true & said) for true, said in pairs),
        sum(len(true) for true, _ in pairs),
        sum(len(said) for _, said in pairs),
    )
    macro = sum(row["f1"] for row in labels.values()) / len(labels) if labels else None
    return {**overall, "macro_f1": None if macro is None else round(macro, 4), "labels": labels}
