"""The house as DESIGN.md section 2 draws it: who imports whom, where concrete things are named, where words live."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import casd

ROOT = Path(casd.__file__).parent
LINES = 400  # past 300 a file is a question, past 400 it needs an answer

# From below to above; a module imports what lies below it, and its own package. Places that are not built yet may be
# missing; a place that is not listed is a decision that nobody took.
LAYERS = (
    {"errors", "uuids", "tasks", "logs", "distribution"},
    {"model", "folder", "fair", "audit"},
    {"payloads", "catalogue", "auth", "locks", "config", "client", "finding"},
    {
        "judging",
        "quarantine",
        "verified",
        "store",
        "counted",
        "held",
        "changes",
        "uploads",
        "expiry",
        "collection",
        "scrub",
        "repair",
        "upkeep",
        "vitals",
        "named_keys",
        "docs",
        "trail",
        "admin_token",
    },
    {"web"},
    {"dialects", "console"},
    {"daemon", "backup", "fsck", "fsspec"},
    {"cli"},
    {"__main__"},
)
BESIDE = {  # of the same layer
    "client": {"finding"},
    "verified": {"judging"},
    "store": {"judging", "verified", "counted"},
    "held": {"store"},
    "changes": {"store"},
    "uploads": {"store", "counted"},
    "scrub": {"judging"},
    "repair": {"judging", "store"},
    "upkeep": {"judging", "uploads", "expiry", "collection", "scrub", "repair"},
    "named_keys": {"store"},
    "admin_token": {"store"},
}
ONLY = {  # narrower than the layers
    "model": {"errors"},
    "folder": {"errors"},
    "fair": {"errors"},
    "audit": set(),
    "auth": {"errors", "model"},
    "locks": {"errors", "model"},
    "payloads": {"errors", "model", "tasks"},
    "catalogue": {"errors", "model", "audit", "distribution"},
    "client": {"errors", "model", "tasks", "finding"},
    "finding": {"errors", "folder"},
    "fsspec": {"errors", "model", "client"},
    "config": {"errors", "model", "folder"},
    "backup": {"errors", "model", "folder", "payloads", "catalogue"},
    "fsck": {"errors", "model", "folder", "payloads", "catalogue", "uuids", "backup"},
    "__main__": {"cli"},
}
ROOTS = {"daemon", "backup", "fsck"}  # each puts concrete backends together: to serve them, or as tools on their files
KNOWN_BY = {  # who may import them, beside themselves
    "config": {"daemon"},
    "logs": {"daemon"},
    "client": {"cli", "fsspec"},
    "fsspec": set(),  # fsspec itself finds it, by its entry point
    "daemon": {"cli"},
    "backup": {"cli"},
    "fsck": {"cli"},
    "docs": {"dialects"},
    "dialects": {"daemon"},
    "console": {"daemon"},
}
BACKENDS = re.compile(r"casd\.(payloads|catalogue)\.(?!(base|reads|credentials|claims|values)\b)\w+")
CACHES = {"casd.cli.digests"}  # SQL beside the backend's: what may be deleted at any time
LIGHT = {"errors", "model", "folder", "finding"}  # the command line imports them at its top


@dataclass(frozen=True)
class Import:
    """One import statement of casd, wherever it stands: at the top, in a function, under TYPE_CHECKING."""

    by: str  # module, dotted
    line: int
    of: str  # module or name, dotted
    is_at_top: bool

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.of}"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["casd", *path.relative_to(ROOT).with_suffix("").parts]
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


@functools.cache
def imports() -> tuple[Import, ...]:
    return tuple(found for module, path in modules() for found in imports_of(module, path))


def imports_of(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text("utf-8"))
    at_top = set(map(id, tree.body))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(module, node.lineno, name, id(node) in at_top)


def place(module: str) -> str:
    """The part of the house that a module belongs to: what stands after `casd.`. The root itself is empty."""
    part = module.split(".")[1] if "." in module else ""
    return "" if part == "__version__" else part


def is_light(item: Import, *more: str) -> bool:
    """Whether it imports the standard library, what is as light of casd's own, or one of `more`."""
    first = item.of.split(".")[0]
    return place(item.of) in {*LIGHT, *more, ""} if first == "casd" else first in {*sys.stdlib_module_names, *more}


def inner() -> list[Import]:
    """Imports from one part of the house to another. `from casd import x` names x; `import casd` names none."""
    found = [item for item in imports() if item.of.split(".")[0] == "casd"]
    return [item for item in found if place(item.of) not in ("", place(item.by))]


def layer(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


# -- the tests of this test ---------------------------------------------------------------------------------------


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    source = tmp_path / "store.py"
    source.write_text(
        "import casd.web.send\n"
        "from . import model\n"
        "if TYPE_CHECKING:\n    from casd import daemon\n"
        "def f():\n    from casd.cli import main\n"
        "class C:\n    def g(self):\n        from .payloads import local\n"
    )

    found = {item.of: item.is_at_top for item in imports_of("casd.store", source)}

    assert found == {
        "casd.web.send": True,
        "casd.model": True,
        "casd.daemon": False,
        "casd.cli.main": False,
        "casd.payloads.local": False,
    }


def test_there_is_something_to_test() -> None:
    assert len(imports()) > 100
    assert {"store", "model", "upkeep", "payloads", "catalogue"} <= {place(module) for module, _ in modules()}
    assert {("store", "model"), ("upkeep", "payloads")} <= {(place(item.by), place(item.of)) for item in inner()}


# -- the house ----------------------------------------------------------------------------------------------------


def test_every_part_of_the_house_has_its_place() -> None:
    listed = set().union(*LAYERS)

    assert {place(module) for module, _ in modules()} - {""} <= listed


def test_imports_point_one_way() -> None:
    wrong = []
    for item in inner():
        by, of = place(item.by), place(item.of)
        is_below = layer(of) < layer(by) or of in BESIDE.get(by, ())
        if not is_below or of not in ONLY.get(by, {of}) or by not in KNOWN_BY.get(of, {by}):
            wrong.append(str(item))

    assert wrong == []


def test_the_root_imports_nothing_of_the_house() -> None:
    assert [str(item) for item in imports() if item.by == "casd" and item.of.startswith("casd")] == []


def test_payloads_and_catalogue_do_not_know_each_other() -> None:
    pairs = {(place(item.by), place(item.of)) for item in inner()}

    assert pairs.isdisjoint({("payloads", "catalogue"), ("catalogue", "payloads")})


def test_dialects_do_not_know_each_other() -> None:
    wrong = []
    for item in imports():
        by, of = item.by.split("."), item.of.split(".")
        if by[:2] == of[:2] == ["casd", "dialects"] and len(by) > 2 and len(of) > 2 and by[2] != of[2]:
            wrong.append(str(item))

    assert wrong == []


def test_concrete_backends_are_named_in_the_daemon_and_tools_alone() -> None:
    wrong = [
        str(item)
        for item in inner()
        if BACKENDS.match(item.of) and place(item.by) not in ROOTS and place(item.by) != place(item.of)
    ]

    assert wrong == []


def test_the_contracts_know_no_backend() -> None:
    wrong = [
        str(item)
        for item in imports()
        if re.fullmatch(r"casd\.(payloads|catalogue)(\.(base|reads))?", item.by) and BACKENDS.match(item.of)
    ]

    assert wrong == []


def test_the_core_knows_no_http() -> None:
    core = set().union(*LAYERS[:4]) - {"client"}
    wrong = [str(item) for item in imports() if place(item.by) in core and item.of.split(".")[0] in ("aiohttp", "http")]

    assert wrong == []


def test_sql_stays_inside_the_backend() -> None:
    wrong = [
        str(item)
        for item in imports()
        if item.of.split(".")[0] in ("sqlite3", "aiosqlite")
        and not item.by.startswith("casd.catalogue.sqlite")
        and item.by not in CACHES
    ]

    assert wrong == []


@pytest.mark.parametrize("part", sorted(LIGHT))
def test_what_the_command_line_starts_with_needs_the_standard_library_only(part: str) -> None:
    heavy = [str(item) for item in imports() if place(item.by) == part and not is_light(item)]

    assert heavy == []


def test_commands_import_click_and_the_standard_library_only_at_their_top() -> None:
    """`casd --help` must be quick: neither aiohttp nor pydantic nor rich before a command needs them."""
    top = [item for item in imports() if place(item.by) in ("cli", "__main__") and item.is_at_top]

    assert [str(item) for item in top if not is_light(item, "click", "cli")] == []
    assert top


def test_no_file_is_longer_than_it_can_answer_for() -> None:
    long = {module: count for module, path in modules() if (count := len(path.read_text("utf-8").splitlines())) > LINES}

    assert long == {}


def test_nothing_is_named_utils() -> None:
    banned = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}

    assert [module for module, _ in modules() if banned & set(module.lower().split("."))] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        module
        for module, path in modules()
        if path.read_text("utf-8").strip() and ast.get_docstring(ast.parse(path.read_text("utf-8"))) is None
    ]

    assert silent == []


# -- the words ----------------------------------------------------------------------------------------------------

# Each word of DESIGN.md section 1, and the file or package that bears it.
BEARERS = {
    "payload": "payloads/base.py",
    "digest": "model.py",
    "blob": "catalogue/base.py",
    "name": "catalogue/base.py",
    "version": "catalogue/base.py",
    "namespace": "model.py",
    "upload": "uploads.py",
    "principal": "auth.py",
    "dialect": "dialects",
    "upkeep": "upkeep.py",
    "keep_until": "catalogue/base.py",
    "quarantine": "payloads/base.py",
    "catalogue": "catalogue",
    "lock": "locks.py",
}
MAY_BE_ABSENT = {"uploads.py"}  # not built yet


def text_of(bearer: str) -> str | None:
    """The code of a file or package, lower case; None if it is not there."""
    path = ROOT / bearer
    if path.is_file():
        return path.read_text("utf-8").lower()
    files = sorted(path.rglob("*.py"))
    return "\n".join(file.read_text("utf-8").lower() for file in files) if files else None


@pytest.mark.parametrize("word", BEARERS)
def test_a_word_is_found_in_the_place_that_bears_it(word: str) -> None:
    text = text_of(BEARERS[word])

    if text is None:
        assert BEARERS[word] in MAY_BE_ABSENT
    else:
        assert re.search(rf"\b\w*{word}\w*\b", text)
