"""A secret in the configuration: the text itself, the name of an environment variable, or a file that holds it.

Whoever shows the configuration shows where it comes from, never what it is.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, SecretStr, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MAX_BYTES = 65_536


class SecretError(ValueError):
    """It cannot be had. The message holds nothing of it."""


class Secret(BaseModel):
    """`"text"`, `{env = "NAME"}` or `{file = "path"}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: SecretStr | None = None
    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _text(cls, given: Any) -> Any:
        return {"value": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one(self) -> "Secret":
        if sum(part is not None for part in (self.value, self.env, self.file)) != 1:
            raise ValueError('a secret is "text", {env = "NAME"} or {file = "path"}')
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        table = handler.resolve_ref_schema(handler(core))
        return {
            "anyOf": [{"type": "string"}, {**table, "properties": {k: table["properties"][k] for k in ("env", "file")}}]
        }

    def read(self) -> str:
        """What it is now, without line ends around it. Raises SecretError."""
        if self.value is not None:
            return self.value.get_secret_value()
        if self.env is not None:
            if not (text := os.environ.get(self.env, "").strip()):
                raise SecretError(f"the environment has no {self.env}")
            return text
        assert self.file is not None
        try:
            with self.file.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            text = data.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SecretError(f"{self.file} cannot be read: {reason}") from error
        if not text or len(data) > MAX_BYTES:
            raise SecretError(f"{self.file} holds {len(data)} bytes: 1 to {MAX_BYTES} are a secret")
        return text
