"""Networks for the tests: random ones on the grid, what the engine does with them, and what snntorch does."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.pipeline import Pipeline
from engine.weights import Layer, Model

Spikes = NDArray[np.uint8]
Membranes = NDArray[np.float32]


def random_layer(
    rng: np.random.Generator, fan_in: int, n: int, reset: str, delay: bool, each: bool = True, rate: float = 0.15
) -> Layer:
    """each: a beta and a threshold for every neuron, else one of both. rate: of the inputs, so that some fire."""
    beta = rng.uniform(0.5, 0.99, n) if each else np.full(n, 0.850854)
    threshold = rng.uniform(0.5, 1.5, n) if each else np.ones(n)
    spread = min(127, round(256 * 0.35 / np.sqrt(max(1.0, rate * fan_in))))
    return Layer(
        weight=rng.integers(-spread, spread + 1, (fan_in, n)).astype(np.int8),
        bias=rng.integers(-20, 50, n).astype(np.int32),
        shift=8,
        beta=beta.astype(np.float32),
        threshold=threshold.astype(np.float32),
        reset=reset,
        reset_delay=delay,
    )


def model_of(layers: tuple[Layer, ...], front_end: FrontEnd) -> Model:
    n = layers[-1].weight.shape[1]
    return Model(
        name="random", version="0", labels=tuple(f"label{i}" for i in range(n)), families=("none",) * n,
        front_end=front_end, layers=layers, on=(0.9,) * n, off=(0.5,) * n,
    )  # fmt: skip


class Recorder:
    """A stream, hop by hop, and what its neurons did in each frame."""

    def __init__(self, model: Model) -> None:
        self.pipeline = Pipeline(model)
        self.hop = model.front_end.hop_samples
        self.before = np.zeros(model.neurons, np.float32)  # membranes after the last frame

    def feed(self, samples: NDArray[np.float32]) -> tuple[Membranes, Spikes, Spikes, Membranes, Membranes]:
        """Whole hops in. Of each frame: features, cochlea spikes, network spikes, membranes after it and before it."""
        frames = len(samples) // self.hop
        state = self.pipeline._state[0]
        features = np.empty((frames, *state["before"].shape), np.float32)
        heard = np.empty((frames, *state["cochlea_spikes"].shape), np.uint8)
        spikes = np.empty((frames, *state["spikes"].shape), np.uint8)
        v = np.empty((frames + 1, *state["v"].shape), np.float32)
        v[0] = self.before
        for k, hop in enumerate(samples[: frames * self.hop].reshape(frames, self.hop)):
            self.pipeline.feed(hop)
            features[k], heard[k] = state["before"], state["cochlea_spikes"]
            spikes[k], v[k + 1] = state["spikes"], state["v"]
        self.before = v[-1]
        return features, heard, spikes, v[1:], v[:-1]


class Snn:
    """The layers in snntorch: torch's Linear and snntorch's Leaky, on one thread."""

    def __init__(self, layers: tuple[Layer, ...], each: bool = True) -> None:
        reason = "torch and snntorch are not installed: pip install torch==2.13.0 snntorch==1.0.0"
        self.torch = pytest.importorskip("torch", reason=reason)
        snntorch = pytest.importorskip("snntorch", reason=reason)
        self.layers = layers
        self.linears: list[Any] = []
        self.leakies: list[Any] = []
        for layer in layers:
            linear = self.torch.nn.Linear(*layer.weight.shape)
            linear.weight.data = self.torch.from_numpy(layer.real_weight().T.copy())
            linear.bias.data = self.torch.from_numpy(layer.real_bias())
            self.linears.append(linear)
            self.leakies.append(
                snntorch.Leaky(
                    beta=self.torch.from_numpy(layer.beta) if each else float(layer.beta[0]),
                    threshold=self.torch.from_numpy(layer.threshold) if each else float(layer.threshold[0]),
                    reset_mechanism=layer.reset,
                    reset_delay=layer.reset_delay,
                )
            )

    def current(self, index: int, inputs: Spikes) -> Any:
        """What layer `index` is given, (frames, neurons): one matrix product for all frames, by torch.

        Checked here, not assumed: on the grid a sum is exact, in whatever order it is made, so a product of many
        frames at once equals the products of the single frames.
        """
        layer = self.layers[index]
        given = self.linears[index](self.torch.from_numpy(inputs.astype(np.float32)))
        steps = inputs.astype(np.float64) @ layer.weight.astype(np.float64) + layer.bias
        np.testing.assert_array_equal(given.numpy().astype(np.float64), steps * layer.step)
        return given

    def steps(self, inputs: Spikes) -> tuple[Spikes, Membranes]:
        """Frame by frame from rest, each layer carrying its own membrane: what the engine must equal."""
        with self.torch.no_grad():
            mems = [leaky.init_leaky() for leaky in self.leakies]
            spikes: list[Any] = []
            v: list[Any] = []
            for frame in self.torch.from_numpy(inputs.astype(np.float32)):
                x = frame
                for i, (linear, leaky) in enumerate(zip(self.linears, self.leakies, strict=True)):
                    x, mems[i] = leaky(linear(x), mems[i])
                    spikes.append(x)
                    v.append(mems[i])
            shape = (len(inputs), -1)
            return (
                self.torch.cat(spikes).reshape(shape).numpy().astype(np.uint8),
                self.torch.cat(v).reshape(shape).numpy(),
            )

    def step_from_each(self, inputs: Spikes, spikes: Spikes, before: Membranes) -> tuple[Spikes, Membranes]:
        """One step of every layer from each of many states at once.

        inputs: (frames, in), what the network heard in each frame. spikes: (frames, neurons) of these frames.
        before: (frames, neurons), the membranes just before. Returns the spikes and membranes that snntorch has after.
        """
        after_spikes, after_v = [], []
        first, x = 0, inputs
        with self.torch.no_grad():
            for i, leaky in enumerate(self.leakies):
                own = slice(first, first + self.layers[i].weight.shape[1])
                spk, mem = leaky(self.current(i, x), self.torch.from_numpy(np.ascontiguousarray(before[:, own])))
                after_spikes.append(spk.numpy().astype(np.uint8))
                after_v.append(mem.numpy())
                first, x = own.stop, spikes[:, own]
        return np.concatenate(after_spikes, axis=1), np.concatenate(after_v, axis=1)


def assert_same_bits(ours: Membranes, theirs: Membranes) -> None:
    """Equal as bit patterns, so that a minus zero is not a zero."""
    np.testing.assert_array_equal(ours.view(np.uint32), np.ascontiguousarray(theirs).view(np.uint32))
