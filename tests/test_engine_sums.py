"""What moves and adds numbers inside the kernels: tiles and rows in memory, weight rows in int16 and int32."""

from typing import Any

import numpy as np
import pytest

from engine.jit import Record, kernel
from engine.network import active_neurons, network_record, scratch_fields, spike_sum, to_current
from engine.tile import reverse_row, transpose_tile
from engine.weights import Layer


@kernel
def transpose(array: np.ndarray, src: int, src_stride: int, dst: int, dst_stride: int) -> None:
    transpose_tile(array, src, src_stride, dst, dst_stride)


@kernel
def reverse(array: np.ndarray, src: int, dst: int) -> None:
    reverse_row(array, src, dst)


@kernel
def first_current(net: Record, scratch: Record, spikes: np.ndarray) -> int:
    n, w = net[0], scratch[0]
    count = active_neurons(spikes, 0, spikes.shape[0], w.active)
    spike_sum(w.active, count, n.weight0, w.sum0)
    to_current(w.sum0, n.bias0, n.step0, w.current)
    return count


@pytest.mark.parametrize(("src_stride", "dst_stride"), [(16, 16), (40, 16), (16, 33)])
def test_a_tile_is_transposed_and_nothing_else_is_touched(src_stride: int, dst_stride: int) -> None:
    array = np.random.default_rng(0).standard_normal(1_400).astype(np.float32)
    expected = array.copy()
    src, dst = 5, 800
    for i in range(16):
        for j in range(16):
            expected[dst + j * dst_stride + i] = array[src + i * src_stride + j]
    transpose(array, src, src_stride, dst, dst_stride)
    np.testing.assert_array_equal(array, expected)


def test_a_row_is_reversed_and_nothing_else_is_touched() -> None:
    array = np.arange(60, dtype=np.float32)
    expected = array.copy()
    expected[40:56] = array[3:19][::-1]
    reverse(array, 3, 40)
    np.testing.assert_array_equal(array, expected)


def layer_of(weight: np.ndarray) -> Layer:
    n = weight.shape[1]
    return Layer(
        weight=weight.astype(np.int8),
        bias=np.arange(-3, n - 3, dtype=np.int32),
        shift=7,
        beta=np.full(n, 0.9, np.float32),
        threshold=np.ones(n, np.float32),
    )


@pytest.mark.parametrize(
    ("inputs", "sums"), [(258, np.int16), (259, np.int32)], ids=["32766 fits int16", "32893 does not"]
)
def test_the_greatest_sum_of_weights_decides_how_wide_it_is_added(inputs: int, sums: Any) -> None:
    sign = np.where(np.arange(5) % 2, -127, 127)
    layer = layer_of(np.tile(sign, (inputs, 1)))
    net, scratch = network_record((layer,)), np.zeros(1, np.dtype(scratch_fields((layer,)), align=True))
    assert scratch["sum0"].dtype == sums
    assert first_current(net, scratch, np.ones(inputs, np.uint8)) == inputs
    expected = (inputs * sign + layer.bias) * layer.step
    np.testing.assert_array_equal(scratch["current"][0, :5], expected.astype(np.float32))


@pytest.mark.parametrize("spiking", [0, 1, 2, 3, 4, 5, 37])
def test_the_current_is_the_bias_and_the_rows_of_those_that_spiked(spiking: int) -> None:
    rng = np.random.default_rng(spiking)
    layer = layer_of(rng.integers(-127, 128, (37, 33)))
    net, scratch = network_record((layer,)), np.zeros(1, np.dtype(scratch_fields((layer,)), align=True))
    scratch["active"] = 36  # left by an earlier frame
    spikes = np.zeros(37, np.uint8)
    spikes[rng.permutation(37)[:spiking]] = 1
    assert first_current(net, scratch, spikes) == spiking
    expected = (spikes.astype(np.int64) @ layer.weight.astype(np.int64) + layer.bias) * layer.step
    np.testing.assert_array_equal(scratch["current"][0, :33], expected.astype(np.float32))
