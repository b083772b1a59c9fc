"""The latch: on, hold, off, take back; back-dating to the sound's rise."""

import numpy as np
import pytest

from engine.ear import NEVER
from engine.latch import (
    OFFSET,
    ONSET,
    RAW_EVENT,
    RETRACT,
    LatchSettings,
    latch_step,
    log_odds,
    score_of,
    settings_record,
    state_fields,
)

HOP = 160
HOP_S = 0.01


def run(evidence: list[float], attack: int = NEVER, **changes: object) -> list[tuple[int, int, int, int]]:
    """Feed one label's membrane frame by frame; (phase, onset, offset, decided), in frames."""
    settings = LatchSettings(
        **{"on": (0.7,), "off": (0.4,), "enabled": (True,), "min_on_ms": 30, "min_off_ms": 50, **changes}
    )
    rules = settings_record(settings, HOP_S)[0]
    state = np.zeros(1, np.dtype(state_fields(1), align=True))
    events = np.zeros(16, RAW_EVENT)
    count = 0
    for frame, v in enumerate(evidence):
        began = attack if frame >= attack else NEVER
        count = latch_step(np.array([v], np.float32), 0, rules, state[0], frame, began, HOP, events, count)
    return [
        (int(e["phase"]), int(e["onset"]) // HOP, int(e["offset"]) // HOP, int(e["decided"]) // HOP)
        for e in events[:count]
    ]


UP, DOWN = 3.0, -3.0


def test_latch_turns_on_above_and_off_below_its_thresholds() -> None:
    assert run([DOWN] * 5 + [UP] * 20 + [DOWN] * 10) == [(ONSET, 5, -1, 6), (OFFSET, 5, 25, 30)]


def test_latch_holds_through_a_short_silence() -> None:
    assert run([UP] * 10 + [DOWN] * 4 + [UP] * 10) == [(ONSET, 0, -1, 1)]


def test_after_an_end_the_latch_rests_and_then_turns_on_where_the_evidence_stayed() -> None:
    again = [UP] * 10 + [DOWN] * 6 + [UP] * 30
    assert run(again)[2] == (ONSET, 16, -1, 17)
    assert run(again, refractory_ms=200)[2] == (ONSET, 16, -1, 31)  # it ended in frame 10
    assert len(run(again, refractory_ms=400)) == 2
    assert run([UP] * 5, refractory_ms=400) == [(ONSET, 0, -1, 1)]  # before the first event there is no rest


def test_latch_holds_between_the_thresholds() -> None:
    between = log_odds(0.5)
    assert run([UP] * 5 + [between] * 50) == [(ONSET, 0, -1, 1)]
    assert run([DOWN] * 5 + [between] * 50) == []


def test_a_flicker_shorter_than_min_on_is_taken_back() -> None:
    assert [e[0] for e in run([UP] * 2 + [DOWN] * 8)] == [ONSET, RETRACT]
    assert [e[0] for e in run([UP] * 3 + [DOWN] * 8)] == [ONSET, OFFSET]


def test_a_disabled_label_never_turns_on() -> None:
    assert run([UP] * 50, enabled=(False,)) == []


def test_an_onset_is_dated_back_to_the_rise_of_its_sound() -> None:
    slow = [DOWN] * 3 + [0.0] * 6 + [UP] * 10
    assert run(slow)[0] == (ONSET, 3, -1, 10)
    assert run(slow, attack=2)[0] == (ONSET, 2, -1, 10)


def test_an_onset_is_never_dated_before_the_label_s_last_offset() -> None:
    events = run([UP] * 20 + [DOWN] * 6 + [UP] * 5, attack=4)
    assert [e[:3] for e in events] == [(ONSET, 0, -1), (OFFSET, 0, 20), (ONSET, 20, -1)]


def test_a_rise_longer_ago_than_the_lookback_is_another_sound() -> None:
    assert run([DOWN] * 120 + [UP] * 5, attack=2)[0] == (ONSET, 120, -1, 121)


@pytest.mark.parametrize(("on", "off"), [(0.4, 0.4), (0.3, 0.5), (1.0, 0.5), (0.5, 0.0), (float("nan"), 0.1)])
def test_thresholds_that_cannot_latch_are_refused(on: float, off: float) -> None:
    with pytest.raises(ValueError, match=f"on={on}, off={off}"):
        LatchSettings(on=(on,), off=(off,), enabled=(True,))


def test_score_and_log_odds_are_inverse() -> None:
    for score in (0.001, 0.4, 0.5, 0.999):
        assert score_of(log_odds(score)) == pytest.approx(score)
    assert score_of(-1000) == 0
    assert score_of(1000) == 1
