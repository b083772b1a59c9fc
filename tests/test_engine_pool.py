"""Many streams advanced together: each hears what a Pipeline hears alone, to the bit, and nothing of the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Event
from engine.latch import LatchSettings
from engine.pipeline import Pipeline
from engine.pool import Pool
from engine.stream import BLOCK_FRAMES
from engine.weights import Model
from tests.synth import low_high, tone
from tests.toy import toy_model

TOY = toy_model()
DEAF = LatchSettings(on=TOY.on, off=TOY.off, enabled=(False, False))
EAGER = LatchSettings(on=(0.6, 0.55), off=(0.5, 0.5), enabled=(True, True), min_on_ms=0, min_off_ms=10)


def sound_of(stream: int) -> np.ndarray:
    """Each stream its own: the known sound, begun elsewhere, in noise."""
    noise = 0.02 * np.random.default_rng(stream).standard_normal(len(low_high())).astype(np.float32)
    return np.roll(low_high(), -9_001 * stream) + noise


SOUNDS = [sound_of(stream) for stream in range(5)]


def state_of(pool: Pool, stream: int) -> bytes:
    return pool._memory.states[stream : stream + 1].tobytes()


def states(pool: Pool) -> bytes:
    return pool._memory.states.tobytes()


def opened(count: int, capacity: int | None = None) -> Pool:
    pool = Pool(TOY, capacity or count)
    assert [pool.open() for _ in range(count)] == list(range(count))
    return pool


def sorted_out(told: list[tuple[int, Event]], count: int) -> list[list[Event]]:
    return [[event for stream, event in told if stream == which] for which in range(count)]


@st.composite
def schedules(draw: st.DrawFn) -> list[dict[int, int]]:
    """Calls: for each, the streams that have samples, in any order, and how many."""
    sizes = st.one_of(st.integers(0, 400), st.integers(0, 20_000))
    return draw(st.lists(st.dictionaries(st.integers(0, len(SOUNDS) - 1), sizes, max_size=5), min_size=1, max_size=12))


@given(calls=schedules(), block=st.integers(1, 6_000))
@settings(max_examples=40, deadline=None)
def test_any_interleaving_and_chunking_equals_single_pipelines(calls: list[dict[int, int]], block: int) -> None:
    count = len(SOUNDS)
    pool = opened(count)
    at = [0] * count
    told: list[tuple[int, Event]] = []
    for call in calls:
        told += pool.feed({stream: SOUNDS[stream][at[stream] : at[stream] + n] for stream, n in call.items()})
        for stream, n in call.items():
            at[stream] = min(at[stream] + n, len(SOUNDS[stream]))
    # then all together, as long as each has a block left
    while max(at) + block <= len(SOUNDS[0]):
        order = np.arange(count)[:: 1 if block % 2 else -1]
        told += pool.feed_block(order, np.stack([SOUNDS[s][at[s] : at[s] + block] for s in order]))
        at = [begun + block for begun in at]
    heard = sorted_out(told, count)
    for stream in range(count):
        alone = Pipeline(TOY)
        assert heard[stream] == alone.feed(SOUNDS[stream][: at[stream]])
        assert state_of(pool, stream) == alone._state.tobytes()
        assert pool.snapshot(stream) == alone.snapshot()
        assert pool.samples(stream) == at[stream]
        assert pool.open_labels(stream) == alone.open_labels
        assert pool.flush(stream) == alone.flush()


def test_more_events_than_the_buffer_holds_come_in_order() -> None:
    count = 60
    pool = opened(count)
    told = pool.feed_block(range(count), np.stack([sound_of(stream) for stream in range(count)]))
    assert len(told) > BLOCK_FRAMES * len(TOY.labels)
    assert [stream for stream, _ in told] == sorted(stream for stream, _ in told)
    heard = sorted_out(told, count)
    for stream in range(count):
        assert heard[stream] == Pipeline(TOY).feed(sound_of(stream))


def test_a_long_chunk_of_a_restless_stream_overflows_the_buffer_and_loses_nothing() -> None:
    """Low and high in turns, 60 times: more events of one stream in one call than the buffer has rows."""
    beeps = np.tile(np.concatenate([tone(200, 0.15), tone(4000, 0.15)]), 60)
    pool = opened(3)
    for stream in range(3):
        pool.configure(stream, EAGER)
    whole = sorted_out(pool.feed({0: SOUNDS[0], 1: beeps, 2: SOUNDS[2]}), 3)
    assert len(whole[1]) > BLOCK_FRAMES * len(TOY.labels)
    alone = Pipeline(TOY, EAGER)
    assert whole[1] == [event for at in range(0, len(beeps), 1_600) for event in alone.feed(beeps[at : at + 1_600])]
    for stream in (0, 2):
        assert whole[stream] == Pipeline(TOY, EAGER).feed(SOUNDS[stream])


@given(first=st.integers(0, 56_000), second=st.integers(0, 56_000))
@settings(max_examples=25, deadline=None)
def test_a_stream_moves_from_pipeline_to_pool_and_back(first: int, second: int) -> None:
    first, second = sorted((first, second))
    expected = Pipeline(TOY, EAGER)
    whole = expected.feed(SOUNDS[1])
    before, after, pool = Pipeline(TOY, EAGER), Pipeline(TOY), opened(3)
    events = before.feed(SOUNDS[1][:first])
    pool.restore(1, before.snapshot())
    assert pool.settings(1) == EAGER
    told = pool.feed({2: SOUNDS[2], 1: SOUNDS[1][first:second], 0: SOUNDS[0]})
    events += sorted_out(told, 3)[1]
    after.restore(pool.snapshot(1))
    events += after.feed(SOUNDS[1][second:])
    assert events == whole
    assert after._state.tobytes() == expected._state.tobytes()


def test_a_slot_that_was_used_is_equal_to_a_new_one() -> None:
    pool = opened(3)
    pool.configure(1, EAGER)
    pool.feed({1: SOUNDS[1][:30_001]})
    pool.close(1)
    assert len(pool) == 2
    assert pool.open() == 1
    assert states(pool) == states(opened(3))
    assert pool.settings(1) == Pipeline(TOY).settings
    assert [event for _, event in pool.feed({1: SOUNDS[2]})] == Pipeline(TOY).feed(SOUNDS[2])


def test_a_full_pool_says_so_and_goes_on() -> None:
    pool = opened(2)
    with pytest.raises(RuntimeError, match="all 2 streams of the pool are open"):
        pool.open()
    assert [event for _, event in pool.feed({1: SOUNDS[1]})] == Pipeline(TOY).feed(SOUNDS[1])
    pool.close(0)
    assert pool.open() == 0


def test_settings_for_other_labels_open_nothing() -> None:
    pool = Pool(TOY, 1)
    with pytest.raises(ValueError, match="settings have 1 labels"):
        pool.open(LatchSettings(on=(0.5,), off=(0.4,), enabled=(True,)))
    assert len(pool) == 0
    assert pool.open() == 0


@pytest.mark.parametrize("capacity", [0, -1, 2**20 + 1])
def test_a_capacity_out_of_range_is_refused(toy: Model, capacity: int) -> None:
    with pytest.raises(ValueError, match=f"capacity={capacity} is outside"):
        Pool(toy, capacity)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1_001.0])
def test_a_bad_sample_is_named_and_no_stream_hears_anything(bad: float) -> None:
    pool = opened(3)
    pool.feed({stream: SOUNDS[stream][:20_000] for stream in range(3)})
    before = states(pool)
    chunks = np.stack([sound[20_000:20_500] for sound in SOUNDS[:3]])
    chunks[2, 499] = bad
    for call in (lambda: pool.feed_block([0, 1, 2], chunks), lambda: pool.feed(dict(enumerate(chunks)))):
        with pytest.raises(ValueError, match="stream 2: sample 499 is"):
            call()
    chunks[1, 0] = bad
    with pytest.raises(ValueError, match="stream 1: sample 0 is"):
        pool.feed_block([0, 1, 2], chunks)
    assert states(pool) == before
    heard = pool.feed_block([0, 1, 2], np.stack([sound[20_000:] for sound in SOUNDS[:3]]))
    for stream in range(3):
        alone = Pipeline(TOY)
        alone.feed(SOUNDS[stream][:20_000])
        assert sorted_out(heard, 3)[stream] == alone.feed(SOUNDS[stream][20_000:])


@pytest.mark.parametrize("stream", [1, 3, -1, 4, 2**40])
def test_a_stream_that_is_not_open_is_named_and_no_other_hears_anything(stream: int) -> None:
    pool = opened(3, capacity=4)
    pool.close(1)
    before = states(pool)
    with pytest.raises(ValueError, match=f"stream {stream} is not open"):
        pool.feed({0: SOUNDS[0], stream: SOUNDS[1]})
    with pytest.raises(ValueError, match=f"stream {stream} is not open"):
        pool.flush(stream)
    assert states(pool) == before


def test_a_flushed_stream_hears_nothing_before_its_reset() -> None:
    pool = opened(2)
    alone = Pipeline(TOY)
    assert [event for _, event in pool.feed({0: SOUNDS[0][:15_001]})] == alone.feed(SOUNDS[0][:15_001])
    assert pool.open_labels(0) == ("low",)
    ended = pool.flush(0, "gap")
    assert ended == alone.flush("gap")
    assert ended[-1].reason == "gap"
    assert pool.flush(0) == []
    before = states(pool)
    with pytest.raises(RuntimeError, match="stream 0 was flushed"):
        pool.feed({1: SOUNDS[1], 0: SOUNDS[0]})
    assert states(pool) == before
    data = pool.snapshot(0)
    pool.reset(0)
    assert state_of(pool, 0) == Pipeline(TOY)._state.tobytes()
    pool.restore(1, data)
    with pytest.raises(RuntimeError, match="stream 1 was flushed"):
        pool.feed({1: SOUNDS[1]})
    assert [event for _, event in pool.feed({0: SOUNDS[0]})] == Pipeline(TOY).feed(SOUNDS[0])


def test_release_and_settings_are_for_one_stream() -> None:
    pool = opened(3)
    pool.configure(0, DEAF)
    heard = sorted_out(pool.feed_block([0, 1, 2], np.stack([low_high()[:16_000]] * 3)), 3)
    assert [len(events) for events in heard] == [0, 1, 1]
    assert [(e.label, e.reason, e.offset_sample) for e in pool.release(1, "silence")] == [("low", "silence", 16_000)]
    assert [pool.open_labels(stream) for stream in range(3)] == [(), (), ("low",)]
    assert pool.settings(0) == DEAF
    assert pool.settings(2) == Pipeline(TOY).settings


def test_a_refused_snapshot_leaves_the_pool_as_it_was() -> None:
    pool = opened(2)
    pool.feed({0: SOUNDS[0], 1: SOUNDS[1]})
    before = states(pool)
    with pytest.raises(ValueError, match="sha256"):
        pool.restore(0, pool.snapshot(1)[:-1] + b"\0")
    assert states(pool) == before


def test_what_is_no_chunk_is_refused_and_nothing_is_no_sound() -> None:
    pool = opened(2)
    before = states(pool)
    assert pool.feed({}) == []
    assert pool.feed({1: SOUNDS[1][:0]}) == []
    assert pool.feed_block([], np.zeros((0, 160), np.float32)) == []
    assert pool.feed_block([1, 0], np.zeros((2, 0), np.float32)) == []
    with pytest.raises(ValueError, match=r"stream 1: samples have shape \(2, 3\)"):
        pool.feed({0: SOUNDS[0], 1: np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match=r"streams have shape \(2,\), samples \(3, 160\)"):
        pool.feed_block([0, 1], np.zeros((3, 160), np.float32))
    assert states(pool) == before


def test_a_stream_named_twice_hears_both_chunks_in_order() -> None:
    pool = opened(1)
    pool.feed_block([0, 0], SOUNDS[0][:40_000].reshape(2, -1))
    alone = Pipeline(TOY)
    alone.feed(SOUNDS[0][:40_000])
    assert state_of(pool, 0) == alone._state.tobytes()


def test_memory_is_flat_for_each_stream_and_holds_no_trace() -> None:
    small, large = Pool(TOY, 1), Pool(TOY, 1_000)
    assert large._memory.states.nbytes == 1_000 * small._memory.states.nbytes
    assert large._memory.trace.nbytes == 0
    assert large._memory.scratch.nbytes == small._memory.scratch.nbytes
