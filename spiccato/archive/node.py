"""What runs on a cluster's nodes: one process of it, made once, given file after file. Knows no Ray.

A node imports this module by its name, before it knows where the other packages of an installation lie.
"""

import json
import pickle
from typing import Any

from spiccato.__main__ import find_packages


class OnNode:
    def __init__(self, model: bytes) -> None:
        """model: pickled, because only here the packages can be found."""
        find_packages()
        from spiccato.archive.work import Hearer

        self._hear = Hearer(pickle.loads(model))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the results as JSON: Ray need not guess the type of an empty list."""
        from spiccato.archive.listing import Entry

        return {"row": json.dumps(self._hear(Entry(row["name"], row["path"])))}
