"""The daemon's configuration: one validated value from a TOML file, the environment and the command line.

Flags win over the environment (`CASD_SECTION__KEY`), the environment over the file. What each key means stands in
`config.example.toml`, which a test holds against this file. Read by `casd.daemon` alone.
"""

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo

from casd.errors import CasdError
from casd.folder import default_data_folder
from casd.model import VerifyReads

PREFIX = "CASD_"
DIVIDER = "__"
ELSEWHERE = frozenset(  # not ours
    {"CASD_URL", "CASD_TOKEN", "CASD_TOKEN_FILE", "CASD_NAMESPACE", "CASD_CA_FILE", "CASD_TEST_ALL"}
)
CREDENTIALS = {"tls.crt": ("server", "tls_certificate"), "tls.key": ("server", "tls_key")}  # of systemd's, by name

CENTURY_S = 3_155_760_000.0  # and no longer: beyond it, times of the calendar and of the event loop overflow
CENTURY_DAYS = 36_525.0
MOST_BYTES = (1 << 63) - 1  # what SQLite and off_t hold


class ConfigError(CasdError):
    """A key that is not known, of the wrong type or out of bounds; the message names it."""

    code = "config-error"


# -- kinds of values ------------------------------------------------------------------------------------------------

Deadline = Annotated[float, Field(gt=0, le=CENTURY_S)]
Duration = Annotated[float, Field(ge=0, le=CENTURY_S)]
Count = Annotated[int, Field(ge=0, le=MOST_BYTES)]

Proxy: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network | Literal["unix"]
"""Addresses whose word on forwarded requests counts; "unix" is every peer on a Unix socket, which has no address."""


def checked_proxy(value: object) -> Proxy:
    if value == "unix":
        return "unix"
    if not isinstance(value, str):  # a number is an address to `ipaddress`
        raise ValueError('an address, a network such as 10.0.0.0/8, or "unix" is wanted')
    return ipaddress.ip_network(value.strip())


def checked_url(text: str) -> str:
    """An absolute URL that paths can be put behind, without its last slash."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("an absolute URL is wanted, such as https://casd.example.org")
    if "@" in url.netloc or "?" in text or "#" in text:
        raise ValueError("a URL without credentials, query and fragment is wanted")
    if not re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@%/\[\]-]+", text):
        raise ValueError("only the characters of a URL; others are written as %XX, or xn--… in the host")
    return text.rstrip("/")


_CACHE_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?)(:[1-9][0-9]{0,4})?")


def checked_cache_host(text: str) -> str:
    """A host with or without a port, as URLs have it when they are taken apart."""
    match = _CACHE_HOST.fullmatch(text)
    if match is None or int((match[3] or ":0")[1:]) > 65535:
        raise ValueError("a host is wanted, or host:port, such as images.example.org, 10.0.0.5:8080 or [fd00::5]")
    host, port = match[1].lower(), match[3] or ""
    return f"[{ipaddress.IPv6Address(host[1:-1])}]{port}" if host.startswith("[") else host + port


def checked_path(value: object) -> object:
    text = str(value)
    if not text or "\0" in text:
        raise ValueError("a path is wanted")
    if text.startswith("~"):
        raise ValueError("a path is taken as it stands, and ~ is not expanded: write the whole path")
    return value


SomePath: TypeAlias = Annotated[Path, BeforeValidator(checked_path)]


def users_folder() -> Path:
    try:
        return default_data_folder()
    except RuntimeError:
        raise ConfigError("[storage] data: this user has no home folder, so it must be set") from None


class EventLoop(StrEnum):
    AUTO = "auto"  # uvloop where it is installed
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


class LogFormat(StrEnum):
    AUTO = "auto"  # text on a terminal, JSON otherwise
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# -- the keys -------------------------------------------------------------------------------------------------------


class Section(BaseModel):
    # Strict: TOML has types, so `port = true` and `must_exist = "yes"` are mistakes and not 1 and true.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Server(Section):
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65535)
    event_loop: EventLoop = Field(default=EventLoop.AUTO, strict=False)
    public_url: Annotated[str, AfterValidator(checked_url)] | None = None
    trusted_proxies: tuple[Annotated[Proxy, PlainValidator(checked_proxy), PlainSerializer(str)], ...] = Field(
        default=(), strict=False
    )
    tcp: bool = True
    unix_socket: SomePath | None = Field(default=None, strict=False)
    unix_socket_mode: Annotated[str, Field(pattern="^0[0-7]{3}$")] = "0660"
    tls_certificate: SomePath | None = Field(default=None, strict=False)
    tls_key: SomePath | None = Field(default=None, strict=False)


class Storage(Section):
    data: SomePath = Field(default_factory=users_folder, strict=False)
    reserve_bytes: Count | None = None
    must_exist: bool = False
    verify_reads: VerifyReads = Field(default=VerifyReads.FIRST, strict=False)
    recheck_days: float = Field(default=7.0, gt=0, le=CENTURY_DAYS)


class Auth(Section):
    share_by_uuid: bool = True
    admin_token_file: SomePath | None = Field(default=None, strict=False)
    signed_url_max_s: int = Field(default=604_800, ge=1, le=int(CENTURY_S))


class Audit(Section):
    keep_days: float = Field(default=90.0, ge=0, le=CENTURY_DAYS)
    reads: bool = False


class Limits(Section):
    max_body_bytes: int = Field(default=1 << 44, ge=1, le=MOST_BYTES)
    head_timeout_s: Deadline = 30.0
    body_idle_timeout_s: Deadline = 60.0
    send_idle_timeout_s: Deadline = 60.0
    min_bytes_per_s: float = Field(default=128.0, ge=0, le=MOST_BYTES)
    min_rate_window_s: Deadline = 120.0
    max_requests: Count = 1000
    max_transfers: Count = 1000
    max_waiting: Count = 1000
    max_wait_s: Deadline = 30.0
    requests_per_s: float = Field(default=0.0, ge=0, le=MOST_BYTES)
    requests_burst: int = Field(default=100, ge=1, le=MOST_BYTES)
    max_connections: Count = 10_000
    max_connections_per_address: Count = 0
    max_uploads_per_token: int = Field(default=1000, ge=1, le=MOST_BYTES)
    drain_timeout_s: Duration = 30.0


class Upkeep(Section):
    interval_s: Deadline = 300.0
    scan_interval_s: Deadline = 86_400.0
    grace_s: Duration = 3600.0
    hidden_days: float = Field(default=7.0, ge=0, le=CENTURY_DAYS)
    token_days: float = Field(default=30.0, ge=0, le=CENTURY_DAYS)
    upload_days: float = Field(default=7.0, gt=0, le=CENTURY_DAYS)
    scrub_days: float = Field(default=14.0, ge=0, le=CENTURY_DAYS)
    deep_scrub_days: float = Field(default=90.0, ge=0, le=CENTURY_DAYS)
    scrub_bytes_per_s: int = Field(default=64 << 20, ge=1, le=MOST_BYTES)


class SourceKind(StrEnum):
    CASD = "casd"
    HTTP = "http"  # a folder of files


class RepairSource(Section):
    url: Annotated[str, AfterValidator(checked_url)]
    kind: SourceKind = Field(default=SourceKind.CASD, strict=False)
    token_file: SomePath | None = Field(default=None, strict=False)


class Repair(Section):
    sources: tuple[RepairSource, ...] = Field(default=(), strict=False)
    idle_timeout_s: Deadline = 60.0


class ShakenFist(Section):
    cache_hosts: tuple[Annotated[str, AfterValidator(checked_cache_host)], ...] = Field(default=(), strict=False)


class Log(Section):
    format: LogFormat = Field(default=LogFormat.AUTO, strict=False)
    level: LogLevel = Field(default=LogLevel.INFO, strict=False)
    slow_request_s: float = Field(default=1.0, ge=0, le=86400)


class Config(Section):
    server: Server = Field(default_factory=Server)
    storage: Storage = Field(default_factory=Storage)
    auth: Auth = Field(default_factory=Auth)
    audit: Audit = Field(default_factory=Audit)
    limits: Limits = Field(default_factory=Limits)
    upkeep: Upkeep = Field(default_factory=Upkeep)
    repair: Repair = Field(default_factory=Repair)
    shakenfist: ShakenFist = Field(default_factory=ShakenFist)
    log: Log = Field(default_factory=Log)


def keys_of(section: str) -> Mapping[str, FieldInfo]:
    """The section's keys with type, bounds and default; none if there is no such section."""
    field = Config.model_fields.get(section)
    kind = field.annotation if field is not None else None
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, Section) else {}


# -- where values come from -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration, and for each key that was given, as `section.key`, who gave it."""

    config: Config
    sources: Mapping[str, str]

    def as_toml(self) -> str:
        """The effective configuration as a file that `--config` takes, each line with where it comes from."""
        lines = []
        for section, values in self.config.model_dump(mode="json").items():
            lines.append(f"[{section}]")
            for key, value in values.items():
                source = printable(self.sources.get(f"{section}.{key}", "default"))
                lines.append(f"{toml_line(key, value)}  # {source}")
            lines.append("")
        return "\n".join(lines[:-1]) + "\n"


def load(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]) -> Loaded:
    """The configuration. `overrides` have dotted keys such as `server.port`. Raises ConfigError."""
    values = read_file(file) if file is not None else {}
    sources = {
        f"{section}.{key}": str(file)
        for section, table in values.items()
        for key in (table if isinstance(table, dict) else [""])
    }
    for name, (section, key) in CREDENTIALS.items():
        credential = Path(environment.get("CREDENTIALS_DIRECTORY", "/nowhere"), name)
        if credential.exists():
            sources[f"{section}.{key}"] = f"credential {name}"
            put(values, section, key, credential)
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name not in ELSEWHERE:
            section, divider, key = name.removeprefix(PREFIX).lower().partition(DIVIDER)
            if not divider:
                raise ConfigError(f"{name}: a setting in the environment is written as CASD_SECTION__KEY")
            sources[f"{section}.{key}"] = name
            put(values, section, key, of_text(name, section, key, text))
    for dotted, value in overrides.items():
        section, _, key = dotted.partition(".")
        sources[dotted] = f"--{key}"
        put(values, section, key, value)
    try:
        return Loaded(Config.model_validate(values), sources)
    except ValidationError as error:
        raise refusal(error, sources) from None


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
    except (RecursionError, ValueError):  # thousands of brackets; an integer of thousands of digits
        raise ConfigError(f"{file}: not TOML as casd takes it") from None


def of_text(name: str, section: str, key: str, text: str) -> object:
    """The value that a text in the environment stands for; the text itself for a path, and for a key not known."""
    field = keys_of(section).get(key)
    if field is None or field.annotation in (None, Path):
        return text
    if get_origin(field.annotation) is tuple:
        return listed(text)
    try:
        return TypeAdapter[Any](field.annotation).validate_python(text)
    except ValidationError as error:
        (item, *_) = error.errors()
        raise ConfigError(f"{explained([section, key], item['type'], item['msg'])} (from {name})") from None


def listed(text: str) -> object:
    """A list as the environment has it: JSON, or items with commas between."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return [text]  # what an item of it is not says the field
    return [item.strip() for item in text.split(",") if item.strip()]


def put(values: dict[str, Any], section: str, key: str, value: object) -> None:
    table = values.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value


# -- what is said ---------------------------------------------------------------------------------------------------


def refusal(error: ValidationError, sources: Mapping[str, str]) -> ConfigError:
    found = []
    for item in error.errors():
        place = [str(part) for part in item["loc"]]
        source = next((sources[key] for key in sources if key.split(".")[: len(place)] == place[:2]), None)
        said = explained(place, item["type"], item["msg"])
        found.append(f"{said} (from {source})" if source else said)
    return ConfigError("; ".join(found))


def explained(place: list[str], kind: str, message: str) -> str:
    """What is wrong where: `[server] port: Input should be less than or equal to 65535`."""
    section, *keys = place
    where = f"[{section}] {'.'.join(keys)}".strip()
    if kind == "model_type" and not keys:
        return f"{where}: a section is wanted: a line [{section}], and its keys below it"
    if kind == "model_type":
        return f'{where}: a table is wanted, such as {{url = "https://casd.example.org"}}'
    if kind != "extra_forbidden":
        return f"{where}: {message.removeprefix('Value error, ')}"
    known = RepairSource.model_fields if len(keys) > 1 else keys_of(section) if keys else Config.model_fields
    return f"{where}: unknown; known: {', '.join(known)}"


def toml_line(key: str, value: object) -> str:
    """`key = value`; what TOML cannot say is a comment: a key that is not set, and a path that is not UTF-8."""
    if value is None:
        return f"# {key} is not set"
    if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
        return f"# {key} is not UTF-8, which TOML cannot say: {value!a}"
    return f"{key} = {toml_value(value)}"


def toml_value(value: object) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items() if each is not None)
        return "{" + pairs + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    # JSON's strings, integers, floats and booleans are TOML's, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
