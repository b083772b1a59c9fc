"""Holes in a stream, by its own time stamps."""

import numpy as np
import pytest

from server.timeline import UNKNOWN, Timeline

RATE, BLOCK = 48_000, 1_152  # 24 ms


def losses(stamps: list[float | None]) -> list[int]:
    timeline = Timeline(RATE)
    return [timeline.lost(stamp, BLOCK) for stamp in stamps]


def steady(blocks: int, start: float = 100.0) -> list[float]:
    return [start + block * BLOCK / RATE for block in range(blocks)]


def test_without_holes_nothing_is_lost_wherever_the_stamps_begin() -> None:
    assert losses([*steady(1000, start=12_345.678)]) == [0] * 1000


def test_a_hole_is_told_once_and_exactly() -> None:
    stamps = steady(100)
    assert losses(stamps[:50] + stamps[60:]) == [0] * 50 + [10 * BLOCK] + [0] * 39


def test_small_losses_are_told_once_they_add_up() -> None:
    stamps = steady(4_000)
    told = losses([stamp for block, stamp in enumerate(stamps) if block % 40])  # one block in forty
    assert sum(told) == pytest.approx(100 * BLOCK, rel=0.25)
    assert all(told_once == 0 or told_once >= 4_700 for told_once in told)


def test_stamps_that_jitter_are_no_loss() -> None:
    noise = np.random.default_rng(1).uniform(-0.04, 0.04, 5_000)
    assert set(losses([*(np.array(steady(5_000)) + noise)])) == {0}


@pytest.mark.parametrize("off", [-300e-6, 300e-6])
def test_a_clock_that_drifts_is_no_loss(off: float) -> None:
    assert set(losses([*(np.array(steady(150_000)) * (1 + off))])) == {0}  # an hour


@pytest.mark.parametrize("jump", [-5.0, 1e6])
def test_stamps_that_begin_anew_are_a_loss_of_unknown_length(jump: float) -> None:
    assert losses(steady(3) + steady(3, start=100.0 + jump)) == [0, 0, 0, UNKNOWN, 0, 0]


def test_without_stamps_nothing_is_known_to_be_lost() -> None:
    assert losses([None, *steady(2), None, 100.0 + 3 * BLOCK / RATE]) == [0] * 5
