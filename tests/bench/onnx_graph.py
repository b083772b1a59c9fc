"""One step of a network as an ONNX graph: state goes in and comes out, as a runtime without memory needs it."""

import numpy as np

from engine.weights import Model

OPSET = 17


def step(model: Model) -> bytes:
    """Inputs x (1, in) and v0, v1 ...; outputs v0_next, spikes0, v1_next ...: all float32, (1, neurons).

    v_next = (beta * v + (x @ weight + bias)) - due * threshold, due = v > threshold; spikes = v_next > threshold.
    Raises ImportError without onnx.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants, inputs, outputs = [], [], [], []

    def array(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(kind: str, *sources: str, name: str, **attributes: int) -> str:
        nodes.append(helper.make_node(kind, list(sources), [name], **attributes))
        return name

    def spikes_of(v: str, threshold: str, name: str) -> str:
        above = node("Greater", v, threshold, name=f"{name}_bool")
        return node("Cast", above, name=name, to=TensorProto.FLOAT)

    x = "x"
    inputs.append(helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, model.front_end.fibres]))
    for i, layer in enumerate(model.layers):
        width = layer.weight.shape[1]
        v = f"v{i}"
        weight, bias = array(f"weight{i}", layer.real_weight()), array(f"bias{i}", layer.real_bias())
        beta, threshold = array(f"beta{i}", layer.beta), array(f"threshold{i}", layer.threshold)
        current = node("Gemm", x, weight, bias, name=f"current{i}")
        kept = node("Mul", v, beta, name=f"kept{i}")
        if layer.reset == "subtract":
            charged = node("Add", kept, current, name=f"charged{i}")
            reset = node("Mul", spikes_of(v, threshold, f"due{i}"), threshold, name=f"reset{i}")
            node("Sub", charged, reset, name=f"v{i}_next")
        else:
            node("Add", kept, current, name=f"v{i}_next")
        x = spikes_of(f"v{i}_next", threshold, f"spikes{i}")
        for name, into in ((v, inputs), (f"v{i}_next", outputs), (x, outputs)):
            into.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]))
    graph = helper.make_graph(nodes, "step", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    checker.check_model(made)
    return made.SerializeToString()  # type: ignore[no-any-return]
