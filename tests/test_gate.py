"""Rules: which events pass, and when."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.outputs.config import Rule
from server.outputs.gate import Gate
from tests.ways import Message, end, onset

FAMILIES = {"low": "bass", "high": "treble", "mid": "treble"}


def gate(**rule: Any) -> Gate:
    return Gate(Rule(**rule), FAMILIES)


def told(passed: list[tuple[str, Message]]) -> list[tuple[str, str]]:
    return [(event["label"], event["phase"]) for _, event in passed]


def test_without_a_rule_onsets_and_ends_pass_as_they_are() -> None:
    open_gate, note = gate(), onset()
    assert open_gate.feed("stage", note, 0.0) == [("stage", note)]
    assert open_gate.feed("stage", {**note, "phase": "update", "peak": 0.8}, 0.1) == []
    assert open_gate.feed("stage", end(note), 0.5) == [("stage", end(note))]


def test_labels_families_and_sources_choose() -> None:
    labels = {label: onset(label, id=label) for label in FAMILIES}
    for rule, passing in (
        ({"labels": ["low", "mid"]}, {"low", "mid"}),
        ({"families": ["treble"]}, {"high", "mid"}),
        ({"labels": ["low", "mid"], "families": ["treble"]}, {"mid"}),
    ):
        some = gate(**rule)
        assert {label for label, note in labels.items() if some.feed("stage", note, 0.0)} == passing
        assert some.labels() == passing
    stages = gate(sources=["stage*", "hall"])
    heard = [
        name for name in ("stage", "stage-left", "hall", "hall-2", "Stage") if stages.feed(name, onset(id=name), 0)
    ]
    assert heard == ["stage", "stage-left", "hall"]


def test_an_onset_waits_until_the_label_was_on_for_long_enough() -> None:
    slow, note = gate(min_duration_s=0.5), onset()
    assert slow.feed("stage", note, 10.0) == []
    assert slow.next_s is not None
    assert abs(slow.next_s - 10.48) < 1e-9  # the sound began 20 ms before the decision
    assert slow.due(10.47) == []
    assert told(slow.due(10.48)) == [("low", "onset")]
    assert slow.next_s is None
    assert slow.due(11.0) == []
    assert told(slow.feed("stage", end(note, 900), 11.0)) == [("low", "offset")]


def test_a_sound_that_ends_too_early_has_not_been_there() -> None:
    slow, note = gate(min_duration_s=0.5), onset()
    slow.feed("stage", note, 10.0)
    assert slow.feed("stage", end(note, 499), 10.4) == []
    assert slow.next_s is None
    assert slow.due(20.0) == []


def test_a_long_sound_of_a_file_that_runs_faster_than_time_passes_with_its_end() -> None:
    slow, note = gate(min_duration_s=0.5), onset()
    slow.feed("archive", note, 10.0)
    assert told(slow.feed("archive", end(note, 500), 10.001)) == [("low", "onset"), ("low", "offset")]


def test_a_weak_label_passes_once_it_has_the_score() -> None:
    strict, note = gate(min_score=0.9), onset()
    assert strict.feed("stage", note, 0.0) == []
    assert strict.next_s is None  # time alone does not help
    assert strict.feed("stage", {**note, "phase": "update", "peak": 0.85}, 0.1) == []
    assert strict.scores("hall", [("low", 0.99)], 0.2) == []
    assert strict.scores("stage", [("high", 0.99), ("low", 0.91)], 0.2) == [("stage", {**note, "peak": 0.91})]
    assert strict.scores("stage", [("low", 0.99)], 0.3) == []


def test_the_score_may_be_reached_by_an_update_or_be_known_at_the_end() -> None:
    strict, note = gate(min_score=0.9), onset()
    strict.feed("stage", note, 0.0)
    assert told(strict.feed("stage", {**note, "phase": "update", "peak": 0.95}, 0.1)) == [("low", "onset")]
    late, note = gate(min_score=0.9), onset()
    late.feed("stage", note, 0.0)
    assert told(late.feed("stage", end(note, peak=0.95), 1.0)) == [("low", "onset"), ("low", "offset")]
    never, note = gate(min_score=0.9), onset()
    never.feed("stage", note, 0.0)
    assert never.feed("stage", end(note, peak=0.89), 1.0) == []


def test_after_an_onset_the_same_label_of_the_same_source_has_a_pause() -> None:
    calm = gate(cooldown_s=10)
    first, second, third = (onset(id=f"e{n}") for n in range(3))
    assert calm.feed("stage", first, 0.0)
    assert calm.feed("stage", end(first), 0.5)
    assert calm.feed("stage", second, 9.9) == []
    assert calm.feed("stage", end(second), 10.5) == []  # its onset was not told
    assert calm.feed("hall", onset(id="h"), 9.9)
    assert calm.feed("stage", onset("high", id="x"), 9.9)
    assert calm.feed("stage", third, 10.6)


def test_only_onsets_or_only_ends() -> None:
    note = onset()
    first = gate(on="onset")
    assert told(first.feed("stage", note, 0.0) + first.feed("stage", end(note), 1.0)) == [("low", "onset")]
    last = gate(on="offset", min_duration_s=0.4)
    assert told(last.feed("stage", note, 0.0) + last.feed("stage", end(note), 1.0)) == [("low", "offset")]
    last.feed("stage", note, 0.0)
    assert last.feed("stage", end(note, 300), 1.0) == []


def test_an_onset_that_is_taken_back_is_taken_back_where_it_was_told() -> None:
    note = onset()
    for rule, passing in (({}, ["onset", "retract"]), ({"on": "offset"}, []), ({"min_duration_s": 1}, [])):
        some = gate(**rule)
        passed = some.feed("stage", note, 0.0) + some.feed("stage", end(note, 30, "retract"), 0.1)
        assert [phase for _, phase in told(passed)] == passing


STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["on", "off", "time"]), st.floats(0, 2)), max_size=40)


@given(STEPS, st.sampled_from([0, 0.5]), st.sampled_from([0, 1.0]), st.sampled_from([0, 0.8]))
def test_whatever_comes_each_end_follows_its_onset_and_none_stays_open(
    steps: list[tuple[int, str, float]], min_duration_s: float, cooldown_s: float, min_score: float
) -> None:
    some = gate(min_duration_s=min_duration_s, cooldown_s=cooldown_s, min_score=min_score)
    passed: list[tuple[str, Message]] = []
    notes: dict[int, tuple[Message, float]] = {}
    now_s = 0.0
    for number, (voice, step, value) in enumerate(steps):
        if step == "time":
            now_s += value
            passed += some.due(now_s)
        elif step == "on" and voice not in notes:
            notes[voice] = onset(id=f"{number}", at_ms=now_s * 1000), now_s
            passed += some.feed(f"s{voice % 2}", notes[voice][0], now_s)
        elif step == "off" and voice in notes:
            note, began_s = notes.pop(voice)
            final = end(note, (now_s - began_s) * 1000, peak=0.7 + value / 10)
            passed += some.feed(f"s{voice % 2}", final, now_s)
    for voice, (note, _) in notes.items():
        passed += some.feed(f"s{voice % 2}", end(note, 0, "retract"), now_s)
    open_ids: set[str] = set()
    for _, event in passed:
        if event["phase"] == "onset":
            assert event["event_id"] not in open_ids
            open_ids.add(event["event_id"])
        else:
            open_ids.remove(event["event_id"])
    assert open_ids == set()
    assert some.next_s is None
