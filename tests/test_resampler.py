"""A resampler that begins within the sound, where it may, gives the bits of one that heard all of it."""

import numpy as np
import pytest

from server.ingest import PERIODS, WARM_S, Resampler


@pytest.mark.parametrize(("rate", "engine"), PERIODS)
def test_one_that_begins_within_the_sound_gives_the_same_bits(rate: int, engine: int) -> None:
    period, warm = PERIODS[rate, engine], round(WARM_S * rate)
    rng = np.random.default_rng(rate)
    sound = rng.standard_normal(2 * period + 3 * warm + 777).astype(np.float32)
    whole = Resampler(rate, engine)
    expected = whole.feed(sound)
    first = whole.begins_again(len(sound) - warm)
    assert first > 0
    assert first % period == 0
    late = Resampler(rate, engine)
    got = np.concatenate([late.feed(piece) for piece in np.array_split(sound[first:], 7)])
    skipped = first * engine // rate
    assert first * engine % rate == 0
    begin = warm * engine // rate
    np.testing.assert_array_equal(got[begin:], expected[skipped + begin :])
    assert len(got) > begin + warm * engine // rate // 2
    assert not np.array_equal(got[: begin // 8], expected[skipped : skipped + begin // 8])  # it does have to warm


def test_others_cannot_begin_again() -> None:
    assert not Resampler(12_345, 16_000).can_begin_again
    assert Resampler(16_000, 16_000).can_begin_again
    assert Resampler(16_000, 16_000).begins_again(1_234) == 1_234
