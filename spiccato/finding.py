"""What a check of `spiccato doctor` says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    check: str
    state: Literal["ok", "warning", "problem"]
    found: str
    do: str = ""  # what mends it
