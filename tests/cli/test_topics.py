"""`casd help`: every topic is there, short, and speaks of what exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import casd
from casd.cli.group import main

TEXTS = Path(casd.__file__).parent / "cli" / "help"
EXAMPLE = Path(casd.__file__).parent.parent / "config.example.toml"
TOPICS = [
    *(
        "start",
        "configuration",
        "names",
        "tokens",
        "quotas",
        "credentials",
        "audit",
        "resuming",
        "uploads",
        "folders",
        "durability",
        "integrity",
    ),
    *("operations", "service", "proxy", "metrics", "logs", "quarantine", "backup", "fsck"),
    *("troubleshooting", "exit-codes", "python", "fsspec", "shakenfist", "deeplake", "datapane", "craftai"),
]

TABLES = {"metrics"}  # to be looked things up in, not read


def text_of(topic: str) -> str:
    result = CliRunner().invoke(main, ["help", topic])
    assert result.exit_code == 0, result.output
    return result.output


def commands_in(text: str) -> Iterator[list[str]]:
    """The words behind each `casd` in code: what is indented, or between backticks."""
    code = re.findall(r"(?m)^ {4}(.*)$", text) + re.findall(r"`([^`]+)`", text.replace("\n", " "))
    for piece in code:
        for command in re.findall(r"(?:^|[ (])casd ([a-z-].*?)(?= {2,}|[);]| #|$)", piece):
            yield shlex.split(command)


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command, and what is left of the words."""
    context = click.Context(main)
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def test_help_lists_the_topics_that_there_are() -> None:
    listed = re.findall(r"(?m)^  (\S+) +\S.*$", CliRunner().invoke(main, ["help"]).output)

    assert listed == TOPICS
    assert sorted(path.stem for path in TEXTS.iterdir()) == sorted(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_fits_on_a_screen(topic: str) -> None:
    lines = text_of(topic).splitlines()

    assert lines[0].startswith("# ")
    assert len(lines) <= 30 or topic in TABLES
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("topic", TOPICS)
def test_the_commands_and_options_in_a_topic_exist(topic: str) -> None:
    for words in commands_in(text_of(topic)):
        command, rest = resolved(words)
        known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
        assert {word for word in rest if word.startswith("--")} <= known, words


def test_the_commands_in_topics_are_found() -> None:
    found = {words[0] for topic in TOPICS for words in commands_in(text_of(topic))}

    assert {"serve", "put", "get", "token", "namespace", "meta", "sign", "gc", "status", "undelete"} <= found


@pytest.mark.parametrize("topic", TOPICS)
def test_the_settings_in_a_topic_exist(topic: str) -> None:
    example = EXAMPLE.read_text()
    sections = dict(re.findall(r"(?ms)^\[(\w+)\]\n(.*?)(?=^\[|\Z)", example))
    text = re.sub(r"\s+", " ", text_of(topic))
    named = re.findall(r"\[([a-z]+)\] (\w+(?:, \w+_\w+|, port)*)", text)
    named += [(section.lower(), key.lower()) for section, key in re.findall(r"CASD_([A-Z]+)__(\w+)", text)]

    for section, keys in named:
        for key in keys.split(", "):
            assert re.search(rf"(?m)^(# )?{key} = ", sections[section]), f"[{section}] {key}"


def test_the_topics_speak_of_settings() -> None:
    assert sum(text_of(topic).count("[upkeep]") for topic in TOPICS) > 3


def test_help_of_a_command_is_its_own() -> None:
    assert "--keep-versions" not in CliRunner().invoke(main, ["help", "name"]).output
    assert CliRunner().invoke(main, ["help", "put"]).output == CliRunner().invoke(main, ["put", "--help"]).output


def test_the_exit_codes_are_those_that_casd_help_tells() -> None:
    told = dict(re.findall(r"(?m)^ {4}(\d+) +(\w+)", text_of("exit-codes")))
    legend = re.sub(r"\s+", " ", CliRunner().invoke(main, ["--help"]).output)

    assert told.keys() == {"0", "1", "2", "3", "4", "5", "6", "7", "130"}
    assert all(re.search(rf"\b{code} {word}|\b{code} the|\b{code} ", legend) for code, word in told.items())
