"""The work on one file of an archive: from its path to a row of the results. The same on a core and on a cluster.

Knows nothing of processes, Ray or Parquet; how a file is heard is `server.classify`, as for an upload.
"""

from typing import Any

from engine.warmup import warm
from engine.weights import Model
from server.classify import classify
from server.errors import Refusal
from server.protocol import Classified
from spiccato.archive.listing import Entry
from spiccato.classify import LIMITS, reason

OF_EVENT = ("label", "onset_ms", "offset_ms", "onset_sample", "offset_sample", "score", "peak", "threshold", "reason")

Row = dict[str, Any]  # see `results.SCHEMA`


class Hearer:
    """Made once in each process, with the kernels compiled."""

    def __init__(self, model: Model) -> None:
        warm(model)
        self._model = model

    def __call__(self, entry: Entry) -> Row:
        try:
            with open(entry.path, "rb") as file:
                return _row(entry.name, classify(self._model, file, entry.name[-64:], LIMITS))
        except (OSError, Refusal) as error:
            return bad(entry.name, *reason(error))


def bad(name: str, code: str, message: str) -> Row:
    """The row of a file that could not be heard."""
    return {"file": name, "code": code, "message": message, "audio_ms": None, "wall_s": None, "events": []}


def _row(name: str, heard: Classified) -> Row:
    events = [{field: getattr(event, field) for field in OF_EVENT} for event in heard.events]
    summary = heard.summary
    return {
        "file": name,
        "code": None,
        "message": None,
        "audio_ms": summary.audio_ms,
        "wall_s": summary.wall_s,
        "events": events,
    }
