"""A stream as bytes: saved, moved to another process, resumed with no bit changed. Knows the format; hears nothing.

    magic | format | length | model | fields | length of the model's id, the id | settings and state | sha256 of it all

Little-endian and packed. `model` is a digest of what the state depends on (front end, layers, labels), `fields` one of
the state's own layout: what does not fit is refused by name. The trace is not stored: it shows what was and decides
nothing. The length depends on the model alone.
"""

import hashlib
import json
import struct
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ear import MAX_AMPLITUDE
from engine.latch import LatchSettings
from engine.stream import state_dtype
from engine.weights import Model

MAGIC = b"SPICSNAP"
FORMAT = 1  # to be raised when the same fields come to mean something else
HEAD = struct.Struct("<8sII32s32sH")
CHECK_BYTES = 32


class SnapshotError(ValueError):
    """A snapshot that cannot be restored; the message says why."""


def snapshot_bytes(model: Model) -> int:
    """Length of a snapshot of any stream of the model."""
    return HEAD.size + len(model.id.encode()) + _body(model).itemsize + CHECK_BYTES


def pack(model: Model, settings: LatchSettings, state: NDArray[np.void]) -> bytes:
    """state: (1,) of `state_dtype`. The same stream gives the same bytes."""
    body = np.zeros(1, _body(model))
    for name in ("on", "off", "enabled", "min_on_ms", "min_off_ms", "refractory_ms"):
        body[name] = getattr(settings, name)
    for name in _stored(model):
        body[f"state.{name}"] = state[name]
    id_ = model.id.encode()
    head = HEAD.pack(MAGIC, FORMAT, snapshot_bytes(model), _model_digest(model), _fields_digest(model), len(id_))
    content = head + id_ + body.tobytes()
    return content + hashlib.sha256(content).digest()


def unpack(model: Model, data: bytes) -> tuple[LatchSettings, NDArray[np.void]]:
    """Settings and (1,) state, without rules, of a snapshot. Raises SnapshotError if it does not fit `model`."""
    if len(data) < HEAD.size or data[: len(MAGIC)] != MAGIC:
        raise SnapshotError(f"not a snapshot: {len(data)} bytes that begin with {bytes(data[: len(MAGIC)])!r}")
    _, version, length, made_by, fields, id_bytes = HEAD.unpack_from(data)
    if version != FORMAT:
        raise SnapshotError(f"format={version}: this version reads {FORMAT}")
    if len(data) != length:
        raise SnapshotError(f"{len(data)} bytes of a snapshot of {length}: it is cut off, or more than one")
    if hashlib.sha256(data[:-CHECK_BYTES]).digest() != data[-CHECK_BYTES:]:
        raise SnapshotError("sha256 does not match: the snapshot is damaged")
    if made_by != _model_digest(model):
        id_ = bytes(data[HEAD.size : HEAD.size + id_bytes]).decode(errors="replace")
        raise SnapshotError(
            f"a stream of model {id_} ({made_by.hex()[:12]}), not of {model.id} ({_model_digest(model).hex()[:12]})"
        )
    if fields != _fields_digest(model):
        raise SnapshotError("made by another version of the engine: its streams remember other fields")
    body = np.frombuffer(data, _body(model), 1, HEAD.size + id_bytes)
    state = np.zeros(1, state_dtype(model))
    for name in _stored(model):
        state[name] = body[f"state.{name}"]
    _check(model, body, state)
    try:
        settings = LatchSettings(
            on=tuple(body["on"][0].tolist()),
            off=tuple(body["off"][0].tolist()),
            enabled=tuple(body["enabled"][0].astype(bool).tolist()),
            min_on_ms=float(body["min_on_ms"][0]),
            min_off_ms=float(body["min_off_ms"][0]),
            refractory_ms=float(body["refractory_ms"][0]),
        )
    except ValueError as error:
        raise SnapshotError(str(error)) from error
    return settings, state


def _check(model: Model, body: NDArray[np.void], state: NDArray[np.void]) -> None:
    """A checksum tells damage, not intent: refuse values that would lead the kernels out of their arrays."""
    for name in body.dtype.names or ():
        values = body[name]
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise SnapshotError(f"{name} has a value that is not finite")
        if values.dtype.kind == "u" and values.max(initial=0) > 1:
            raise SnapshotError(f"{name} has a value that is neither 0 nor 1")
    if np.abs(body["state.ring"]).max() > MAX_AMPLITUDE:
        raise SnapshotError(f"ring has a sample beyond +-{MAX_AMPLITUDE:g}")
    written, pending, frame = (int(state[name][0]) for name in ("written", "pending", "frame"))
    if written < 0 or divmod(written, model.front_end.hop_samples) != (frame, pending):
        raise SnapshotError(f"written={written}, frame={frame}, pending={pending} do not agree")


def _stored(model: Model) -> list[str]:
    """The state's fields that are stored as they are. The rules follow from the settings."""
    return [name for name in state_dtype(model).names or () if name != "rules"]


@lru_cache(maxsize=16)
def _body(model: Model) -> np.dtype[np.void]:
    labels = len(model.labels)
    state = state_dtype(model)
    fields: list[tuple[Any, ...]] = [
        ("on", np.float64, (labels,)),  # scores
        ("off", np.float64, (labels,)),
        ("enabled", np.uint8, (labels,)),
        ("min_on_ms", np.float64),
        ("min_off_ms", np.float64),
        ("refractory_ms", np.float64),
        *((f"state.{name}", state[name]) for name in _stored(model)),
    ]
    return np.dtype(fields).newbyteorder("<")


@lru_cache(maxsize=16)
def _fields_digest(model: Model) -> bytes:
    return hashlib.sha256(json.dumps(_body(model).descr).encode()).digest()


@lru_cache(maxsize=16)
def _model_digest(model: Model) -> bytes:
    """Of what a stream's numbers mean: thresholds are not in it, they travel with the stream's settings."""
    digest = hashlib.sha256(json.dumps([model.front_end.to_dict(), model.labels], sort_keys=True).encode())
    for layer in model.layers:
        digest.update(json.dumps([layer.weight.shape, layer.shift, layer.reset, layer.reset_delay]).encode())
        for values in (layer.weight, layer.bias, layer.beta, layer.threshold):
            little = values.astype(values.dtype.newbyteorder("<"))
            digest.update(little.tobytes())
    return digest.digest()
