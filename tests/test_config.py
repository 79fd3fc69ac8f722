"""The configuration: file and code say the same, and what is wrong is refused by its name."""

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from casd.config import Config, ConfigError, load

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
BY_MACHINE = {("storage", "data"): "/var/lib/casd", ("storage", "reserve_bytes"): 536870912}


def example_with_all_keys() -> dict[str, dict[str, object]]:
    """The example file with the keys that it shows commented out, because their default depends on the machine."""
    lines = EXAMPLE.read_text().splitlines()
    shown = [line.removeprefix("# ") if line.startswith(("# data =", "# reserve_bytes =")) else line for line in lines]
    return tomllib.loads("\n".join(shown))


def test_the_example_shows_every_key_with_its_default() -> None:
    shown = example_with_all_keys()

    expected: dict[str, dict[str, object]] = {}
    for section, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        defaults = model().model_dump(mode="json")
        expected[section] = {key: BY_MACHINE.get((section, key), value) for key, value in defaults.items()}
    assert shown == expected


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[server]\nport = 1\nhost = "file"\n[upkeep]\ngrace_s = 5\n')

    config = load(file, {"CASD_SERVER__PORT": "2", "CASD_SERVER__HOST": "environment"}, {"server.port": 3})

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
    with pytest.raises(ConfigError, match=r"^\[server\] prot: unknown; known: host, port, event_loop$"):
        load(None, {}, {"server.prot": 1})
    with pytest.raises(ConfigError, match=r"^\[servr\]: unknown; known: server, storage, auth, limits, upkeep$"):
        load(None, {}, {"servr.port": 1})


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {}, {})
