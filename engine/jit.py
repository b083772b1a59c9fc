"""How every kernel is compiled: the options in one place, each with its reason.

Knows numba and the file system's manners; nothing of audio.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

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
    """Compile `function` with `OPTIONS` and cache the machine code on disk.

    numba finds a cache directory when the decorator runs and raises RuntimeError if none is writable (a read-only
    installation without a home). Then the kernel still compiles, in memory, and a warning says what that costs.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        _warn_uncached()
        return numba.njit(**OPTIONS)(function)  # type: ignore[no-any-return]


def _warn_uncached() -> None:
    message = (
        "no writable directory for compiled kernels: every start compiles anew (about 15 s). "
        f"Set NUMBA_CACHE_DIR to a writable directory; now {os.environ.get('NUMBA_CACHE_DIR', 'unset')}."
    )
    warnings.warn(message, RuntimeWarning, stacklevel=3)
