"""Compile the kernels of the two models that most tests use. `make test` does it beside its check."""

from pathlib import Path

from engine.warmup import warm
from engine.weights import load
from server import unison
from tests.toy import toy_model

if __name__ == "__main__":
    for model in (toy_model(), load(Path("models/weights/orchestra.safetensors"))):
        warm(model)
        unison.warm(model)
