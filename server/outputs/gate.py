"""A rule applied: which events pass, and when. Knows events and the time it is told; no clock, no queue, no output.

An onset passes once the label has been on for long enough, and loud enough in evidence, and its pause is over; the end
passes if its onset did. A sound that ends before has not been there. Of what passes the onset says the greatest score
until then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from server.outputs.config import Rule

Event = dict[str, Any]  # as on the wire
Passed = list[tuple[str, Event]]  # (source, event)


@dataclass
class Held:
    """An onset that may pass yet."""

    source: str
    event: Event
    due_s: float  # when it has been on for long enough


class Gate:
    def __init__(self, rule: Rule, families: Mapping[str, str]) -> None:
        """families: label to family."""
        self._rule = rule
        self._labels = {
            label
            for label, family in families.items()
            if (rule.labels is None or label in rule.labels) and (rule.families is None or family in rule.families)
        }
        self._held: dict[str, Held] = {}  # by event id
        self._open: set[str] = set()  # ids of events whose onset passed
        self._quiet_until_s: dict[tuple[str, str], float] = {}  # by source and label

    @property
    def next_s(self) -> float | None:
        """When `due` is to be asked next: the time of the first onset that waits for time alone."""
        return min((held.due_s for held in self._held.values() if self._strong(held.event)), default=None)

    def labels(self) -> set[str]:
        """Those that may ever pass."""
        return self._labels

    def hears(self, source: str) -> bool:
        """Whether anything of the source may ever pass."""
        return self._rule.sources is None or any(fnmatchcase(source, name) for name in self._rule.sources)

    def feed(self, source: str, event: Event, now_s: float) -> Passed:
        """What passes, now that an event has come."""
        if event["label"] not in self._labels or not self.hears(source):
            return []
        id = event["event_id"]
        if event["phase"] == "onset":
            self._held[id] = Held(source, dict(event), now_s + self._rule.min_duration_s - _elapsed_s(event))
        elif id in self._held:
            self._held[id].event["peak"] = max(self._held[id].event["peak"], event["peak"])
        if not event["is_final"]:
            return self._pass([id], now_s)
        return self._end(source, event, now_s)

    def scores(self, source: str, top: Iterable[tuple[str, float]], now_s: float) -> Passed:
        """What passes, now that the source's labels have these scores."""
        waiting = {held.event["label"]: id for id, held in self._held.items() if held.source == source}
        for label, score in top:
            if label in waiting:
                event = self._held[waiting[label]].event
                event["peak"] = max(event["peak"], score)
        return self._pass(list(waiting.values()), now_s)

    def due(self, now_s: float) -> Passed:
        """What passes because time has gone by."""
        return self._pass(list(self._held), now_s)

    def _end(self, source: str, event: Event, now_s: float) -> Passed:
        passed: Passed = []
        held = self._held.get(event["event_id"])
        if held is not None:
            long_s = (event["offset_ms"] - event["onset_ms"]) / 1000
            if event["phase"] == "offset" and long_s >= self._rule.min_duration_s:
                held.due_s = now_s
                passed = self._pass([event["event_id"]], now_s)
            self._held.pop(event["event_id"], None)
        if event["event_id"] not in self._open:
            return passed
        self._open.discard(event["event_id"])
        tells = self._rule.on == "both" or (self._rule.on == "offset" and event["phase"] == "offset")
        return [*passed, (source, event)] if tells else passed

    def _pass(self, ids: list[str], now_s: float) -> Passed:
        passed: Passed = []
        for id in ids:
            held = self._held.get(id)
            if held is None or now_s < held.due_s or not self._strong(held.event):
                continue
            del self._held[id]
            place = (held.source, held.event["label"])
            if now_s < self._quiet_until_s.get(place, now_s):
                continue
            if self._rule.cooldown_s:
                self._quiet_until_s[place] = now_s + self._rule.cooldown_s
            self._open.add(id)
            if self._rule.on != "offset":
                passed.append((held.source, held.event))
        return passed

    def _strong(self, event: Event) -> bool:
        return event["peak"] >= self._rule.min_score


def _elapsed_s(onset: Event) -> float:
    """Of the sound, from the onset to the decision."""
    if not onset["onset_sample"]:
        return 0.0
    ms = onset["onset_ms"] / onset["onset_sample"] * (onset["decided_sample"] - onset["onset_sample"])
    return ms / 1000
