"""The model for a command that hears in this process: loaded, and its kernels compiled. Knows settings and waiting."""

from rich.console import Console

from engine import weights
from engine.warmup import warm
from engine.weights import Model
from server.detect import tuned
from server.settings import Settings


def warmed(settings: Settings) -> Model:
    """With the settings' thresholds. The first time on a machine this takes a while; in a terminal that is told.

    Raises ModelError, and Mistaken where the thresholds do not fit the model.
    """
    with Console(stderr=True).status("getting ready (the first time takes about 15 s)"):
        model = tuned(weights.load(settings.model), settings.thresholds)
        warm(model)
    return model
