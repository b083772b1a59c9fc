"""Compiled kernels: kept for this very source, and never a reason not to start."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from engine.pipeline import Pipeline
from tests.synth import low_high
from tests.toy import toy_model

ROOT = Path(__file__).resolve().parents[1]

ONE = """
import numpy as np
from engine.jit import cache_directory
from engine.ear import first_wrong
print(cache_directory())
print(first_wrong(np.ones(400, np.float32), 0, 400))
"""


def heard() -> str:
    """What the toy model makes of a noisy sound: the number of events, and a digest of them and of the last frames."""
    pipeline = Pipeline(toy_model())
    noise = 0.03 * np.random.default_rng(9).standard_normal(len(low_high())).astype(np.float32)
    events = pipeline.feed(low_high() + noise) + pipeline.flush()
    return f"{len(events)} {hashlib.sha256(pipeline.trace.tobytes() + repr(events).encode()).hexdigest()}"


def run(checkout: Path, code: str = ONE, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))} | environment
    return subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, env=env, capture_output=True, text=True, check=True
    )


def test_kernels_are_kept_for_the_source_that_they_were_made_from(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "engine", copy / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    first = run(copy, **cache).stdout.split("\n")[0]
    assert Path(first).parent == tmp_path / "kernels"
    kept = {kernel.name for kernel in Path(first).glob("*.kernel")}
    assert kept
    where = "from engine.jit import cache_directory; print(cache_directory())"
    assert run(copy, f"import numba; numba.__version__ = '9.9'; {where}", **cache).stdout.strip() != first
    moved = copy.rename(tmp_path / "another")  # and each of its files is newer
    for source in moved.rglob("*.py"):
        source.touch()
    assert run(moved, **cache).stdout.split("\n")[0] == first
    assert {kernel.name for kernel in Path(first).glob("*.kernel")} == kept
    with (moved / "engine" / "bands.py").open("a") as source:
        source.write("# changed\n")
    assert run(moved, where, **cache).stdout.strip() != first


def test_without_a_writable_place_the_engine_warns_and_works() -> None:
    done = run(ROOT, HOME="/proc/none", NUMBA_CACHE_DIR="/proc/none")
    assert done.stdout.splitlines() == ["None", "-1"]
    assert "every start compiles anew" in done.stderr


def test_another_processor_hears_the_same_bits(tmp_path: Path) -> None:
    """Code for the plainest CPU of this family, with other vector widths and no fused multiply-add."""
    code = "from tests.test_engine_jit import heard; print(heard())"
    generic = run(ROOT, code, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME="generic").stdout.strip()
    assert int(generic.split()[0]) >= 4
    assert generic == heard()


def test_kernels_of_two_models_from_two_processes_do_not_take_each_others_place(tmp_path: Path) -> None:
    """A server has one model compiled, another one the second; then one process loads both from disk."""
    code = """
import hashlib
import numpy as np
from engine.config import FrontEnd
from engine.ear import Ear
for bands in {order}:
    features, spikes = Ear(FrontEnd(bands=bands)).feed(np.sin(np.arange(4000, dtype=np.float32)))
    print(bands, hashlib.sha256(features.tobytes() + spikes.tobytes()).hexdigest())
"""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    alone = [run(ROOT, code.format(order=[bands]), **cache).stdout.strip() for bands in (24, 16)]
    assert run(ROOT, code.format(order=[16, 24]), **cache).stdout.splitlines() == alone[::-1]
    assert run(ROOT, code.format(order=[24, 16]), **cache).stdout.splitlines() == alone
