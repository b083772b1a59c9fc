"""A trained system as one safetensors file: its tensors, and a JSON header with system, settings and figures.

Knows the format and refuses, by name, what does not fit. No part of it can run code.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from models.zoo.registry import system
from models.zoo.system import Labeller, Settings, System, Trained, ZooError, kept

KEY = "spiccato_zoo"  # the metadata's entry; the engine's own files have another
FORMAT = 1
MAX_FILE_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """What a file holds."""

    system: System
    settings: Settings
    trained: Trained
    results: dict[str, Any]  # figures, machine, date, seconds: `results.py`


def save(path: Path, which: System, settings: Settings, trained: Trained, results: dict[str, Any]) -> None:
    header = {
        "format": FORMAT,
        "system": which.name,
        "settings": kept(settings),
        "about": trained.about(),
        "answer": trained.answer if isinstance(trained, Labeller) else None,
        "results": results,
    }
    path.write_bytes(save_tensors(trained.tensors(), {KEY: json.dumps(header)}))


def is_zoo(path: Path) -> bool:
    """Whether the file says that it is one; False for a file that is none or cannot be read."""
    try:
        with safe_open(path, "np") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def load(path: Path) -> Kept:
    """Raises ZooError naming the file and what is wrong."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ZooError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except OSError as error:
        raise ZooError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ZooError(f"{path} is no file of a zoo system: {error}") from error
    if header.get("format") != FORMAT:
        raise ZooError(f"{path} has format {header.get('format')!r}, this version reads {FORMAT}")
    which = system(header["system"])
    settings = which.settings_of(header["settings"])
    try:
        trained = which.restore(settings, header["about"], tensors)
    except (KeyError, RuntimeError, TypeError) as error:
        raise ZooError(f"{path} does not fit {which.name}: {error}") from error
    if isinstance(trained, Labeller):
        trained.answer = header["answer"]
    return Kept(which, settings, trained, header["results"])
