"""The daemon's configuration: one validated value from a TOML file, the environment and the command line.

Flags win over the environment (`CASD_SECTION__KEY`), the environment over the file. What each key means stands in
`config.example.toml`, which a test holds against this file. Read by `daemon.py` alone.
"""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from casd.errors import CasdError
from casd.folder import default_data_folder

PREFIX = "CASD_"
DIVIDER = "__"
ELSEWHERE = frozenset({"CASD_URL", "CASD_TOKEN", "CASD_NAMESPACE", "CASD_TEST_ALL"})  # for clients and tests


class ConfigError(CasdError):
    """A key that is not known, of the wrong type or out of bounds; the message names it."""

    code = "config-error"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventLoop(StrEnum):
    AUTO = "auto"  # uvloop where it is installed
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


class Server(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    event_loop: EventLoop = EventLoop.AUTO


class Storage(Section):
    data: Path = Field(default_factory=default_data_folder)
    reserve_bytes: int | None = Field(default=None, ge=0)
    must_exist: bool = False


class Auth(Section):
    share_by_uuid: bool = True


class Limits(Section):
    max_body_bytes: int = Field(default=1 << 44, ge=1)
    head_timeout_s: float = Field(default=30.0, gt=0)
    body_idle_timeout_s: float = Field(default=60.0, gt=0)
    send_idle_timeout_s: float = Field(default=60.0, gt=0)
    max_connections: int = Field(default=10_000, ge=0)
    max_connections_per_address: int = Field(default=0, ge=0)
    drain_timeout_s: float = Field(default=30.0, ge=0)


class Upkeep(Section):
    interval_s: float = Field(default=300.0, gt=0)
    scan_interval_s: float = Field(default=86_400.0, gt=0)
    grace_s: float = Field(default=3600.0, ge=0)
    hidden_days: float = Field(default=7.0, ge=0)


class Config(Section):
    server: Server = Field(default_factory=Server)
    storage: Storage = Field(default_factory=Storage)
    auth: Auth = Field(default_factory=Auth)
    limits: Limits = Field(default_factory=Limits)
    upkeep: Upkeep = Field(default_factory=Upkeep)


def load(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """The configuration. `overrides` have dotted keys such as `server.port`. Raises ConfigError."""
    values = read_file(file) if file is not None else {}
    for name, text in environment.items():
        if name.startswith(PREFIX) and name not in ELSEWHERE:
            section, divider, key = name.removeprefix(PREFIX).lower().partition(DIVIDER)
            if not divider:
                raise ConfigError(f"{name}: a setting in the environment is written as CASD_SECTION__KEY")
            put(values, section, key, text)
    for dotted, value in overrides.items():
        section, _, key = dotted.partition(".")
        put(values, section, key, value)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            "; ".join(explained(item["loc"], item["type"], item["msg"]) for item in error.errors())
        ) from None


def explained(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """What is wrong where: `[server] port: Input should be less than or equal to 65535`."""
    section, *keys = (str(part) for part in place)
    where = f"[{section}] {'.'.join(keys)}".strip()
    if kind != "extra_forbidden":
        return f"{where}: {message}"
    known = Config.model_fields
    if keys:
        kind_of_section = known[section].annotation
        assert isinstance(kind_of_section, type)
        assert issubclass(kind_of_section, Section)
        known = kind_of_section.model_fields
    return f"{where}: unknown; known: {', '.join(known)}"


def read_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8, which TOML is") from None


def put(values: dict[str, Any], section: str, key: str, value: object) -> None:
    table = values.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value
