"""The asyncio client for programs of others: `from spiccato.client import connect`. Documented in `docs/client.md`.

It takes the module name `client` in the program that imports it, as that is the package's name in a checkout too.
"""

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
_packages = str(_here / "app" if (_here / "app").is_dir() else _here.parent)
sys.path.insert(0, _packages)
try:
    from client.stream import Stream, StreamError, connect
finally:
    sys.path.remove(_packages)

__all__ = ["Stream", "StreamError", "connect"]
