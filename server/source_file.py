"""The sources that were added while the server ran, kept in a file for its next start. Knows a file and its form.

JSON, a list of what `POST /v1/sources` takes. Written anew at each change, beside and then in place of the old one.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from server.source_spec import AnySpec, Spec, located, together

SPECS: TypeAdapter[list[AnySpec]] = TypeAdapter(list[AnySpec])
MAX_BYTES = 1_048_576


class SourceFileError(Exception):
    """The file of sources cannot be used: a sentence that names it."""


class SourceFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, beside: Sequence[Spec] = ()) -> list[AnySpec]:
        """What it says, to be started after those that are `beside` it; nothing where there is no file yet.

        Raises SourceFileError, also where it could not be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.write([])
            if self.path.stat().st_size > MAX_BYTES:
                raise SourceFileError(f"{self.path} is larger than {MAX_BYTES} bytes")
            specs = SPECS.validate_json(self.path.read_bytes())
            together([*beside, *specs])
            return specs
        except OSError as error:
            raise SourceFileError(f"{self.path} cannot be used: {(error.strerror or str(error)).lower()}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = located(first["loc"]) or "the file"
            raise SourceFileError(f"{self.path} is not a list of sources: {where}: {first['msg']}") from error
        except ValueError as error:
            raise SourceFileError(f"{self.path} with the sources of the settings: {error}") from error

    def write(self, specs: Sequence[Spec]) -> None:
        """Raises OSError; then the old one stays."""
        new = self.path.with_name(f"{self.path.name}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump([spec.model_dump() for spec in specs], file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
