"""A stream as bytes: cut anywhere, it goes on with no bit changed, here or in another process; damage is refused."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.latch import LatchSettings
from engine.pipeline import Pipeline
from engine.snapshot import CHECK_BYTES, FORMAT, HEAD, MAGIC, SnapshotError, pack, snapshot_bytes
from engine.weights import Model
from tests.synth import low_high, tone
from tests.toy import toy_model

ROOT = Path(__file__).resolve().parents[1]
TOY = toy_model()
NOISY = low_high() + 0.02 * np.random.default_rng(5).standard_normal(len(low_high())).astype(np.float32)
OWN = LatchSettings(
    on=(0.6123, 0.71), off=(0.3, 0.4), enabled=(True, False), min_on_ms=75.5, min_off_ms=30.0, refractory_ms=55.0
)


def state_bytes(pipeline: Pipeline) -> bytes:
    return pipeline._state.tobytes()


def restored(data: bytes, model: Model = TOY) -> Pipeline:
    pipeline = Pipeline(model)
    pipeline.restore(data)
    return pipeline


def signed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


@given(cut=st.integers(0, len(NOISY)), own=st.booleans(), chunk=st.integers(1, 9_000))
@settings(max_examples=40, deadline=None)
def test_a_stream_cut_anywhere_goes_on_with_no_bit_changed(cut: int, own: bool, chunk: int) -> None:
    whole = Pipeline(TOY, OWN if own else None)
    expected = whole.feed(NOISY)
    first = Pipeline(TOY, OWN if own else None)
    events = first.feed(NOISY[:cut])
    data = first.snapshot()
    second = restored(data)
    assert second.snapshot() == data
    assert state_bytes(second) == state_bytes(first)
    assert second.settings == first.settings
    for at in range(cut, len(NOISY), chunk):
        events += second.feed(NOISY[at : min(at + chunk, len(NOISY))])
    assert events == expected
    assert state_bytes(second) == state_bytes(whole)
    assert second.flush() == whole.flush()
    assert len(data) == second.snapshot_bytes == snapshot_bytes(TOY)


def test_another_process_goes_on_with_the_same_events_and_the_same_bits(tmp_path: Path) -> None:
    here = Pipeline(TOY)
    here.feed(NOISY[:20_001])
    (tmp_path / "stream").write_bytes(here.snapshot())
    code = """
import hashlib, sys
from engine.pipeline import Pipeline
from tests.test_engine_snapshot import NOISY
from tests.toy import toy_model
pipeline = Pipeline(toy_model())
pipeline.restore(open(sys.argv[1], "rb").read())
events = pipeline.feed(NOISY[20_001:])
print(events, hashlib.sha256(pipeline.snapshot()).hexdigest())
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "stream")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    events = here.feed(NOISY[20_001:])
    assert {e.phase for e in events} == {"onset", "offset"}
    assert run.stdout.strip() == f"{events} {hashlib.sha256(here.snapshot()).hexdigest()}"


def test_a_flushed_stream_is_restored_flushed() -> None:
    ended = Pipeline(TOY)
    ended.feed(NOISY[:4_001])
    ended.flush()
    again = restored(ended.snapshot())
    assert again.flush() == []
    with pytest.raises(RuntimeError, match="flushed"):
        again.feed(NOISY)
    again.reset()
    assert state_bytes(again) == state_bytes(Pipeline(TOY))


def test_the_trace_of_a_restored_stream_shows_nothing_of_another() -> None:
    pipeline = Pipeline(TOY)
    data = pipeline.snapshot()
    pipeline.feed(NOISY)
    assert pipeline.trace["level"].any()
    pipeline.restore(data)
    assert pipeline.trace.tobytes() == bytes(pipeline.trace.nbytes)


def test_the_snapshot_shares_no_memory_with_the_stream() -> None:
    pipeline = Pipeline(TOY)
    pipeline.feed(NOISY[:9_000])
    data = pipeline.snapshot()
    kept = bytes(bytearray(data))
    other = restored(data)
    pipeline.feed(NOISY[9_000:])
    other.feed(NOISY[:500])
    assert data == kept


def test_any_damaged_byte_is_refused_and_nothing_changes() -> None:
    pipeline = Pipeline(TOY, OWN)
    pipeline.feed(NOISY[:12_345])
    data = pipeline.snapshot()
    into = Pipeline(TOY)
    into.feed(NOISY[:777])
    before = state_bytes(into), into.settings, into.trace.tobytes()
    for at in range(0, len(data), 7):
        with pytest.raises(SnapshotError):
            into.restore(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
    assert (state_bytes(into), into.settings, into.trace.tobytes()) == before


@given(end=st.integers(0, snapshot_bytes(TOY) - 1))
@settings(max_examples=40, deadline=None)
def test_a_snapshot_cut_off_anywhere_is_refused(end: int) -> None:
    data = Pipeline(TOY).snapshot()
    with pytest.raises(SnapshotError, match="cut off" if end >= HEAD.size else "not a snapshot"):
        restored(data[:end])


def test_what_does_not_fit_is_refused_by_name() -> None:
    data = Pipeline(TOY).snapshot()
    content = data[:-CHECK_BYTES]
    magic, version, length, model, fields, name = HEAD.unpack_from(data)
    assert (magic, version, length) == (MAGIC, FORMAT, len(data))
    rest = content[HEAD.size :]
    newer = signed(HEAD.pack(magic, version + 1, length, model, fields, name) + rest)
    with pytest.raises(SnapshotError, match=r"format=2: this version reads 1"):
        restored(newer)
    with pytest.raises(SnapshotError, match="another version of the engine"):
        restored(signed(HEAD.pack(magic, version, length, model, bytes(32), name) + rest))
    with pytest.raises(SnapshotError, match="cut off, or more than one"):
        restored(data + data)
    with pytest.raises(SnapshotError, match="sha256"):
        restored(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SnapshotError, match="not a snapshot"):
        restored(b"PK" + data)


def test_a_stream_of_another_model_is_refused_by_both_names() -> None:
    layer = TOY.layers[0]
    other = replace(TOY, version="0.0.2", layers=(replace(layer, bias=layer.bias + 1),))
    with pytest.raises(SnapshotError, match=r"model toy@0\.0\.2 .* not of toy@0\.0\.1"):
        restored(Pipeline(other).snapshot())
    front_end = replace(TOY, front_end=replace(TOY.front_end, gate_dbfs=-60.0))
    with pytest.raises(SnapshotError, match="not of toy"):
        restored(Pipeline(front_end).snapshot())
    labels = replace(TOY, labels=("high", "low"))
    with pytest.raises(SnapshotError, match="not of toy"):
        restored(Pipeline(labels).snapshot())


def test_thresholds_belong_to_the_stream_and_not_to_the_model() -> None:
    """A model of which only the default thresholds changed hears the same numbers: its streams may go on."""
    pipeline = Pipeline(TOY)
    pipeline.feed(NOISY[:9_000])
    other = replace(TOY, on=(0.9, 0.9), off=(0.1, 0.1))
    again = restored(pipeline.snapshot(), other)
    assert again.settings == pipeline.settings
    assert again.feed(NOISY[9_000:]) == pipeline.feed(NOISY[9_000:])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pending", 10**6, "pending=1000000"),
        ("written", -1, "written=-1"),
        ("frame", 7, "frame=7"),
        ("cochlea_spikes", 200, "neither 0 nor 1"),
        ("is_on", 2, "neither 0 nor 1"),
        ("v", np.nan, r"state\.v has a value that is not finite"),
        ("ring", np.inf, "ring has a value that is not finite"),
        ("ring", 1e6, "ring has a sample beyond"),
    ],
)
def test_a_signed_snapshot_with_impossible_values_is_refused(field: str, value: float, message: str) -> None:
    """A checksum is no signature: whoever can write a snapshot must not lead the kernels out of their arrays."""
    state = Pipeline(TOY)._state.copy()
    state[field] = value
    with pytest.raises(SnapshotError, match=message):
        restored(pack(TOY, OWN, state))


def test_a_signed_snapshot_with_impossible_thresholds_is_refused() -> None:
    content = Pipeline(TOY, OWN).snapshot()[:-CHECK_BYTES]
    on = np.array(OWN.on, "<f8").tobytes()
    assert content.count(on) == 1
    with pytest.raises(SnapshotError, match=r"thresholds on=7\.0"):
        restored(signed(content.replace(on, np.array([7.0, 0.7], "<f8").tobytes())))


def test_its_size_is_the_documented_one_and_does_not_depend_on_what_was_heard(orchestra: Model) -> None:
    told = re.search(r"([\d ]+) bytes for the shipped model", (ROOT / "docs" / "architecture.md").read_text())
    assert told
    assert int(told[1].replace(" ", "")) == snapshot_bytes(orchestra) == len(Pipeline(orchestra).snapshot())
    loud = Pipeline(TOY)
    loud.feed(tone(200, 3.0))
    assert len(loud.snapshot()) == len(Pipeline(TOY).snapshot())
