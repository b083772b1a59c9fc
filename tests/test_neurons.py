"""What a neuron responds to, as the page and researchers are told it."""

import httpx
import numpy as np
import pytest

from engine.weights import Model
from server.neurons import described, place_of
from tests.live_server import LiveServer


def test_a_fibre_of_the_cochlea_hears_its_own_band(orchestra: Model) -> None:
    told = described(orchestra, 70)  # the second gain's seventh band
    assert (told["layer"], told["neuron"]) == (0, 70)
    weights = np.array(told["weights"])
    assert weights.shape == (len(told["fibres"]), orchestra.front_end.bands)
    assert np.argwhere(weights).tolist() == [[1, 6]]
    assert not np.any(told["fine"]["weights"])


def test_a_fibre_of_the_fine_look_is_told_with_its_bands(orchestra: Model) -> None:
    fine = orchestra.front_end.fine
    assert fine is not None
    told = described(orchestra, orchestra.front_end.fibres - fine.fibres + fine.bands + 5)
    weights = np.array(told["fine"]["weights"])
    assert weights.shape == (len(told["fine"]["fibres"]), len(told["fine"]["bands_hz"])) == (5, 128)
    assert np.argwhere(weights).tolist() == [[1, 5]]
    assert not np.any(told["weights"])


def test_a_neuron_of_the_first_layer_is_told_with_its_own_weights(orchestra: Model) -> None:
    fibres = orchestra.front_end.fibres
    layer = orchestra.layers[0]
    told = described(orchestra, fibres + 37)
    assert (told["layer"], told["neuron"]) == (1, 37)
    expected = layer.weight[:, 37] * 2.0**-layer.shift
    weights = [np.ravel(told["weights"]), np.ravel(told["fine"]["weights"])]
    assert np.concatenate(weights) == pytest.approx(expected, abs=1e-5)


def test_an_output_works_on_its_own_label_alone(orchestra: Model) -> None:
    last = orchestra.front_end.fibres + orchestra.neurons - 1
    assert place_of(orchestra, last) == (len(orchestra.layers), len(orchestra.labels) - 1)
    assert described(orchestra, last)["labels"] == [[orchestra.labels[-1], 1.0]]


def test_what_a_neuron_works_on_is_what_a_lone_spike_of_it_adds_to_the_outputs(orchestra: Model) -> None:
    place = orchestra.front_end.fibres + len(orchestra.layers[0].bias) + 5  # in the last hidden layer
    layer = orchestra.layers[-1]
    added = layer.weight[5] * 2.0**-layer.shift
    told = dict(described(orchestra, place)["labels"])
    strongest = int(np.argmax(np.abs(added)))
    assert told[orchestra.labels[strongest]] == pytest.approx(added[strongest], abs=1e-5)


def test_a_neuron_that_is_not_there_is_named_with_the_limit(server: LiveServer) -> None:
    for index in ("99999", "-1", "x", "1e3"):
        answer = httpx.get(f"{server.url}/v1/neurons/{index}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "unknown_neuron"
        assert index in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/v1/neurons/0").json()["layer"] == 0
