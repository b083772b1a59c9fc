"""A graph of NIR run step by step in plain numpy, read as `docs/chips.md` says. Knows NIR's nodes; no model.

Float32, one step for each frame. Nodes run in the order in which they are reached from the inputs; an edge that closes
a loop hands over what its node said in the step before. What several edges bring is added in the order of the edges.
"""

from collections import defaultdict
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Simulator:
    """`run(inputs) -> what every node said`, from rest. Raises ValueError for a node that it does not know."""

    def __init__(self, graph: nir.NIRGraph, dt_s: float) -> None:
        self._nodes = {name: _block(name, node, dt_s) for name, node in graph.nodes.items()}
        self._order = _order(graph)
        self._sources: dict[str, list[str]] = defaultdict(list)
        for source, target in graph.edges:
            self._sources[target].append(source)
        place = {name: number for number, name in enumerate(self._order)}
        self._late = {(a, b) for a, b in graph.edges if place[a] >= place[b]}

    def run(self, inputs: NDArray[Any]) -> dict[str, Floats]:
        """inputs: (frames, in). Returns of each node (frames, width): an LI's membrane, a LIF's spikes."""
        said: dict[str, list[Floats]] = {name: [] for name in self._order}
        for block in self._nodes.values():
            block.reset()
        for frame in inputs.astype(np.float32):
            for name in self._order:
                given = []
                for source in self._sources[name]:
                    late = (source, name) in self._late
                    if late and len(said[source]) == 0:
                        continue  # nothing was said before the first step
                    given.append(said[source][-1])
                said[name].append(self._nodes[name].step(given or [frame]))
        return {name: np.array(rows) for name, rows in said.items()}


class _Block:
    def reset(self) -> None:
        pass

    def step(self, given: list[Floats]) -> Floats:
        return _sum(given)


class _Weights(_Block):
    def __init__(self, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
        self._weight = np.ascontiguousarray(weight.T, np.float32)
        self._bias = np.float32(0) if bias is None else bias.astype(np.float32)

    def step(self, given: list[Floats]) -> Floats:
        return np.asarray(_sum(given) @ self._weight + self._bias)


class _Leak(_Block):
    def __init__(self, node: Any, dt_s: float) -> None:
        decay = 1.0 - dt_s / node.tau.astype(np.float64)
        self._beta = decay.astype(np.float32)
        self._gain = (node.r * dt_s / node.tau).astype(np.float32)
        self._rest = ((1.0 - decay) * node.v_leak).astype(np.float32)
        self.v = np.zeros_like(self._beta)

    def reset(self) -> None:
        self.v = np.zeros_like(self._beta)

    def step(self, given: list[Floats]) -> Floats:
        self.v = self._beta * self.v + self._rest
        for current in given:
            self.v = self.v + self._gain * current
        return self.v


class _Fire(_Leak):
    def __init__(self, node: Any, dt_s: float) -> None:
        super().__init__(node, dt_s)
        self._threshold = node.v_threshold.astype(np.float32)
        self._to = node.v_reset.astype(np.float32)

    def step(self, given: list[Floats]) -> Floats:
        fired = super().step(given) > self._threshold
        self.v = np.where(fired, self._to, self.v)
        return fired.astype(np.float32)


class _Compare(_Block):
    def __init__(self, threshold: NDArray[Any]) -> None:
        self._threshold = threshold.astype(np.float32)

    def step(self, given: list[Floats]) -> Floats:
        return (_sum(given) > self._threshold).astype(np.float32)


def _sum(given: list[Floats]) -> Floats:
    total = given[0]
    for more in given[1:]:
        total = total + more
    return total


def _block(name: str, node: Any, dt_s: float) -> _Block:
    if isinstance(node, nir.Input | nir.Output):
        return _Block()
    if isinstance(node, nir.Affine):
        return _Weights(node.weight, node.bias)
    if isinstance(node, nir.Linear):
        return _Weights(node.weight, None)
    if isinstance(node, nir.LIF):
        return _Fire(node, dt_s)
    if isinstance(node, nir.LI):
        return _Leak(node, dt_s)
    if isinstance(node, nir.Threshold):
        return _Compare(node.threshold)
    raise ValueError(
        f"{name} is a {type(node).__name__}: Input, Output, Affine, Linear, LI, LIF and Threshold are read"
    )


def _order(graph: nir.NIRGraph) -> list[str]:
    """Depth first from the inputs, last finished first: an order in which only edges that close a loop point back."""
    following: dict[str, list[str]] = defaultdict(list)
    for source, target in graph.edges:
        following[source].append(target)
    finished: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        for target in following[name]:
            if target not in seen:
                visit(target)
        finished.append(name)

    for name in graph.inputs:
        visit(name)
    return finished[::-1]
