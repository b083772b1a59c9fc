"""Where a training run stands, on disk: written whole or not at all, and read without running anything in it.

Knows files; nothing of networks or of what is in the state.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file."""


def write(path: Path, state: dict[str, Any]) -> None:
    """Beside `path` first and then in its place, so that a kill leaves the old one or the new one."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """None if there is none yet. Raises CheckpointError if it is damaged or holds more than tensors and numbers."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from error
    return state
