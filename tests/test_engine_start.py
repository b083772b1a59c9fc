"""Starting: many processes at once, damaged kernels, a full disk. Compiled code is never a reason not to start."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.kernel_files import KernelFiles
from tests.test_engine_jit import ROOT, heard

TOY = "from tests.test_engine_jit import heard; print(heard())"
SMALL = """
import numpy as np
from engine.config import FrontEnd
from engine.ear import Ear
print(Ear(FrontEnd(bands=16)).feed(np.sin(np.arange(4000, dtype=np.float32)))[0].sum())
"""


def start(cache: Path, code: str, before: str = "") -> "subprocess.Popen[str]":
    """A process of its own that hears with kernels kept in `cache`."""
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


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the kernels of a small front end, not to be written, and what it prints."""
    cache = tmp_path_factory.mktemp("small")
    return cache, ended(start(cache, SMALL))[0]


def test_four_processes_that_start_at_once_hear_the_same_and_a_fifth_finds_their_kernels(tmp_path: Path) -> None:
    together = [start(tmp_path, TOY) for _ in range(4)]
    assert [ended(process) for process in together] == [(heard(), "")] * 4
    kept = kernels(tmp_path)
    assert {path.suffix for path in kept} == {".kernel"}  # nothing half-written is left
    assert ended(start(tmp_path, TOY)) == (heard(), "")
    assert kernels(tmp_path) == kept  # it compiled nothing


def test_damaged_kernels_are_told_and_compiled_anew(small: tuple[Path, str], tmp_path: Path) -> None:
    whole, expected = small
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    damages = [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: bytes(len(data)),
        lambda data: data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:],
    ]
    paths = sorted(kernels(tmp_path))
    for index, path in enumerate(paths):
        path.write_bytes(damages[index % 4](path.read_bytes()))
    out, told = ended(start(tmp_path, SMALL))
    assert out == expected
    # a kernel that others have built in is not asked for before they are compiled; the outermost one always is
    outermost = next(path for path in paths if path.name.startswith("ear._hear-"))
    assert f"{outermost} is damaged: its kernel is compiled anew" in told
    assert ended(start(tmp_path, SMALL)) == (expected, "")


def test_a_disk_that_is_full_ends_no_start(small: tuple[Path, str], tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {hard}))\n"
    out, told = ended(start(tmp_path, SMALL, limit))
    assert out == small[1]
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
