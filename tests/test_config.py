"""The configuration: file and code say the same, and what is wrong is refused by its name."""

import re
import tomllib
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from casd.config import Config, ConfigError, keys_of, load

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
UNSET = {  # shown commented out, because their default depends on the machine or on the request
    ("storage", "data"): "/var/lib/casd",
    ("storage", "reserve_bytes"): 536870912,
    ("auth", "admin_token_file"): "/etc/casd/admin.token",
    ("server", "public_url"): "https://casd.example.org",
    ("server", "unix_socket"): "/run/casd/casd.sock",
    ("server", "tls_certificate"): "/etc/casd/tls.crt",
    ("server", "tls_key"): "/etc/casd/tls.key",
}
KEYS = [(section, key) for section in Config.model_fields for key in keys_of(section)]
UNITS = {
    "_bytes_per_s": "Bytes",
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
        r"\b([Ss]et (it|them)|Change it|[Rr]aise (it|them|the second)|"
        r"Lower it|Leave it|leave the second|0 takes|must be)\b",
        comment,
    )


def test_the_example_can_be_used_as_it_stands() -> None:
    assert load(EXAMPLE, {}, {}).config == Config()


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[server]\nport = 1\nhost = "file"\n[upkeep]\ngrace_s = 5\n')

    config = load(file, {"CASD_SERVER__PORT": "2", "CASD_SERVER__HOST": "environment"}, {"server.port": 3}).config

    assert (config.server.port, config.server.host, config.upkeep.grace_s) == (3, "environment", 5.0)


def refused(file: Path | None = None, environment: dict[str, str] | None = None, **flags: object) -> str:
    """What is said of a configuration that is not good."""
    with pytest.raises(ConfigError) as caught:
        load(file, environment or {}, flags)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", "[server] prot: unknown"),
        ("[sever]\nport = 1\n", "[sever]: unknown"),
        ("[server.port]\nx = 1\n", "[server] port: "),
        ("[[server]]\nport = 1\n", "[server]: a section is wanted"),
        ("server = 5\n", "[server]: a section is wanted"),
        ("[server\n", "config.toml: "),
        ("[server]\nport = 1\nport = 2\n", "config.toml: "),
        ("a = " + "[" * 100_000, "config.toml: "),
        ("a = " + "1" * 10_000, "config.toml: "),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)

    said = refused(file)

    assert named in said
    assert str(file) in said


WRONG_FOR_ALL = ["{}", "1979-05-27", "[[]]"]
WRONG = {  # by the type of the default, in TOML
    bool: ["1", "0", '"yes"', "1.0", *WRONG_FOR_ALL],
    int: ["true", '"1"', "1.5", "1.0", "-1", "9223372036854775808", *WRONG_FOR_ALL],
    float: ["true", '"1"', "-1.0", "-1", "nan", "inf", "-inf", "1e300", *WRONG_FOR_ALL],
    str: ["true", "1", '""', *WRONG_FOR_ALL],
    list: ["true", "1", '"10.0.0.1"', "[1]", '["10.0.0.1/8"]', '["he re"]', '["::1%eth0/64"]', '[""]', *WRONG_FOR_ALL],
}


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused_by_its_name(
    tmp_path: Path, section: str, key: str
) -> None:
    file = tmp_path / "config.toml"
    for value in WRONG[type(example_with_all_keys()[section][key])]:
        file.write_text(f"[{section}]\n{key} = {value}\n")

        said = refused(file)

        assert said.startswith(f"[{section}] {key}"), value
        assert said.endswith(f"(from {file})"), value


@pytest.mark.parametrize(
    ("section", "key"),
    [
        *[(section, key) for section, key in KEYS if key.endswith("_timeout_s") and key != "drain_timeout_s"],
        ("upkeep", "interval_s"),
        ("upkeep", "upload_days"),
        ("auth", "signed_url_max_s"),
        ("limits", "max_uploads_per_token"),
        ("limits", "max_body_bytes"),
    ],
)
def test_nothing_at_all_is_refused_where_it_would_mean_never(section: str, key: str) -> None:
    assert refused(None, {f"CASD_{section}__{key}".upper(): "0"}).startswith(f"[{section}] {key}: ")


URLS = ["https://casd.example.org", "http://[::1]:8080/casd", "http://10.0.0.7:80", "https://h/a%20b"]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("url", URLS)
def test_a_public_url_is_kept_without_its_last_slash(url: str, slash: str) -> None:
    config = load(None, {"CASD_SERVER__PUBLIC_URL": url + slash}, {}).config

    assert config.server.public_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("casd.example.org", "//casd.example.org", "ftp://host", "http://", "http:host", "/v1", "http:///v1"),
        *("http://user@host", "http://user:secret@host", "http://host?", "http://host/?a=b", "http://host#", ""),
        *("http://host:x", "http://host:65536", "http://[::1", "http://ho st", "http://host/a b", "http://hö.de"),
        *("http://host/\n", "http://host\\x", 'http://host/"', " http://host", "http://a]b"),
    ],
)
def test_a_public_url_that_links_cannot_begin_with_is_refused(url: str) -> None:
    said = refused(None, {"CASD_SERVER__PUBLIC_URL": url})

    assert said.startswith("[server] public_url: ")
    assert "secret" not in said


@pytest.mark.parametrize(
    "text",
    ["10.0.0.7,fd00::/8,unix", " 10.0.0.7 , fd00::/8,, unix,", '["10.0.0.7", "fd00::/8", "unix"]'],
)
def test_trusted_proxies_are_a_list_in_the_environment_too(text: str) -> None:
    config = load(None, {"CASD_SERVER__TRUSTED_PROXIES": text}, {}).config

    assert config.server.trusted_proxies == (ip_network("10.0.0.7/32"), ip_network("fd00::/8"), "unix")


@pytest.mark.parametrize(
    "text", ["10.0.0.256", "10.0.0.1/8", "[1]", "[", "localhost", "10.0.0.7 10.0.0.8", "{}", "[[]]"]
)
def test_what_is_no_address_is_refused_from_the_environment(text: str) -> None:
    said = refused(None, {"CASD_SERVER__TRUSTED_PROXIES": text})

    assert said.startswith("[server] trusted_proxies.0: ")
    assert said.endswith("(from CASD_SERVER__TRUSTED_PROXIES)")


def test_hosts_to_fetch_from_are_kept_as_urls_have_them() -> None:
    text = "Images.Example.org,10.0.0.5:8080,[FD00:0::5],[::1]:65535,_x,xn--hst-sna.de"

    config = load(None, {"CASD_SHAKENFIST__CACHE_HOSTS": text}, {}).config

    expected = ("images.example.org", "10.0.0.5:8080", "[fd00::5]", "[::1]:65535", "_x", "xn--hst-sna.de")
    assert config.shakenfist.cache_hosts == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://host",
            "host/",
            "user@host",
            "host:",
            "host:0",
            "host:65536",
            "host:http",
            "*",
            "*.host",
            "::1",
            "[::1",
        ),
        *("[::1", "[::g]", "[1.2.3.4]", "höst", "a b", ".host", "host.", "-", "host?", "host#", "host%41"),
    ],
)
def test_what_is_no_host_to_fetch_from_is_refused(text: str) -> None:
    assert refused(None, {"CASD_SHAKENFIST__CACHE_HOSTS": text}).startswith("[shakenfist] cache_hosts.0: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CASD_SERVER__PORT", "http"),
        ("CASD_SERVER__PORT", ""),
        ("CASD_STORAGE__MUST_EXIST", "maybe"),
        ("CASD_STORAGE__DATA", ""),
        ("CASD_STORAGE__DATA", "~/casd"),
        ("CASD_STORAGE__RESERVE_BYTES", "1 GiB"),
        ("CASD_LIMITS__HEAD_TIMEOUT_S", "nan"),
        ("CASD_LOG__FORMAT", "xml"),
        ("CASD_SERVER__EVENT_LOOP", "trio"),
    ],
)
def test_a_text_that_is_no_value_is_refused_by_both_its_names(name: str, text: str) -> None:
    section, key = name.removeprefix("CASD_").lower().split("__")

    said = refused(None, {name: text})

    assert said.startswith(f"[{section}] {key}: ")
    assert said.endswith(f"(from {name})")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("CASD_STORAGE__MUST_EXIST", "true", True),
        ("CASD_STORAGE__MUST_EXIST", "0", False),
        ("CASD_STORAGE__RESERVE_BYTES", "1073741824", 1 << 30),
        ("CASD_STORAGE__DATA", '/srv/50% #"casd', Path('/srv/50% #"casd')),
        ("CASD_LIMITS__DRAIN_TIMEOUT_S", "5", 5.0),
        ("CASD_LOG__LEVEL", "warning", "warning"),
    ],
)
def test_a_text_from_the_environment_becomes_what_its_key_holds(name: str, text: str, value: object) -> None:
    section, key = name.removeprefix("CASD_").lower().split("__")

    config = load(None, {name: text}, {}).config

    found = getattr(getattr(config, section), key)
    assert found == value
    assert isinstance(found, type(value))


# -- what is in force ---------------------------------------------------------------------------------------------


def test_what_is_in_force_is_shown_with_who_said_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[server]\nhost = "::1"\nport = 1\n[limits]\ndrain_timeout_s = 5\n')

    shown = load(file, {"CASD_SERVER__PORT": "2", "CASD_LOG__LEVEL": "error"}, {"storage.data": Path("/d")}).as_toml()

    lines = shown.splitlines()
    assert f'host = "::1"  # {file}' in lines
    assert f"drain_timeout_s = 5.0  # {file}" in lines
    assert "port = 2  # CASD_SERVER__PORT" in lines
    assert 'level = "error"  # CASD_LOG__LEVEL' in lines
    assert 'data = "/d"  # --data' in lines
    assert "grace_s = 3600.0  # default" in lines
    assert "# public_url is not set  # default" in lines


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(deadline=None)  # the machine may be busy with other tests
@given(
    host=TEXTS,
    data=TEXTS.filter(lambda text: not text.startswith("~")),
    grace_s=st.floats(0, 1e9),
    reserve_bytes=st.none() | st.integers(0, 1 << 62),
    proxies=st.lists(st.ip_addresses().map(str) | st.just("unix")),
    url=st.none() | st.sampled_from(URLS),
)
def test_what_is_shown_can_be_fed_back(
    host: str, data: str, grace_s: float, reserve_bytes: int | None, proxies: list[str], url: str | None
) -> None:
    flags = {
        "server.host": host,
        "storage.data": data,
        "upkeep.grace_s": grace_s,
        "storage.reserve_bytes": reserve_bytes,
        "server.trusted_proxies": proxies,
        "server.public_url": url,
    }
    first = load(None, {}, flags)

    again = Config.model_validate(tomllib.loads(first.as_toml()))

    assert again == first.config


def test_a_folder_that_toml_cannot_say_is_shown_in_a_comment() -> None:
    shown = load(None, {"CASD_STORAGE__DATA": "/srv/\udcff"}, {}).as_toml()

    assert "data" not in tomllib.loads(shown)["storage"]
    assert "# data is not UTF-8, which TOML cannot say: '/srv/\\udcff'" in shown


def test_a_user_without_a_home_must_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("casd.config.default_data_folder", no_home)

    assert refused().startswith("[storage] data: ")
    assert load(None, {}, {"storage.data": "/d"}).config.storage.data == Path("/d")


# -- names ----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(ConfigError, match=r"^\[server\] prot: unknown; known: host, port, .*, tls_key "):
        load(None, {}, {"server.prot": 1})
    with pytest.raises(
        ConfigError,
        match=r"^\[servr\]: unknown; known: server, storage, auth, audit, limits, upkeep, repair, shakenfist, log ",
    ):
        load(None, {}, {"servr.port": 1})


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {}, {})


# -- sources of repair ------------------------------------------------------------------------------------------------

SOURCES = """[repair]
sources = [
  {url = "https://casd2.example.org/", token_file = "/etc/casd/two words.token"},
  {url = "http://10.0.0.7:8000/payloads", kind = "http"},
]
"""


def test_sources_are_tables_and_survive_being_written_out(tmp_path: Path) -> None:
    file, again = tmp_path / "config.toml", tmp_path / "again.toml"
    file.write_text(SOURCES)

    loaded = load(file, {}, {})
    again.write_text(loaded.as_toml())

    assert [(each.url, each.kind.value, each.token_file) for each in loaded.config.repair.sources] == [
        ("https://casd2.example.org", "casd", Path("/etc/casd/two words.token")),
        ("http://10.0.0.7:8000/payloads", "http", None),
    ]
    assert load(again, {}, {}).config == loaded.config


def test_sources_can_come_from_the_environment_as_json() -> None:
    environment = {"CASD_REPAIR__SOURCES": '[{"url": "http://a", "kind": "http"}, {"url": "https://b:1/c"}]'}

    assert [each.url for each in load(None, environment, {}).config.repair.sources] == ["http://a", "https://b:1/c"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('"https://casd2.example.org"', "sources.0: a table is wanted"),
        ("{}", "sources.0.url: Field required"),
        ('{url = "ftp://h"}', "sources.0.url: an absolute URL is wanted"),
        ('{url = "https://me:secret@h"}', "sources.0.url: a URL without credentials"),
        ('{url = "https://h", kind = "s3"}', "sources.0.kind: "),
        ('{url = "https://h", token = "s3cret"}', "sources.0.token: unknown; known: url, kind, token_file"),
        ('{url = "https://h", token_file = ""}', "sources.0.token_file: a path is wanted"),
    ],
)
def test_a_source_that_is_none_is_refused_and_no_secret_is_shown(tmp_path: Path, source: str, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[repair]\nsources = [{source}]\n")

    told = refused(file)

    assert f"[repair] {said}" in told
    assert "s3cret" not in told
    assert "secret" not in told.replace(said, "")
