"""The terminal's view of a session: a lane for each instrument, the level, the newest events. Messages in, text out.

`Lanes` is fed every message and drawn by rich; it holds no audio, clock or socket: its time is the sample clock.
"""

from collections import deque
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

Message = dict[str, Any]

BAR_CELLS = 32
EIGHTHS = " ▏▎▍▌▋▊▉"
FLOOR_DBFS = -60.0  # the level meter's left end
NEWEST = 5  # events shown
OTHER_LINES = NEWEST + 6  # of the view, beside the lanes

COLOURS = {"healthy": "green", "stalled": "yellow", "recovering": "yellow", "lost": "red", "failed": "red"}


class Lanes:
    def __init__(self) -> None:
        self.labels: list[str] = []
        self.on_at: dict[str, float] = {}  # threshold of each label
        self.scores: dict[str, float] = {}
        self.since_ms: dict[str, float] = {}  # onset of each label that is on
        self.now_ms = 0.0
        self.level: float | None = None  # dBFS
        self.clipped = False
        self.state, self.detail = "recovering", ""
        self.notes: deque[Text] = deque(maxlen=NEWEST)
        self.model = ""
        self._rate_hz = 1

    def feed(self, message: Message) -> bool:
        """Take a message in; True if it is time to draw."""
        kind = message["type"]
        if kind == "started":
            self._begin(message)
        elif kind == "scores":
            self.scores = dict(message["top"])
            self.now_ms = message["sample"] * 1000 / self._rate_hz
        elif kind == "level":
            self.level, self.clipped = message["rms_dbfs"], message["clipped"] > 0
        elif kind == "event":
            self._event(message)
        elif kind == "source":
            self.state, self.detail = message["state"], message["detail"]
        elif kind == "summary":
            self.scores, self.since_ms, self.level, self.clipped = {}, {}, None, False
        elif kind == "gap":
            lost_ms = message["samples"] * 1000 / self._rate_hz
            self.notes.append(Text(f"{lost_ms:.0f} ms of sound were lost ({message['reason']})", "red"))
        elif kind in ("warning", "error"):
            self.notes.append(Text(message["message"], "yellow" if kind == "warning" else "red"))
        return kind in ("started", "scores", "source", "gap", "warning", "error")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = Text.assemble(
            ("● ", COLOURS[self.state]), (self.detail, "bold"), f"   {self.model}   {clock(self.now_ms)}   Ctrl-C ends"
        )
        lanes = Table.grid(padding=(0, 2))
        room = max(1, (options.height or console.height) - OTHER_LINES)
        for label in self._shown(room):
            lanes.add_row(*self._lane(label))
        hidden = len(self.labels) - min(room, len(self.labels))
        more = Text(f"{hidden} more below these: make the window higher", "dim") if hidden else Text()
        yield Group(head, self._meter(), Text(), lanes, more, *self.notes)

    def _begin(self, started: Message) -> None:
        detect = started["effective"]["detect"]
        self.labels = detect["labels"]
        self.on_at = {label: detect["thresholds"][label]["on"] for label in self.labels}
        self.model = f"{started['model']['name']}@{started['model']['version']}"
        self._rate_hz = started["effective"]["audio"]["sample_rate"]
        self.scores, self.since_ms, self.now_ms = {}, {}, 0.0
        if not self.detail:
            self.detail = started["effective"]["source"]["name"]

    def _event(self, event: Message) -> None:
        label, onset = event["label"], event["onset_ms"]
        if not event["is_final"]:
            self.since_ms[label] = onset
            self.notes.append(Text.assemble((clock(onset), "dim"), " ", (label, "bold green"), " on"))
            return
        self.since_ms.pop(label, None)
        why = "taken back" if event["phase"] == "retract" else f"off after {(event['offset_ms'] - onset) / 1000:.2f} s"
        reason = "" if event["reason"] == "decay" else f" ({event['reason']})"
        self.notes.append(Text.assemble((clock(event["offset_ms"]), "dim"), " ", (label, "bold"), f" {why}{reason}"))

    def _shown(self, room: int) -> list[str]:
        """All labels, or, where they do not fit, those that are on and the strongest, in the model's order."""
        if len(self.labels) <= room:
            return self.labels
        ranked = sorted(self.labels, key=lambda label: (label not in self.since_ms, -self.scores.get(label, 0.0)))
        return [label for label in self.labels if label in ranked[:room]]

    def _lane(self, label: str) -> tuple[Text, Text, Text, Text]:
        score, is_on = self.scores.get(label, 0.0), label in self.since_ms
        seconds = f"{max(0.0, self.now_ms - self.since_ms[label]) / 1000:.1f} s" if is_on else ""
        style = "bold green" if is_on else ""
        return (
            Text(f"{'●' if is_on else ' '} {label}", style),
            bar(score, "green" if is_on else "blue", self.on_at[label]),
            Text(f"{score:.2f}", style or "dim"),
            Text(seconds, style),
        )

    def _meter(self) -> Text:
        share = 0.0 if self.level is None else max(0.0, 1.0 - self.level / FLOOR_DBFS)
        told = "silence" if self.level is None else f"{self.level:.1f} dBFS"
        return Text.assemble("level ", bar(share, "red" if self.clipped else "cyan"), f" {told}", self._clip())

    def _clip(self) -> tuple[str, str]:
        return ("  clipping: turn the input down", "bold red") if self.clipped else ("", "")


def bar(share: float, style: str, mark: float | None = None) -> Text:
    """`share` (0..1) of BAR_CELLS cells, to an eighth of a cell, with a line at `mark`."""
    eighths = round(min(max(share, 0.0), 1.0) * BAR_CELLS * 8)
    cells = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    drawn = Text(cells.ljust(BAR_CELLS), style)
    if mark is not None:
        at = min(int(mark * BAR_CELLS), BAR_CELLS - 1)
        if drawn.plain[at] == " ":
            drawn = Text.assemble(drawn[:at], ("│", "dim"), drawn[at + 1 :])
    return drawn


def clock(ms: float) -> str:
    """Milliseconds of the sample clock as minutes and seconds."""
    return f"{int(ms // 60_000):02d}:{ms % 60_000 / 1000:05.2f}"


def summary_table(summary: Message) -> Group:
    """What was heard, when it is over."""
    table = Table("instrument", "seconds", "times", "best score", box=None, header_style="dim")
    for row in summary["labels"]:
        table.add_row(row["label"], f"{row['seconds']:.2f}", str(row["events"]), f"{row['peak']:.2f}")
    lost = f", {summary['dropped_ms'] / 1000:.2f} s lost in {summary['gaps']} gaps" if summary["gaps"] else ""
    heard = Text(f"{summary['processed_ms'] / 1000:.2f} s heard, {summary['events']} events{lost}")
    return Group(heard, table) if summary["labels"] else Group(heard)
