"""A bank of small networks and decays by shifting: both train, load and run in the engine as snntorch runs them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("soundfile")

from engine.weights import load, save  # noqa: E402
from models.data.bank import Bank  # noqa: E402
from models.data.ontology import LABELS  # noqa: E402
from models.data.scenes import ANY  # noqa: E402
from models.export import model_of  # noqa: E402
from models.networks import SpikingNetwork, block_mask, nearest_shift_decay  # noqa: E402
from models.train import Recipe, fit  # noqa: E402
from tests.test_models_export import FRONT_END, assert_engine_equals_snntorch, sound  # noqa: E402

TINY = Recipe(  # of the same shape as that test's network: it is compiled once
    front_end=FRONT_END, hidden=(48, 24), variant="bank", shift_decays=True, scenes=16, epochs=5, batch=8, seed=5
)


@pytest.fixture(scope="module")
def trained() -> SpikingNetwork:
    """A bank with shift decays, trained on random spikes."""
    random = np.random.default_rng(1)
    truth = (random.random((16, 1, len(LABELS))) < 0.1).astype(np.uint8).repeat(40, axis=1)
    truth[:, :4] = ANY
    bits = (random.random((16, 40, FRONT_END.fibres)) < 0.2).astype(np.uint8)
    return fit(Bank(np.packbits(bits, axis=2, bitorder="little"), truth, FRONT_END.fibres), TINY)


def test_a_mask_lets_each_neuron_hear_its_own_block_only() -> None:
    assert block_mask(4, 6, 2).tolist() == [[1, 1, 1, 0, 0, 0]] * 2 + [[0, 0, 0, 1, 1, 1]] * 2


def test_a_trained_bank_is_block_diagonal_and_the_engine_runs_it_bit_for_bit(
    trained: SpikingNetwork, tmp_path: Path
) -> None:
    save(model_of(trained, FRONT_END, name="bank", version="0"), tmp_path / "bank.safetensors")
    model = load(tmp_path / "bank.safetensors")
    for layer in model.layers[1:]:
        fan_in, width = layer.weight.shape
        own = np.kron(np.eye(len(LABELS)), np.ones((fan_in // len(LABELS), width // len(LABELS)))) > 0
        assert not layer.weight[~own].any()
        assert np.count_nonzero(layer.weight[own]) > own.sum() / 2
    assert_engine_equals_snntorch(model, sound())


def test_a_label_of_a_bank_does_not_hear_the_others(trained: SpikingNetwork) -> None:
    spikes = (torch.rand(60, 2, FRONT_END.fibres) < 0.3).float()
    changed = 0
    with torch.no_grad():
        before, _ = trained(spikes)
        weight = trained.layers[0].weight
        kept = weight.data.clone()
        for label in range(len(LABELS)):
            weight.data[:, 2 * label : 2 * label + 2] *= -1.0  # its two neurons
            after, _ = trained(spikes)
            weight.data = kept.clone()
            others = [index for index in range(len(LABELS)) if index != label]
            assert torch.equal(before[..., others], after[..., others])
            changed += not torch.equal(before[..., label], after[..., label])
    assert changed >= 3  # labels of which a neuron of the second layer spikes at all


def test_widths_that_do_not_divide_among_the_labels_and_unknown_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden=128"):
        SpikingNetwork(16, (48, 128), 24, 0.95, 0.0, variant="bank")
    with pytest.raises(ValueError, match="forest"):
        SpikingNetwork(16, (48,), 24, 0.95, 0.0, variant="forest")


def test_the_nearest_shift_decay_is_nearest_in_time_constant() -> None:
    frames = torch.tensor([1.0, 3.0, 3.6, 8.0, 19.5, 50.0])
    found = nearest_shift_decay(torch.exp(-1.0 / frames))
    # 1 - 2 ** -k lasts -1 / ln(1 - 2 ** -k) frames: 1.44, 3.48, 7.49, 15.5, 31.5, 63.5
    assert found.tolist() == [1 - 2.0**-k for k in (1, 2, 2, 3, 4, 6)]


def test_after_training_every_decay_and_threshold_is_a_shift(trained: SpikingNetwork) -> None:
    model = model_of(trained, FRONT_END, name="shift", version="0")
    for layer in model.layers:
        k = -np.log2(1.0 - layer.beta)
        np.testing.assert_array_equal(k, np.round(k))
    for layer in model.layers[:-1]:
        np.testing.assert_array_equal(np.log2(layer.threshold), -np.log2(1.0 - layer.beta))
    assert len(np.unique(model.layers[0].beta)) > 2


def test_without_the_option_decays_are_free(trained: SpikingNetwork) -> None:
    network = SpikingNetwork(16, (48,), 24, 0.95, 0.0, shift_decays=replace(TINY, shift_decays=False).shift_decays)
    network.fold()
    assert len(torch.unique(network.layers[0].neuron.beta)) == 48
