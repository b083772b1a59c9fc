"""Which systems there are, by name. Imports a system's module, and PyTorch, only when asked for it."""

from importlib import import_module

from models.zoo.system import System, ZooError

MODULES = {
    "learned-dft": "models.zoo.learned_dft",
    "listener": "models.zoo.listener",
    "lstm": "models.zoo.lstm",
    "mel-cnn": "models.zoo.mel_cnn",
    "spiking-flute": "models.zoo.spiking_flute",
    "tall-kernel-cnn": "models.zoo.tall_kernel_cnn",
    "temporal-pattern": "models.zoo.temporal_pattern",
    "two-branch": "models.zoo.two_branch",
}


def names() -> tuple[str, ...]:
    return tuple(sorted(MODULES))


def system(name: str) -> System:
    """Raises ZooError, naming all systems, for one that is not there."""
    if name not in MODULES:
        raise ZooError(f"--system {name!r} is not one of {', '.join(names())}")
    found = import_module(MODULES[name]).SYSTEM
    assert isinstance(found, System)
    assert found.name == name
    return found
