"""`casd namespace`: who owns blobs and names, who else may read them, and how much is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from casd.cli import completing
from casd.cli.arguments import json_option
from casd.cli.connection import Invocation, pass_invocation
from casd.cli.parameters import NOTHING, count_from, duration, given, or_none, size
from casd.cli.show import echo_facts
from casd.cli.text import counted, echo_json, echo_listing, human_size, human_span, yes_or_no

if TYPE_CHECKING:
    from casd.client import Client, Namespace, NamespaceRules

F = TypeVar("F", bound=Callable[..., Any])

_SHARE = {"yes": True, "no": False, "default": NOTHING}
_OPTIONS = (
    click.option(
        "--readers",
        metavar="LIST",
        help="The namespaces whose tokens may read here too, as in a,b; '*': any token; none: nobody else.",
    ),
    click.option("--anonymous-read/--no-anonymous-read", default=None, help="Whether bytes are read without a token."),
    click.option(
        "--share-by-uuid",
        type=click.Choice(list(_SHARE)),
        help="Whether knowing a blob's UUID is enough to read it; default: [auth] share_by_uuid of the daemon.",
    ),
    click.option("--keep-versions", type=or_none(count_from(1)), metavar="N|none", help="Versions kept of each name."),
    click.option(
        "--max-age",
        type=or_none(duration),
        metavar="SPAN|none",
        help="Age past which versions go but a name's newest.",
    ),
    click.option(
        "--quota-bytes", type=or_none(size), metavar="SIZE|none", help="What its blobs may have together, such as 2T."
    ),
    click.option("--quota-blobs", type=or_none(count_from(0)), metavar="N|none", help="How many blobs it may have."),
)


def rule_options(command: F) -> F:
    """The options that say what may be set of a namespace."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


namespace_argument = click.argument("name", metavar="NS", shell_complete=completing.namespaces)


@click.group()
def namespace() -> None:
    """See namespaces; make and change them (role admin)."""


@namespace.command("ls")
@click.option("-l", "--long", "is_long", is_flag=True, help="With what each uses, and how much of its quota that is.")
@json_option
@pass_invocation
def list_namespaces(invocation: Invocation, is_long: bool, as_json: bool) -> None:
    """List the namespaces that your token is a member of; an admin sees all."""

    async def listing(client: Client) -> None:
        found = client.accounts.namespaces()
        if as_json:
            await echo_listing(each.json async for each in found)
            return
        async for each in found:
            click.echo(f"{_used(each):>16}  {each.name}" if is_long else each.name)

    invocation.run(listing)


@namespace.command("show")
@namespace_argument
@json_option
@pass_invocation
def show(invocation: Invocation, name: str, as_json: bool) -> None:
    """Show who else may read in NS, and its rules."""

    async def ask(client: Client) -> Namespace:
        return await client.accounts.namespace(name)

    _echo(invocation.run(ask), as_json)


@namespace.command("create")
@namespace_argument
@rule_options
@json_option
@pass_invocation
def create(invocation: Invocation, /, name: str, as_json: bool, **options: Any) -> None:
    """Make the namespace NS; if it is there already, only what is given is set.

    A namespace is also made with its first token. None is ever removed.
    """
    rules = _rules(**options)

    async def make(client: Client) -> Namespace:
        return await client.accounts.update_namespace(name, rules)

    _echo(invocation.run(make), as_json)


@namespace.command("set")
@namespace_argument
@rule_options
@json_option
@pass_invocation
def set_(invocation: Invocation, /, name: str, as_json: bool, **options: Any) -> None:
    """Change rules of NS; those that are not given stay as they are."""
    rules = _rules(**options)
    if not rules:
        raise click.UsageError("say what to set; `casd namespace set --help` lists the rules.")

    async def change(client: Client) -> Namespace:
        await client.accounts.namespace(name)  # a namespace that was mistyped must not come into being
        return await client.accounts.update_namespace(name, rules)

    _echo(invocation.run(change), as_json)


def _rules(*, readers: str | None, share_by_uuid: str | None, max_age: int | None, **others: object) -> NamespaceRules:
    rules: NamespaceRules = given(  # type: ignore[assignment]  # the options are its keys
        readers=None if readers is None else _namespaces(readers),
        share_by_uuid=None if share_by_uuid is None else _SHARE[share_by_uuid],
        max_age_s=max_age,
        **others,
    )
    return rules


def _namespaces(text: str) -> list[str]:
    return [] if text in ("", "none") else [each.strip() for each in text.split(",")]


def _echo(namespace: Namespace, as_json: bool) -> None:
    if as_json:
        echo_json(namespace.json)
        return
    share = {True: "yes", False: "no", None: "as [auth] share_by_uuid says"}[namespace.share_by_uuid]
    quota_bytes, max_age_s = namespace.quota_bytes, namespace.max_age_s
    echo_facts(
        {
            "namespace": namespace.name,
            "readers": _readers(namespace.readers),
            "anonymous read": yes_or_no(namespace.anonymous_read),
            "share by uuid": share,
            "keep versions": "all" if namespace.keep_versions is None else str(namespace.keep_versions),
            "max age": None if max_age_s is None else human_span(max_age_s),
            "quota bytes": None if quota_bytes is None else human_size(quota_bytes),
            "quota blobs": None if namespace.quota_blobs is None else str(namespace.quota_blobs),
            "used": _used(namespace, has_blobs=True),
            "reserved": f"{human_size(namespace.reserved_bytes)} by transfers under way"
            if namespace.reserved_bytes
            else None,
        }
    )


def _used(namespace: Namespace, *, has_blobs: bool = False) -> str:
    """Bytes, and if they are wanted blobs, each with its share of the quota."""
    if namespace.used_bytes is None or namespace.used_blobs is None:
        return ""
    used = human_size(namespace.used_bytes) + share(namespace.used_bytes, namespace.quota_bytes)
    blobs = counted(namespace.used_blobs, "blob") + share(namespace.used_blobs, namespace.quota_blobs)
    return f"{used}, {blobs}" if has_blobs else used


def share(used: int, quota: int | None) -> str:
    """How much of a quota that is, in brackets; nothing where there is none."""
    return "" if quota is None else f" ({100 * used // quota if quota else 100} %)"


def _readers(readers: tuple[str, ...]) -> str:
    if "*" in readers:
        return "its members, and any other token (*)"
    return f"its members, and those of {', '.join(readers)}" if readers else "its members"
