"""A model for use: what it may learn from once its twin has been judged. Knows clips and what a model file tells.

The twin learns from the training part and is judged by the report half. The model for use learns from both, by the same
recipe, and its figures are the twin's: more libraries make it no worse, but how much better no sound is left to tell.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.weights import Model
from models.data.corpus import Clip
from models.run import RunError, differences
from models.train import Recipe


def released(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with the report half among those that train."""
    return [replace(clip, part="train") if clip.part == "report" else clip for clip in clips]


def check_twin(twin: Model, recipe: Recipe, data: dict[str, Any]) -> None:
    """Raises RunError, which names what differs, unless `twin` comes of this recipe and these data (`described`)."""
    name = f"{twin.name} {twin.version}"
    if "twin" in twin.trained:
        raise RunError(f"{name} has learned from the report half itself: it is no twin to be judged by")
    ours = {"recipe": recipe.to_dict(), "data": data}
    theirs = {key: twin.trained.get(key) for key in ours}
    if differing := differences(_plain(theirs), _plain(ours)):
        raise RunError(f"{name} is no twin of this model: {'; '.join(differing[:5])}")


def of_twin(twin: Model) -> dict[str, Any]:
    """What the model's file says of it: who the twin is, and the twin's figures as the model's."""
    identity = {"name": twin.name, "version": twin.version, "sha256": twin.sha256}
    return {"twin": identity, "figures": twin.trained["figures"]}


def _plain(value: Any) -> Any:
    """As a file has it: tuples are lists there."""
    return json.loads(json.dumps(value))
