"""The fused LIF layer is snntorch's Leaky: the same spikes, the same membranes, the same gradients."""

import pytest

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

from models.lif_scan import lif_scan  # noqa: E402
from models.networks import SpikingNetwork, by_snntorch, fused  # noqa: E402


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_the_fused_layer_spikes_as_snntorch_does_and_its_gradients_are_close(reset: str) -> None:
    torch.manual_seed(3)
    current = 0.8 * torch.randn(60, 5, 7)
    beta = 0.6 + 0.38 * torch.rand(7)
    neuron = snntorch.Leaky(beta=beta.clone(), learn_beta=True, reset_mechanism=reset)
    mix_s, mix_v = torch.randn(60, 5, 7), torch.randn(60, 5, 7)

    results = []
    for step in (by_snntorch, fused):
        given = current.clone().requires_grad_()
        neuron.beta.grad = None
        spikes, v = step(given, neuron)
        ((spikes * mix_s).sum() + (v * mix_v).sum()).backward()
        results.append((spikes.detach(), v.detach(), given.grad, neuron.beta.grad.clone()))

    (s_ref, v_ref, i_ref, b_ref), (s, v, i, b) = results
    assert s_ref.sum() > 50
    assert torch.equal(s, s_ref)
    assert torch.equal(v, v_ref)
    torch.testing.assert_close(i, i_ref, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(b, b_ref, rtol=1e-4, atol=1e-3)


def test_a_whole_network_gives_the_same_spikes_and_gradients_either_way() -> None:
    torch.manual_seed(4)
    network = SpikingNetwork(fibres=12, hidden=(10, 9), labels=4, output_beta=0.95, dropout=0.0)
    sound = (torch.rand(80, 6, 12) < 0.3).float()
    outcomes = []
    for step in (by_snntorch, fused):
        network.zero_grad()
        membranes, hidden = network(sound, step)
        membranes.square().mean().backward()
        grads = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
        outcomes.append((membranes.detach(), [layer.detach() for layer in hidden], grads))
    (m_ref, h_ref, g_ref), (m, h, g) = outcomes
    assert all(layer.sum() > 0 for layer in h_ref)
    assert all(torch.equal(a, b) for a, b in zip(h, h_ref, strict=True))
    torch.testing.assert_close(m, m_ref, rtol=1e-6, atol=1e-6)
    for a, b in zip(g, g_ref, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_reset_that_the_fused_layer_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="halve"):
        lif_scan(torch.zeros(2, 1, 1), torch.full((1,), 0.5), reset="halve")
