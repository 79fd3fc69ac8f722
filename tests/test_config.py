"""The configuration: file and code say the same, and what is wrong is refused by its name."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from casd.config import Config, ConfigError, keys_of, load

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
UNSET = {  # shown commented out, because their default depends on the machine or on the request
    ("storage", "data"): "/var/lib/casd",
    ("storage", "reserve_bytes"): 536870912,
    ("server", "public_url"): "https://casd.example.org",
}
KEYS = [(section, key) for section in Config.model_fields for key in keys_of(section)]
UNITS = {
    "_s": "Seconds",
    "_days": "Days",
    "_bytes": "bytes",
    "max_connections": "Connections",
    "max_connections_per_address": "Connections",
    "max_uploads_per_token": "uploads",
    "port": "TCP port",
    "host": "address",
}


def uncommented(line: str) -> str:
    is_setting = any(line.startswith(f"# {key} = ") for _, key in UNSET)
    return line.removeprefix("# ") if is_setting else line


def example_with_all_keys() -> dict[str, dict[str, object]]:
    """The example file with the keys too that it shows commented out."""
    return tomllib.loads("\n".join(uncommented(line) for line in EXAMPLE.read_text().splitlines()))


def comment_above(section: str, key: str) -> str:
    """The comment that a key stands under, alone or with those next to it."""
    lines = [uncommented(line) for line in EXAMPLE.read_text().splitlines()]
    within = lines[lines.index(f"[{section}]") + 1 :]
    (at,) = [at for at, line in enumerate(within) if line.startswith(f"{key} = ")][:1]
    while not within[at].startswith("#"):
        at -= 1
        assert at >= 0, f"[{section}] {key} stands under no comment"
    comment = []
    while at >= 0 and within[at].startswith("#"):
        comment.insert(0, within[at].removeprefix("# "))
        at -= 1
    return " ".join(comment)


def test_the_example_shows_every_key_with_its_default() -> None:
    shown = example_with_all_keys()

    expected: dict[str, dict[str, object]] = {}
    for section, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        defaults = model().model_dump(mode="json")
        expected[section] = {key: UNSET.get((section, key), value) for key, value in defaults.items()}
    assert shown == expected
    assert {key: list(shown[key]) for key in shown} == {key: list(expected[key]) for key in expected}  # and in order


def test_the_example_gives_each_default_in_its_own_type() -> None:
    """`60` would load where `60.0` is meant, but who reads it learns that fractions are allowed."""
    shown = example_with_all_keys()

    for section, key in KEYS:
        field = keys_of(section)[key]
        wanted = type(field.default) if isinstance(field.default, bool | int | float) else str | int | list
        assert isinstance(shown[section][key], wanted), key


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_example_says_what_each_key_means_its_unit_and_when_to_change_it(section: str, key: str) -> None:
    comment = comment_above(section, key)
    unit = next((word for suffix, word in UNITS.items() if key.endswith(suffix)), "")

    assert unit.lower() in comment.lower()
    assert re.search(
        r"\b([Ss]et it|Change it|[Rr]aise (it|them|the second)|Lower it|Leave it|leave the second|0 takes|must be)\b",
        comment,
    )


def test_the_example_can_be_used_as_it_stands() -> None:
    assert load(EXAMPLE, {}, {}).config == Config()


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[server]\nport = 1\nhost = "file"\n[upkeep]\ngrace_s = 5\n')

    config = load(file, {"CASD_SERVER__PORT": "2", "CASD_SERVER__HOST": "environment"}, {"server.port": 3}).config

    assert (config.server.port, config.server.host, config.upkeep.grace_s) == (3, "environment", 5.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", "prot"),
        ("[sever]\nport = 1\n", "sever"),
        ('[server]\nport = "many"\n', "port"),
        ("[server]\nport = 65536\n", "port"),
        ("[limits]\nhead_timeout_s = 0\n", "head_timeout_s"),
        ("[upkeep]\ngrace_s = -1\n", "grace_s"),
        ("server = 5\n", "server"),
        ("[server\n", "config.toml"),
    ],
)
def test_what_is_wrong_in_the_file_is_refused_by_its_name(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=named):
        load(file, {}, {})


@pytest.mark.parametrize("name", ["CASD_PORT", "CASD_SERVER__PROT", "CASD_NOWHERE__KEY"])
def test_an_unknown_setting_in_the_environment_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        load(None, {name: "1"}, {})


def test_what_clients_read_from_the_environment_is_not_the_daemons() -> None:
    load(None, {"CASD_URL": "http://x", "CASD_TOKEN": "y", "CASD_NAMESPACE": "z"}, {})


def test_a_file_that_is_not_utf8_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes("# für alle\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"config\.toml: not UTF-8"):
        load(file, {}, {})


def test_an_unknown_key_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"^\[server\] prot: unknown; known: host, port, event_loop, public_url, trusted_proxies "
    ):
        load(None, {}, {"server.prot": 1})
    with pytest.raises(ConfigError, match=r"^\[servr\]: unknown; known: server, storage, auth, limits, upkeep, log "):
        load(None, {}, {"servr.port": 1})


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {}, {})
