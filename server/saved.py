"""What is kept of a live session so that another process can go on with it: everything but the engine's stream, which
is a snapshot (`engine/snapshot.py`) beside it. Knows fields; nothing of where they are kept.
"""

from pydantic import BaseModel, ConfigDict

from server import commands as c
from server.protocol import EventBody

FORM = 1  # to be raised when the same fields come to mean something else


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class SavedTally(Form):
    labels: dict[str, tuple[int, int, float]]
    latencies: list[float]  # the newest


class SavedHearing(Form):
    sample: int  # the clock: what comes next is to begin there
    skip: int  # samples at the engine's rate that what comes next gives first, and that were heard before
    reached: int  # the clock as it was
    lost: int
    gaps: int
    base: int
    anchor_s: float | None
    anchor: int
    correction_s: float
    open: dict[str, EventBody]
    released: frozenset[str]  # labels that were closed at the last sample that came
    updates: dict[str, tuple[int, float, float]]
    tally: SavedTally


class SavedStream(Form):
    began: str  # UTC of sample 0, as `started` said
    stalled: bool
    hearing: SavedHearing


class SavedSession(Form):
    form: int = FORM
    id: str
    model: str  # SHA-256 of its file
    apart: bool
    start: c.Start  # as it was accepted
    seq: int  # of the next message
    acknowledged: int
    born_utc: float
    leapt: list[int] = []  # first numbers of runs of LEAP (`escrow.py`) that were left out
    closed: int | None  # it has ended, and only its last messages may be asked for
    stream: SavedStream | None  # None once it has ended
