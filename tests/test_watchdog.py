"""The states of a source, with times and levels that are written here."""

from server.reader import Opened, ReadError, Watch
from server.watchdog import Watchdog

HALL = Opened("Hall (Fake)", 16_000)
GONE = ReadError("device_lost", "Hall is gone")


def test_a_wait_is_lengthened_at_random_by_at_most_its_share() -> None:
    def waits(chance: float) -> int | None:
        return Watchdog(Watch(retry_s=(1.0,), jitter=0.5), lambda: chance).lost(GONE, 0.0).retry_in_ms

    assert [waits(chance) for chance in (0.0, 0.5, 1.0)] == [1000, 1250, 1500]


def test_an_opening_that_lasted_starts_the_row_of_waits_again() -> None:
    dog = Watchdog(Watch(retry_s=(1.0, 2.0, 4.0), steady_s=5.0))
    assert [dog.lost(GONE, 0.0).retry_in_ms for _ in range(3)] == [1000, 2000, 4000]
    dog.opened(HALL, 10.0)
    assert dog.lost(GONE, 14.0).retry_in_ms == 4000
    dog.opening("Hall")
    dog.opened(HALL, 20.0)
    assert dog.lost(GONE, 25.1).retry_in_ms == 1000


def test_an_opening_is_overdue_when_no_sample_came_for_so_long() -> None:
    dog = Watchdog(Watch(give_up_s=3.0))
    dog.opened(HALL, 100.0)
    assert not dog.overdue(103.0)
    dog.heard(103.0)
    assert not dog.overdue(106.0)
    assert dog.overdue(106.1)


def test_silence_is_counted_in_samples_and_one_loud_level_ends_it() -> None:
    dog = Watchdog(Watch(silent_s=1.0, silent_dbfs=-60.0))
    dog.opened(HALL, 0.0)
    dog.heard(0.0)
    peaks: list[float | None] = [None, -61.0, -59.0, None, -70.0, -80.0, None, -80.0, -20.0, -20.0]
    told = [dog.level(peak, 8_000 * n, 16_000) for n, peak in enumerate(peaks)]
    assert [state and state.state for state in told] == [None] * 5 + ["silent", None, None, "healthy", None]


def test_a_state_that_did_not_change_is_not_told_again() -> None:
    dog = Watchdog(Watch())
    assert dog.opening("Hall") is not None
    assert dog.opening("Hall") is None
    dog.opened(HALL, 0.0)
    assert dog.heard(0.1) is not None
    assert dog.heard(0.2) is None
