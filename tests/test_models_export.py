"""Folding, quantising and export: what the engine runs is what snntorch runs, bit for bit."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from engine.config import FrontEnd  # noqa: E402
from engine.ear import Ear  # noqa: E402
from engine.pipeline import TRACE_FRAMES, Pipeline  # noqa: E402
from engine.weights import Model, load, save  # noqa: E402
from models.data.corpus import read_sound  # noqa: E402
from models.data.ontology import LABELS  # noqa: E402
from models.export import SnnTorchModel, layer_of, model_of  # noqa: E402
from models.networks import SpikingNetwork  # noqa: E402
from tests.synth import tone  # noqa: E402

FRONT_END = FrontEnd(fibre_gains=(0.5, 1.0, 2.0))


@pytest.fixture(scope="module")
def folded() -> SpikingNetwork:
    """A network whose normalisation has seen spikes and which was then folded; its weights are random."""
    torch.manual_seed(5)
    network = SpikingNetwork(FRONT_END.fibres, (48, 24), len(LABELS), output_beta=0.95, dropout=0.0)
    for _ in range(60):
        network((torch.rand(20, 4, FRONT_END.fibres) < 0.1).float())
    network.fold()
    return network.eval()


def sound() -> NDArray[np.float32]:
    """Tones, noise and silence, 2.4 s."""
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(8000).astype(np.float32)
    return np.concatenate([np.zeros(3200, np.float32), tone(440, 0.7), noise, tone(1900, 0.5), tone(130, 0.5)])


def assert_engine_equals_snntorch(model: Model, samples: NDArray[np.float32]) -> None:
    pipeline = Pipeline(model)
    _, fired = Ear(model.front_end).feed(samples)
    with torch.no_grad():
        spikes, membranes = SnnTorchModel(model)(torch.from_numpy(fired.astype(np.float32))[:, None])
    expected_spikes = torch.cat(spikes, dim=2)[:, 0].numpy()
    rows, evidence = [], []
    hop = model.front_end.hop_samples
    for at in range(0, len(samples) // hop * hop, TRACE_FRAMES * hop):
        before = pipeline.frames
        pipeline.feed(samples[at : at + TRACE_FRAMES * hop])
        index = np.arange(before, pipeline.frames) % TRACE_FRAMES
        rows.append(pipeline.trace["spikes"][index].copy())
        evidence.append(pipeline.trace["evidence"][index].copy())
    assert expected_spikes.sum() > 50
    np.testing.assert_array_equal(np.concatenate(rows), expected_spikes)
    np.testing.assert_array_equal(np.concatenate(evidence), membranes[-1][:, 0].numpy())


def test_the_engine_runs_an_exported_network_as_snntorch_does_bit_for_bit(folded: SpikingNetwork) -> None:
    assert_engine_equals_snntorch(model_of(folded, FRONT_END, name="t", version="0.0.1"), sound())


def test_a_network_with_a_fine_look_is_the_same_in_training_snntorch_and_engine() -> None:
    front_end = FrontEnd(bands=20, fine_samples=1024, fine_hops=3, fine_bands=24, fine_gains=(1.0,), change_gain=4.0)
    assert front_end.fine is not None
    own = front_end.fibres - front_end.fine.fibres
    torch.manual_seed(6)
    network = SpikingNetwork(front_end.fibres, (24,), len(LABELS), output_beta=0.95, dropout=0.0, rare=(own, 3))
    whole = SpikingNetwork(front_end.fibres, (24,), len(LABELS), output_beta=0.95, dropout=0.0)
    whole.load_state_dict(network.state_dict())
    spikes = torch.from_numpy(Ear(front_end).feed(sound())[1].astype(np.float32))[:, None]
    assert spikes[:, :, own:].sum() > 100
    for one in (network, whole):
        for _ in range(30):
            one(spikes)
        one.fold()
        one.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(spikes)[0], whole(spikes)[0], atol=1e-3, rtol=0.0)
    network.load_state_dict(whole.state_dict())
    network.layers[0].shift, network.layers[1].shift = whole.layers[0].shift, whole.layers[1].shift
    with torch.no_grad():
        assert torch.equal(network(spikes)[0], whole(spikes)[0])  # on the grid sums are exact
    assert_engine_equals_snntorch(model_of(network, front_end, name="t", version="0.0.1"), sound())


def test_the_engine_runs_the_shipped_model_as_snntorch_does_bit_for_bit(orchestra: Model) -> None:
    assert_engine_equals_snntorch(orchestra, sound())


def test_the_shipped_model_equals_snntorch_on_recordings(orchestra: Model, shared_data: Path) -> None:
    for instrument in ("violin", "snare_drum", "piano"):
        path = min((shared_data / "audio" / instrument).glob("*.ogg"))
        assert_engine_equals_snntorch(orchestra, read_sound(path).astype(np.float32) / 32768)


def test_folding_keeps_what_the_network_says_up_to_the_grid() -> None:
    torch.manual_seed(6)
    network = SpikingNetwork(24, (16,), 3, output_beta=0.9, dropout=0.0)
    spikes = (torch.rand(50, 4, 24) < 0.3).float()
    for _ in range(200):
        network(spikes)
    layer = network.eval().layers[0]
    before = layer.current(spikes)
    layer.fold()
    torch.testing.assert_close(layer.current(spikes), before, rtol=0, atol=0.1 * float(before.detach().std()) + 0.01)


def test_exported_weights_are_exactly_the_grid_that_training_saw(folded: SpikingNetwork) -> None:
    for layer in folded.layers:
        exported = layer_of(layer)
        scale = 2.0**-4 if layer.is_output else 1.0
        np.testing.assert_array_equal(exported.real_weight(), layer.grid_weight().detach().numpy() * scale)
        np.testing.assert_array_equal(exported.real_bias(), layer.grid_bias().detach().numpy() * scale)


def test_a_layer_off_the_grid_is_not_exported() -> None:
    network = SpikingNetwork(8, (4,), 2, output_beta=0.9, dropout=0.0)
    with pytest.raises(ValueError, match="fold"):
        layer_of(network.layers[0])


def test_an_exported_model_survives_the_file(folded: SpikingNetwork, tmp_path: Path) -> None:
    model = model_of(folded, FRONT_END, name="t", version="0.0.1", trained={"figures": {"x": 1.5}})
    save(model, tmp_path / "t.safetensors")
    again = load(tmp_path / "t.safetensors")
    assert again.trained == {"figures": {"x": 1.5}}
    np.testing.assert_array_equal(again.layers[0].weight, model.layers[0].weight)
