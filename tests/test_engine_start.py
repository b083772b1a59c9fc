"""Starting: many processes at once, damaged kernels, a full disk. Compiled code is never a reason not to start."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.kernel_files import KernelFiles
from tests.test_engine_jit import ROOT

# One of the engine's kernels for four types of samples: four files, and half a second to compile them all.
SMALL = """
import numpy as np
from engine.ear import first_wrong
samples = np.array([1, 2, 4, 10**9, 8])
print([first_wrong(samples.astype(kind), 0, 5) for kind in ("f4", "f8", "i4", "i8")])
"""
FOUND = "[3, 3, 3, 3]"


def start(cache: Path, code: str, before: str = "") -> "subprocess.Popen[str]":
    """A process of its own that runs with kernels kept in `cache`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))} | {"NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", before + code], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What it printed, and what it warned of. It must have ended well."""
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err
    return out.strip(), err


def kernels(cache: Path) -> dict[Path, tuple[int, int]]:
    """The files with compiled code, and what changes when one is written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in cache.rglob("*") if path.is_file()}


def test_four_processes_that_start_at_once_find_the_same_and_a_fifth_uses_their_kernels(tmp_path: Path) -> None:
    together = [start(tmp_path, SMALL) for _ in range(4)]
    assert [ended(process) for process in together] == [(FOUND, "")] * 4
    kept = kernels(tmp_path)
    assert {path.suffix for path in kept} == {".kernel"}  # nothing half-written is left
    assert len(kept) == 4
    assert ended(start(tmp_path, SMALL)) == (FOUND, "")
    assert kernels(tmp_path) == kept  # it compiled nothing


def test_damaged_kernels_are_told_and_compiled_anew(tmp_path: Path) -> None:
    assert ended(start(tmp_path, SMALL)) == (FOUND, "")
    damages = [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:],
    ]
    paths = sorted(kernels(tmp_path))
    for damage, path in zip(damages, paths, strict=True):
        path.write_bytes(damage(path.read_bytes()))
    out, told = ended(start(tmp_path, SMALL))
    assert out == FOUND
    for path in paths:
        assert f"{path} is damaged: its kernel is compiled anew" in told
    assert ended(start(tmp_path, SMALL)) == (FOUND, "")


def test_a_disk_that_is_full_ends_no_start(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {hard}))\n"
    out, told = ended(start(tmp_path, SMALL, limit))
    assert out == FOUND
    assert "every start compiles anew" in told
    assert list(tmp_path.rglob("*.tmp")) == []


def test_two_processes_never_write_two_kernels_to_one_file(tmp_path: Path) -> None:
    """What numba's numbered files allow: both begin with an empty folder, each writes the signature it compiled."""
    one, other = (KernelFiles(tmp_path, "kernel", (1, 2)) for _ in range(2))
    assert one.load("float32") is other.load("float64") is None
    other.save("float64", "code for float64")
    one.save("float32", "code for float32")
    later = KernelFiles(tmp_path, "kernel", (1, 2))
    assert later.load("float32") == "code for float32"
    assert later.load("float64") == "code for float64"
    assert KernelFiles(tmp_path, "kernel", (1, 3)).load("float32") is None  # the source has changed
    later.path("float32").write_bytes(later.path("float64").read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert later.load("float32") is None
