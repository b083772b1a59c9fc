"""A model's network as a graph of NIR, the exchange format of spiking toolkits. Knows the `nir` package; no toolkit.

Two forms. `exact` says what the engine runs. NIR's LIF resets to a value, the engine's neurons subtract, so such a
neuron is a leaky integrator (LI), a Threshold and a connection back to itself, which hands over one step later:

    v' = beta * v + (W s + b) - threshold * spike_before

The last layer's membrane is the label's log-odds: LI to the output `evidence`, and a Threshold at each label's `on` to
the output `labels`. `plain` has nothing but Affine and LIF, which most toolkits read. There every hidden neuron resets
to 0, and a label's neuron counts from its `off`: it fires where the evidence reaches `on`, and falls back to `off`.

NIR is continuous: tau dv/dt = (v_leak - v) + r I. A step of `dt` by Euler is v' = (1 - dt/tau) v + (r dt/tau) I, so
beta is tau = dt / (1 - beta). How the current's factor becomes 1 is the profile's matter.
Source: Pedersen and others, "Neuromorphic intermediate representation", Nature Communications 2024; nir 1.0.8.
"""

import json
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from engine.latch import log_odds
from engine.weights import Layer, Model

FORMS = ("exact", "plain")
PROFILES = {
    "r": "weights as in the model, r = tau/dt",
    "folded": "weights divided by 1 - beta, r = 1: for toolkits that ignore r, as Norse does",
    "snntorch": "r = tau/dt, thresholds 1, and dt 0.1 ms in place of the hop: what snntorch's importer supposes",
}
SNNTORCH_DT_S = 1e-4  # written into snntorch's importer (1.0.0), whatever a file says

Floats = NDArray[np.float64]


class ExportError(ValueError):
    """A network that a graph cannot say; the message names the layer and the number."""


@dataclass(frozen=True)
class _Wiring:
    """One layer in physical units, before a profile is applied."""

    weight: Floats  # (out, in)
    bias: Floats  # (out,)
    beta: Floats  # (out,)
    threshold: Floats  # (out,)


def graph_of(model: Model, form: str = "exact", profile: str = "r") -> nir.NIRGraph:
    """The network as a graph: input `front_end.fibres` spikes a frame, dt one hop (but see PROFILES).

    Raises ExportError where NIR has no words for the network, ValueError for an unknown form or profile.
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r} is not one of {', '.join(FORMS)}")
    if profile not in PROFILES:
        raise ValueError(f"profile={profile!r} is not one of {', '.join(PROFILES)}")
    if profile == "snntorch" and form == "exact":
        raise ValueError("snntorch's importer reads no LI and no Threshold: it has the plain form only")
    dt_s = SNNTORCH_DT_S if profile == "snntorch" else model.front_end.hop_s
    nodes: dict[str, Any] = {"input": nir.Input(np.array([model.front_end.fibres]))}
    edges: list[tuple[str, str]] = []
    source = "input"
    for index, layer in enumerate(model.layers):
        last = index == len(model.layers) - 1
        wiring = _wiring(model, layer, index, evidence=last, form=form)
        if profile == "snntorch":
            wiring = _unit_threshold(wiring, index)
        affine, r = _profiled(wiring, profile)
        tau = dt_s / (1.0 - wiring.beta)
        nodes[f"affine{index}"] = affine
        edges.append((source, f"affine{index}"))
        rest = np.zeros_like(tau)
        spikes, leak = f"spikes{index}", f"leak{index}"
        if form == "plain" or layer.reset == "zero":
            nodes[spikes] = nir.LIF(tau=tau, r=r, v_leak=rest, v_threshold=wiring.threshold, v_reset=rest.copy())
            edges.append((f"affine{index}", spikes))
        else:
            nodes[leak] = nir.LI(tau=tau, r=r, v_leak=rest)
            edges.append((f"affine{index}", leak))
            if not last or layer.reset == "subtract":
                nodes[spikes] = nir.Threshold(threshold=wiring.threshold)
                edges.append((leak, spikes))
            if layer.reset == "subtract":
                taken = wiring.threshold if layer.reset_delay else wiring.beta * wiring.threshold
                nodes[f"reset{index}"] = nir.Linear(weight=np.diag(-taken * tau / (r * dt_s)).astype(np.float32))
                edges += [(spikes, f"reset{index}"), (f"reset{index}", leak)]
        source = spikes
    labels = np.array([len(model.labels)])
    nodes["labels"] = nir.Output(labels)
    if form == "exact":
        nodes["evidence"] = nir.Output(labels.copy())
        nodes["on"] = nir.Threshold(threshold=np.array([log_odds(score) for score in model.on]))
        edges += [(leak, "evidence"), (leak, "on"), ("on", "labels")]
    else:
        edges.append((source, "labels"))
    return nir.NIRGraph(nodes, edges, metadata={"spiccato": json.dumps(_told(model, form, profile, dt_s))})


def told(graph: nir.NIRGraph) -> dict[str, Any]:
    """What `graph_of` wrote beside the network: labels, families, front end, thresholds, hop, resets."""
    text = graph.metadata["spiccato"]
    found: dict[str, Any] = json.loads(text.decode() if isinstance(text, bytes) else text)
    return found


def _told(model: Model, form: str, profile: str, dt_s: float) -> dict[str, Any]:
    return {
        "model": model.id,
        "sha256": model.sha256,
        "form": form,
        "profile": profile,
        "dt_s": dt_s,  # of the graph's time constants
        "hop_s": model.front_end.hop_s,  # how often a frame of spikes comes
        "update": "Euler: v' = (1 - dt/tau) v + (r dt/tau) I; a spike where v > threshold, strictly",
        "loop": "the connection back to a neuron hands over one step later",
        "reset": [
            {"model": layer.reset, "delay": layer.reset_delay, "graph": "zero" if form == "plain" else layer.reset}
            for layer in model.layers
        ],
        "labels": list(model.labels),
        "families": list(model.families),
        "on": list(model.on),
        "off": list(model.off),
        "front_end": model.front_end.to_dict(),
    }


def _wiring(model: Model, layer: Layer, index: int, evidence: bool, form: str) -> _Wiring:
    if np.any(layer.beta >= 1):
        raise ExportError(f"layer {index} has a neuron with beta 1, which never leaks: NIR's tau would be infinite")
    if evidence and form == "exact" and layer.reset == "zero":
        raise ExportError(f"layer {index}, the last, resets to zero: NIR's LIF shows no membrane for the evidence")
    weight = layer.real_weight().T.astype(np.float64)
    bias, beta = layer.real_bias().astype(np.float64), layer.beta.astype(np.float64)
    threshold = layer.threshold.astype(np.float64)
    if evidence and form == "plain":  # membranes counted from each label's `off`, so that a reset to 0 is one to there
        on, off = (np.array([log_odds(score) for score in scores]) for scores in (model.on, model.off))
        bias, threshold = bias - (1.0 - beta) * off, on - off
    return _Wiring(weight, bias, beta, threshold)


def _unit_threshold(wiring: _Wiring, index: int) -> _Wiring:
    """The same neurons with membrane, weight and bias divided by the threshold."""
    if np.any(wiring.threshold <= 0):
        raise ExportError(f"layer {index} has a threshold of {wiring.threshold.min():g}: snntorch's needs it above 0")
    scale = 1.0 / wiring.threshold
    return _Wiring(wiring.weight * scale[:, None], wiring.bias * scale, wiring.beta, np.ones_like(scale))


def _profiled(wiring: _Wiring, profile: str) -> tuple[nir.Affine, Floats]:
    gain = 1.0 / (1.0 - wiring.beta)  # tau / dt
    fold = gain if profile == "folded" else np.ones_like(gain)
    affine = nir.Affine(
        weight=(wiring.weight * fold[:, None]).astype(np.float32), bias=(wiring.bias * fold).astype(np.float32)
    )
    return affine, gain / fold
