"""A serving process is not stopped for a full garbage collection each second."""

import subprocess
import sys

from tests.conftest import ROOT

COUNTED = """
import gc
from spiccato import garbage
full = []
gc.callbacks.append(lambda phase, info: full.append(info) if (phase, info["generation"]) == ("start", 2) else None)
garbage.settled()
before = len(full)
kept = [[] for _ in range(2_000_000)]
print(before, len(full) - before, gc.get_freeze_count() > 1_000, gc.isenabled())
"""


def test_what_is_there_from_the_start_is_frozen_and_full_collections_are_rare() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], cwd=ROOT, capture_output=True, text=True, check=True)
    settled, full, frozen, enabled = done.stdout.split()
    assert (settled, frozen, enabled) == ("1", "True", "True")
    assert int(full) <= 1  # by Python's own measure some ten
