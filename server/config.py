"""Where settings come from: a TOML file, the environment, the command line; the later one wins.

Every mistake is told at once, each with the place where it stands: the file's line, the variable or the option. Knows
the form of settings; whether they fit the model and this machine is `fits.py`.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from server.anchor import anchored
from server.mistakes import Mistake, Place, mistake
from server.settings import PREFIX, Settings
from server.toml_lines import lines

NAME = "spiccato.toml"
MAX_BYTES = 1_048_576


class ConfigError(ValueError):
    """The configuration cannot be used. A line for each mistake, with the place where it stands."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Config:
    """The settings, and who said which. `again()` reads anew: the file may have changed."""

    settings: Settings
    file: Path | None
    given: dict[str, Any]  # by the command line
    environment: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)  # in the file
    lines: dict[Place, int] = field(default_factory=dict)

    def again(self) -> "Config":
        """Raises ConfigError."""
        return load(self.file, **self.given)

    def error(self, mistakes: list[Mistake]) -> ConfigError:
        """Mistakes that were found later, with their places."""
        return _error(mistakes, self.file, self.lines, self.given, self.environment)

    def origin(self, place: Place) -> str:
        """Who said it, or `default`."""
        return _origin(place, self.file, self.lines, self.given, self.environment) or "default"


def find() -> Path | None:
    """The file that nobody named: SPICCATO_CONFIG, or else the first that exists of ./spiccato.toml,
    ~/.config/spiccato/spiccato.toml and /etc/spiccato/spiccato.toml.

    Raises ConfigError where one of these belongs to somebody else: it may say which commands are run.
    """
    if named := os.environ.get(f"{PREFIX}CONFIG"):
        return Path(named)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for file in (Path(NAME), home / "spiccato" / NAME, Path("/etc/spiccato") / NAME):
        if file.is_file():
            if hasattr(os, "getuid") and file.stat().st_uid not in (os.getuid(), 0):
                raise ConfigError(f"{file.absolute()} belongs to another user; to use it, name it: --config {file}")
            return file
    return None


def load(file: Path | None, **given: Any) -> Config:
    """The settings of a file (or none), the environment and the command line. Raises ConfigError."""
    written, where = _read(file) if file is not None else ({}, {})
    try:
        environment = EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ConfigError(f"the environment: {error}: {error.__cause__}") from error
    try:
        settings = _settings(written, given)
    except ValidationError as error:
        everything = _over(_over(written, environment), given)
        found = [mistake(one, everything, Settings.model_json_schema()) for one in error.errors()]
        raise _error(found, file, where, given, environment) from error
    return Config(settings, file, given, environment, written, where)


def schema() -> dict[str, Any]:
    """JSON Schema of the file."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**head, **Settings.model_json_schema(), "title": "Spiccato's configuration"}


def _settings(written: dict[str, Any], given: dict[str, Any]) -> Settings:
    class Read(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=written)

    return Read(**given)


def _read(file: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """What it says, paths made absolute, and the line of each setting."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
        written = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: this is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_not_toml(file, text, str(error))) from error
    return anchored(written, Settings.model_json_schema(), file.absolute().parent), lines(text)


def _not_toml(file: Path, text: str, reason: str) -> str:
    """tomllib's words, with the line in front."""
    at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", reason)
    line = at[1] if at and at[1] else len(text.splitlines())
    return f"{file}:{line}: this is not TOML: {reason[: at.start()] if at else reason}"


def _error(
    mistakes: list[Mistake],
    file: Path | None,
    lines: dict[Place, int],
    given: dict[str, Any],
    environment: dict[str, Any],
) -> ConfigError:
    in_order = sorted(mistakes, key=lambda one: lines.get(_nearest(one.place, lines), 0))
    sentences = []
    for one in in_order:
        origin = _origin(one.place, file, lines, given, environment) or (str(file) if file else "settings")
        sentences.append(f"{origin}: {one.sentence}")
    return ConfigError(*sentences)


def _origin(
    place: Place, file: Path | None, lines: dict[Place, int], given: dict[str, Any], environment: dict[str, Any]
) -> str | None:
    """The option, the variable, or the line that is nearest to the place."""
    for length in range(len(place), 0, -1):
        part = place[:length]
        if _has(given, part):
            return f"--{str(part[0]).replace('_', '-')}"
        if _has(environment, part):
            return _variable(part)
        if part in lines:
            return f"{file}:{lines[part]}"
    return None


def _variable(place: Place) -> str:
    """The one of the environment that says it: SPICCATO_DETECT__MIN_ON_MS, or SPICCATO_DETECT with all of it."""
    wanted = [f"{PREFIX}{'__'.join(str(p) for p in place[:n])}".upper() for n in range(len(place), 0, -1)]
    names = {name.upper(): name for name in os.environ}
    return next((names[name] for name in wanted if name in names), wanted[-1] + "__...")


def _has(data: Any, place: Place) -> bool:
    for step in place:
        if not (step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)):
            return False
        data = data[step]
    return True


def _over(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Both; where they differ, the higher. Tables are joined."""
    joined = {
        name: _over(low[name], value) if isinstance(value, dict) and isinstance(low.get(name), dict) else value
        for name, value in high.items()
    }
    return {**low, **joined}


def _nearest(place: Place, lines: dict[Place, int]) -> Place:
    while place and place not in lines:
        place = place[:-1]
    return place
