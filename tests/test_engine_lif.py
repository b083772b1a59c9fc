"""The LIF kernels: closed-form rates, the naive reference, then snntorch itself, bit for bit.

Whole networks, and for an hour: `test_engine_exact.py`.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.lif import NONE, RESETS, SUBTRACT, lif_step
from engine.weights import Layer
from tests import reference
from tests.snn import random_layer

FRAMES = 400


def run_layer(currents: np.ndarray, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    n = currents.shape[1]
    v, spikes = np.zeros(n, np.float32), np.zeros(n, np.uint8)
    all_spikes, all_v = [], []
    for current in currents:
        lif_step(current, layer.beta, layer.threshold, RESETS[layer.reset], layer.reset_delay, v, spikes, 0, n)
        all_spikes.append(spikes.copy())
        all_v.append(v.copy())
    return np.array(all_spikes), np.array(all_v)


def test_a_constant_drive_fires_at_the_known_interval() -> None:
    v, spikes = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    beta, threshold = np.array([0.8], np.float32), np.ones(1, np.float32)
    drive = np.array([0.21], np.float32)
    fired = []
    for step in range(1, 40):
        lif_step(drive, beta, threshold, SUBTRACT, True, v, spikes, 0, 1)
        if spikes[0]:
            fired.append(step)
    # charge after n steps is 0.21 (1 - 0.8^n) / 0.2 > 1 first at n = 14; snntorch >= 0.8 gives 0-based 13 and 28
    assert fired[:2] == [14, 29]


def test_without_reset_the_membrane_approaches_the_geometric_limit() -> None:
    v, spikes = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    for _ in range(500):
        lif_step(
            np.full(1, 0.02, np.float32),
            np.full(1, 0.9, np.float32),
            np.ones(1, np.float32),
            NONE,
            True,
            v,
            spikes,
            0,
            1,
        )
    assert v[0] == pytest.approx(0.2, rel=1e-5)


@given(seed=st.integers(0, 10**6), reset=st.sampled_from(sorted(RESETS)), delay=st.booleans())
@settings(max_examples=25, deadline=None)
def test_lif_equals_the_naive_reference_to_the_bit(seed: int, reset: str, delay: bool) -> None:
    rng = np.random.default_rng(seed)
    layer = random_layer(rng, 1, 6, reset, delay)
    currents = rng.normal(0.1, 0.4, (60, 6)).astype(np.float32)
    spikes, membranes = run_layer(currents, layer)
    v = np.zeros(6, np.float32)
    for t, current in enumerate(currents):
        expected, v = reference.lif_layer(current, layer, v)
        np.testing.assert_array_equal(spikes[t], expected)
        np.testing.assert_array_equal(membranes[t].view(np.uint32), v.view(np.uint32))


@pytest.mark.parametrize("each", [True, False], ids=["per-neuron", "scalar"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "at-once"])
@pytest.mark.parametrize("reset", sorted(RESETS))
def test_lif_equals_snntorch_to_the_bit(reset: str, delay: bool, each: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0 snntorch==1.0.0")
    snntorch = pytest.importorskip("snntorch")
    rng = np.random.default_rng(7)
    n = 64
    layer = random_layer(rng, 1, n, reset, delay, each)
    currents = rng.normal(0.1, 0.4, (FRAMES, n)).astype(np.float32)
    spikes, membranes = run_layer(currents, layer)

    beta = torch.from_numpy(layer.beta) if each else float(layer.beta[0])
    threshold = torch.from_numpy(layer.threshold) if each else float(layer.threshold[0])
    leaky = snntorch.Leaky(beta=beta, threshold=threshold, reset_mechanism=reset, reset_delay=delay)
    mem = leaky.init_leaky()
    with torch.no_grad():
        for t in range(FRAMES):
            spk, mem = leaky(torch.from_numpy(currents[t]), mem)
            np.testing.assert_array_equal(spikes[t], spk.numpy().astype(np.uint8))
            np.testing.assert_array_equal(membranes[t].view(np.uint32), mem.numpy().view(np.uint32))
    if reset != "none":
        assert 0.01 < spikes.mean() < 0.9
