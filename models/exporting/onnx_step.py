"""One step of a network as ONNX: spikes and membranes in, spikes and membranes out. Knows `onnx`; keeps no state.

Inputs, float32: `spikes` (streams, fibres) and of each layer `v0`, `v1` ... (streams, neurons), zeros at the start.
Outputs: `next_v0` ..., to be given back with the next frame; `spikes0` ...; `scores` (streams, labels), 0 to 1, the
logistic of the last membranes. The operations and their order are those of `engine/lif.py`.
"""

import json
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.weights import Layer, Model

OPSET = 17  # of 2022: every runtime of today reads it
IR_VERSION = 8


class _Graph:
    """Nodes and constants as they come; each call returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def above(self, value: str, threshold: str, out: str | None = None) -> str:
        return self.op("Cast", self.op("Greater", value, threshold), out=out, to=TensorProto.FLOAT)


def onnx_step(model: Model) -> onnx.ModelProto:
    """The step, with labels, families, front end and thresholds as JSON in the metadata's entry `spiccato`."""
    graph = _Graph()
    spikes = "spikes"
    inputs, outputs = [_value("spikes", model.front_end.fibres)], []
    for index, layer in enumerate(model.layers):
        width = layer.weight.shape[1]
        current = graph.op(
            "Add",
            graph.op("MatMul", spikes, graph.constant(f"weight{index}", layer.real_weight())),
            graph.constant(f"bias{index}", layer.real_bias()),
        )
        spikes = _layer(graph, layer, index, current)
        inputs.append(_value(f"v{index}", width))
        outputs += [_value(f"next_v{index}", width), _value(spikes, width)]
    graph.op("Sigmoid", f"next_v{len(model.layers) - 1}", out="scores")
    outputs.append(_value("scores", len(model.labels)))
    made = helper.make_model(
        helper.make_graph(graph.nodes, "step", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="spiccato",
    )
    about = {
        "model": model.id, "sha256": model.sha256, "hop_s": model.front_end.hop_s, "labels": list(model.labels),
        "families": list(model.families), "on": list(model.on), "off": list(model.off),
        "front_end": model.front_end.to_dict(),
    }  # fmt: skip
    helper.set_model_props(made, {"spiccato": json.dumps(about)})
    onnx.checker.check_model(made)
    return made


def _layer(graph: _Graph, layer: Layer, index: int, current: str) -> str:
    """engine/lif.py, operation by operation. Returns the name of the spikes."""
    beta = graph.constant(f"beta{index}", layer.beta)
    threshold = graph.constant(f"threshold{index}", layer.threshold)
    v = f"v{index}"
    due = graph.above(v, threshold)
    if layer.reset == "zero":
        kept = graph.op("Mul", graph.op("Sub", graph.constant(f"one{index}", 1.0), due), v)
        value = graph.op("Add", graph.op("Mul", beta, kept), current)
    else:
        value = graph.op("Add", graph.op("Mul", beta, v), current)
        if layer.reset == "subtract":
            value = graph.op("Sub", value, graph.op("Mul", due, threshold))
    fired = graph.above(value, threshold, out=f"spikes{index}")
    if not layer.reset_delay and layer.reset != "none":
        taken = threshold if layer.reset == "subtract" else value
        value = graph.op("Sub", value, graph.op("Mul", graph.op("Sub", fired, due), taken))
    graph.op("Identity", value, out=f"next_v{index}")
    return fired


def _value(name: str, width: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["streams", width])


def run_step(data: bytes, inputs: NDArray[np.uint8]) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """The step in onnxruntime, a stream from rest. inputs: (frames, fibres). Returns spikes and evidence, by frame."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    state = {
        value.name: np.zeros((1, value.shape[1]), np.float32)
        for value in session.get_inputs()
        if value.name != "spikes"
    }
    spikes: list[list[NDArray[np.uint8]]] = [[] for _ in state]
    evidence = []
    for frame in inputs.astype(np.float32):
        said = dict(zip(names, session.run(None, {"spikes": frame[None], **state}), strict=True))
        state = {name: said[f"next_{name}"] for name in state}
        for index, rows in enumerate(spikes):
            rows.append(said[f"spikes{index}"][0].astype(np.uint8))
        evidence.append(state[f"v{len(state) - 1}"][0])
    return [np.array(rows) for rows in spikes], np.array(evidence)
