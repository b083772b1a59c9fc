"""What could not be measured, and why, in the words of the table. A missing rival never stops the others."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Missing(dict[str, str]):
    """Name of what is missing to the reason."""

    def attempt(self, name: str, make: Callable[[], T]) -> T | None:
        """`make()`, or None and a note if its package is not installed."""
        try:
            return make()
        except ImportError as error:
            self[name] = f"not measured ({error.name or error} is not installed)"
            return None
