"""The same network in other engines, a frame at a time: numpy, torch, snntorch, onnxruntime.

Each is a function of (model, spikes) that returns a `Stepper`, or raises ImportError where its package is missing. All
reset by delayed subtraction or not at all. The C loop is in c_loop.py, the ONNX graph in onnx_graph.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from tests.bench import onnx_graph

Rows = list[NDArray[np.float32]]  # one array for each layer


@dataclass(frozen=True)
class Stepper:
    """`run` steps the network over all of its frames from silence; with `keep` it calls `keep(v, spikes)` each frame,
    with arrays of every layer.
    """

    run: Callable[[Callable[[Rows, Rows], None] | None], None]
    frames: int

    def answers(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Membranes and spikes of every neuron in every frame, (frames, neurons)."""
        membranes: Rows = []
        spikes: Rows = []

        def keep(v: Rows, fired: Rows) -> None:
            membranes.append(np.concatenate([np.ravel(layer) for layer in v]))
            spikes.append(np.concatenate([np.ravel(layer) for layer in fired]))

        self.run(keep)
        return np.stack(membranes), np.stack(spikes).astype(np.uint8)


def numpy_steps(model: Model, spikes: NDArray[np.uint8]) -> Stepper:
    """Array operations into arrays that are there already: x @ W + b, then the membrane, then the comparison."""
    inputs = spikes.astype(np.float32)
    layers = [(x.real_weight(), x.real_bias(), x.beta, x.threshold, x.reset == "subtract") for x in model.layers]

    def run(keep: Callable[[Rows, Rows], None] | None = None) -> None:
        v = [np.zeros_like(bias) for _, bias, *_ in layers]
        fired = [np.zeros_like(bias) for _, bias, *_ in layers]
        current = [np.zeros_like(bias) for _, bias, *_ in layers]
        for x in inputs:
            for i, (weight, bias, beta, threshold, subtract) in enumerate(layers):
                np.matmul(x, weight, out=current[i])
                current[i] += bias
                v[i] *= beta
                v[i] += current[i]
                if subtract:
                    fired[i] *= threshold  # the spikes of the frame before: the reset that is due
                    v[i] -= fired[i]
                x = np.greater(v[i], threshold, out=fired[i], casting="unsafe")
            if keep:
                keep(v, fired)

    return Stepper(run, len(inputs))


def torch_steps(model: Model, spikes: NDArray[np.uint8]) -> Stepper:
    """As numpy, with torch's operations, in place where there is one."""
    import torch

    torch.set_num_threads(1)
    inputs = torch.from_numpy(spikes.astype(np.float32))
    layers = [
        (*map(torch.from_numpy, (x.real_weight().T.copy(), x.real_bias(), x.beta, x.threshold)), x.reset == "subtract")
        for x in model.layers
    ]

    @torch.inference_mode()
    def run(keep: Callable[[Rows, Rows], None] | None = None) -> None:
        v = [torch.zeros_like(bias) for _, bias, *_ in layers]
        fired = [torch.zeros_like(bias) for _, bias, *_ in layers]
        for x in inputs:
            for i, (weight, bias, beta, threshold, subtract) in enumerate(layers):
                current = torch.addmv(bias, weight, x)
                v[i].mul_(beta).add_(current)
                if subtract:
                    v[i].sub_(fired[i].mul_(threshold))
                x = torch.gt(v[i], threshold, out=fired[i])
            if keep:
                keep([layer.numpy() for layer in v], [layer.numpy() for layer in fired])

    return Stepper(run, len(inputs))


def snntorch_steps(model: Model, spikes: NDArray[np.uint8]) -> Stepper:
    """torch.nn.Linear and snntorch.Leaky, as snntorch's tutorials step a network, without gradients."""
    import snntorch
    import torch

    torch.set_num_threads(1)
    inputs = torch.from_numpy(spikes.astype(np.float32))
    linears, leakies = [], []
    for layer in model.layers:
        linear = torch.nn.Linear(*layer.weight.shape)
        linear.weight.data = torch.from_numpy(layer.real_weight().T.copy())
        linear.bias.data = torch.from_numpy(layer.real_bias())
        linears.append(linear)
        leakies.append(
            snntorch.Leaky(
                beta=torch.from_numpy(layer.beta),
                threshold=torch.from_numpy(layer.threshold),
                reset_mechanism=layer.reset,
            )
        )

    @torch.inference_mode()
    def run(keep: Callable[[Rows, Rows], None] | None = None) -> None:
        v = [leaky.init_leaky() for leaky in leakies]
        fired = list(v)
        for x in inputs:
            for i, (linear, leaky) in enumerate(zip(linears, leakies, strict=True)):
                x, v[i] = leaky(linear(x), v[i])
                fired[i] = x
            if keep:
                keep([layer.numpy() for layer in v], [layer.numpy() for layer in fired])

    return Stepper(run, len(inputs))


def onnx_steps(model: Model, spikes: NDArray[np.uint8]) -> Stepper:
    """onnxruntime, one thread, every input and output bound once; two bindings, so that each step reads the state
    that the one before wrote.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    session = onnxruntime.InferenceSession(onnx_graph.step(model), options, providers=["CPUExecutionProvider"])
    inputs = spikes.astype(np.float32)[:, None, :]
    x = np.zeros_like(inputs[0])
    widths = [layer.weight.shape[1] for layer in model.layers]
    state = [[np.zeros((1, width), np.float32) for width in widths] for _ in range(2)]
    fired = [np.zeros((1, width), np.float32) for width in widths]
    steps = []
    for before, after in ((0, 1), (1, 0)):
        binding = session.io_binding()
        bound = [(binding.bind_input, "x", x)]
        for i in range(len(widths)):
            bound += [
                (binding.bind_input, f"v{i}", state[before][i]),
                (binding.bind_output, f"v{i}_next", state[after][i]),
                (binding.bind_output, f"spikes{i}", fired[i]),
            ]
        for bind, name, array in bound:
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        steps.append((binding, state[after]))

    def run(keep: Callable[[Rows, Rows], None] | None = None) -> None:
        for layer in state[0]:
            layer[:] = 0
        for frame in range(len(inputs)):
            x[:] = inputs[frame]
            binding, v = steps[frame % 2]
            session.run_with_iobinding(binding)
            if keep:
                keep(v, fired)

    return Stepper(run, len(inputs))


STEPPERS: dict[str, Callable[[Model, NDArray[np.uint8]], Stepper]] = {
    "numpy": numpy_steps,
    "torch": torch_steps,
    "snntorch": snntorch_steps,
    "onnxruntime": onnx_steps,
}
