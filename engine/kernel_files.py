"""Compiled kernels on disk: one file for each kernel and signature. Knows numba's cache; nothing of audio.

numba itself keeps an index beside numbered files. Two processes that compile two signatures of one kernel at once can
take the same number, and one's index then names the other's code; and a file that was cut off, by a full disk or a
power cut, ends every later start with an exception. Here the name says what is inside, so there is no index and no
number to take; a file is moved into place when it is whole and begins with its digest. What cannot be read is compiled
anew, what cannot be written is told.
"""

import hashlib
import inspect
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

DIGEST_BYTES = 32


class KernelFiles:
    """The part of numba's `IndexDataCacheFile` that its `Cache` calls, for one kernel."""

    def __init__(self, folder: Path, name: str, source_stamp: object) -> None:
        self._folder = folder
        self._name = name
        self._source_stamp = source_stamp

    def path(self, key: object) -> Path:
        """key: signature, processor and digests of the function's own code, all with a text that tells them apart."""
        content = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()
        return self._folder / f"{self._name}.{content[:32]}.kernel"

    def load(self, key: object) -> Any:
        """What was saved; None where there is nothing, or, with a warning, nothing whole."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, code = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(code).digest() != digest:
            warnings.warn(f"{path} is damaged: its kernel is compiled anew", RuntimeWarning, stacklevel=2)
            return None
        return pickle.loads(code)

    def save(self, key: object, data: Any) -> None:
        code: bytes = dumps(data)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=self._name, suffix=".tmp", delete=False) as file:
            try:
                file.write(hashlib.sha256(code).digest() + code)
                file.close()
                os.replace(file.name, self.path(key))
            except BaseException:
                os.unlink(file.name)
                raise


class KernelCache(FunctionCache):  # type: ignore[misc]
    """numba's cache of one function, in `KernelFiles`; a disk that cannot be written ends no start."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        super().__init__(function)
        # what the file says, not its place or its time: another installation of the same source has the same kernels
        source = hashlib.sha256(Path(inspect.getfile(function)).read_bytes()).hexdigest()
        self._cache_path = str(folder)
        self._cache_file = KernelFiles(folder, self._impl.filename_base, source)

    def save_overload(self, sig: object, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warnings.warn(
                f"compiled kernels cannot be kept in {self.cache_path} ({error.strerror}): every start compiles anew",
                RuntimeWarning,
                stacklevel=2,
            )
