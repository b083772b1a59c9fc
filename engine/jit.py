"""How every kernel is compiled, and where its machine code is kept: the options in one place, each with its reason.

Knows numba and the file system's manners; nothing of audio.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core import types

from engine.kernel_files import KernelCache

F = TypeVar("F", bound=Callable[..., Any])

# An element of a numpy structured array, or such an array, as kernels see it: fields are attributes, which numba knows
# and numpy's types do not. Sizes of nested arrays are part of the type, so the compiler knows every loop's length.
Record = Any

OPTIONS: dict[str, Any] = {
    "nogil": True,  # sessions run on threads; a kernel never needs the interpreter
    "fastmath": False,  # reassociation and fused multiply-add would break bit equality with snntorch
    "error_model": "numpy",  # a division by zero yields inf as in numpy, without a branch and a raise
    "boundscheck": False,  # shapes are checked once at construction
}


def kernel(function: F) -> F:
    """Compile `function` with `OPTIONS`, and keep the machine code on disk where there is a place for it."""
    name_by_whole_types()
    compiled = numba.njit(**OPTIONS)(function)
    if (folder := cache_directory()) is not None:
        compiled._cache = KernelCache(function, folder)
    return compiled  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """As `kernel`, for a stage that a kernel calls with a record's arrays: compiled as if written there.

    An array passed to a function loses its length and place on the way, and LLVM with them the reason to vectorise: it
    optimises each function by itself before it inlines one into another.
    """
    return numba.njit(inline="always", **OPTIONS)(function)  # type: ignore[no-any-return]


# Kernels compiled by two processes meet when a third loads both from disk. Where they hold two functions of one name,
# one runs in place of the other, silently. numba (0.68) names a function by its module and qualified name, a number
# that each process counts up anew, and some of its arguments' types. With `part`, `named` and `name_by_whole_types`
# one name means one function.


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that was made for some sizes, to be called by kernels: named by all that it was made from."""
    compiled: Callable[..., Any] = numba.njit(**OPTIONS)(named(function))
    return compiled


def named(function: F) -> F:
    """The same function; its name tells what it closes over: numbers, texts and other parts."""
    content = hashlib.sha256()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        value = cell.cell_contents
        inner = getattr(value, "py_func", None)
        content.update(f"{name}={repr(value) if inner is None else inner.__qualname__};".encode())
    function.__qualname__ += f"_{content.hexdigest()[:16]}"
    return function


@cache
def name_by_whole_types() -> None:
    """numba leaves out a nested array's shape and writes a record's fields as a number: write all of them."""

    def whole(self: types.Type) -> tuple[str, tuple[str, ...]]:
        return type(self).__name__, (hashlib.sha256(self.name.encode()).hexdigest()[:16],)

    for kind in (types.Record, types.NestedArray):
        setattr(kind, "mangling_args", property(whole))  # noqa: B010


@cache
def cache_directory() -> Path | None:
    """Where compiled kernels are kept; None, with a warning, where nothing can be written.

    `$NUMBA_CACHE_DIR`, else `$XDG_CACHE_HOME/spiccato`, else `~/.cache/spiccato`, and there a directory for this very
    source: numba renews a kernel when its own file changes, but not when a file changes that it calls. Another numba
    may compile otherwise, and cannot be trusted to read what this one wrote.
    """
    digest = hashlib.sha256(f"numba {numba.__version__}, llvmlite {llvmlite.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    user = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(user) / "spiccato")
    directory = base / f"kernels-{digest.hexdigest()[:16]}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {directory} ({error.strerror}): every start compiles anew. "
            "Set NUMBA_CACHE_DIR to a writable directory.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    numba.config.CACHE_DIR = str(directory)
    return directory
