"""Which of a model's labels are the right answer for a name that somebody gave an instrument. Knows names only.

A name may be as fine as a label or finer (`alto sax` is a saxophone), coarser (`brass`: every label of it is right),
a negative (`speech`: no label is right), or nothing that the model knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from models.data.ontology import NEGATIVES, family_of, label_of, labels_of
from models.data.spelling import COARSE, instrument_of


class Named(Protocol):
    """A model, as far as its labels go."""

    def __hash__(self) -> int:
        """Targets are remembered for each model."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the scores."""

    @property
    def families(self) -> tuple[str, ...]:
        """Of each label."""


@dataclass(frozen=True)
class Target:
    """What is right, and under which name the clips that it is right for are counted."""

    name: str  # the label itself, or a coarse name, or a negative's
    right: frozenset[str]  # labels of the model; none for a negative

    @property
    def negative(self) -> bool:
        return not self.right

    @property
    def label(self) -> str | None:
        """The one right label, None where several are right or none is."""
        return next(iter(self.right)) if len(self.right) == 1 else None


@lru_cache(maxsize=4096)  # a library has few names and many files
def target_of(name: str, model: Named) -> Target | str:
    """The target of a name, or a sentence that says why it has none."""
    for label in model.labels:  # as the model writes it, so that labels that no ontology has are found
        if _plain(name) == _plain(label):
            return Target(label, frozenset({label}))
    known = label_of(name)
    if known in NEGATIVES:
        return Target(known, frozenset())
    if known in model.labels:
        return Target(known, frozenset({known}))
    meant = frozenset(labels_of(name)) or _of_family(name, model)
    right = meant & frozenset(model.labels)
    if right:
        return Target(_name_of(right, name, model), right)
    if meant or instrument_of(name):
        family = family_of(name)
        return f"the model has no label for {name!r}" + (f" ({family})" if family else "")
    return f"{name!r} is no instrument that is known"


def families_of(labels: frozenset[str], model: Named) -> frozenset[str]:
    return frozenset(family for label, family in zip(model.labels, model.families, strict=True) if label in labels)


def _of_family(name: str, model: Named) -> frozenset[str]:
    """The labels of the model's family of that name."""
    pairs: Sequence[tuple[str, str]] = list(zip(model.labels, model.families, strict=True))
    return frozenset(label for label, family in pairs if _plain(family) == _plain(name))


def _name_of(right: frozenset[str], name: str, model: Named) -> str:
    """One name for every spelling of the same set of labels."""
    if len(right) == 1:
        return next(iter(right))
    families = families_of(right, model)
    if len(families) == 1 and _of_family(next(iter(families)), model) == right:
        return next(iter(families))
    coarse = (coarse for coarse, labels in COARSE.items() if frozenset(labels) & frozenset(model.labels) == right)
    return next(coarse, _plain(name)).replace(" ", "_")


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("-", " ").replace("_", " ").split())
