"""Several files or names, given one by one and moved at the same time: `casd put a b c/`, `casd get a b folder`."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from casd.cli.arguments import what
from casd.cli.connection import Invocation
from casd.cli.errand import Errand, checked, put
from casd.cli.get import landing_path, opened
from casd.cli.landing import InTheWay
from casd.cli.pool import work_off
from casd.cli.progress import display
from casd.cli.report import Fate, Report

if TYPE_CHECKING:
    from casd.client import Client

T = TypeVar("T")


def put_several(
    invocation: Invocation,
    placed: list[tuple[str, str | None]],
    namespace: str | None,
    content_type: str | None,
    *,
    jobs: int,
    as_json: bool,
) -> int:
    """Each file is the next version of its name, or a blob without one; the exit code."""

    def size_of(place: tuple[str, str | None]) -> int:
        return Path(place[0]).stat().st_size if Path(place[0]).is_file() else 0

    def refuse_folder(file: str) -> None:
        if Path(file).is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder; -r stores folders", file)

    async def put_one(errand: Errand, place: tuple[str, str | None]) -> None:
        file, name = place
        with errand.attempt("put", name, file, file, size_of(place)) as moving:
            refuse_folder(file)
            if name is not None:
                checked(name)
            errand.report.done(await put(errand, moving, file, name, content_type=content_type))

    return several(invocation, placed, put_one, namespace, jobs=jobs, as_json=as_json, size_of=size_of)


def get_several(
    invocation: Invocation,
    wanted: list[str],
    folder: str,
    namespace: str | None,
    as_of: datetime | None,
    *,
    jobs: int,
    as_json: bool,
) -> int:
    """Each WHAT is a file in the folder; the exit code."""
    from casd.client import save

    taken: dict[Path, str] = {}

    async def get_one(errand: Errand, what_text: str) -> None:
        with errand.attempt("get", what_text, None, what_text, 0) as moving:
            target = what(what_text)
            async with await opened(errand.client, target, namespace, None, as_of, errand.display) as download:
                content = download.content
                path = landing_path(folder, target, content)
                assert path is not None  # a folder is not standard output
                if (other := taken.setdefault(path, what_text)) is not what_text:
                    raise InTheWay(f"{other} goes to {path} already; fetch it with a TARGET of its own")
                errand.display.expected_bytes += content.size
                await save(download, path, moving.at)
            errand.report.done(
                Fate("get", what_text, str(path), content.size, content.version, sha512=content.digest.hex)
            )

    return several(invocation, wanted, get_one, namespace, jobs=jobs, as_json=as_json)


def several(
    invocation: Invocation,
    pieces: list[T],
    work: Callable[[Errand, T], Awaitable[None]],
    namespace: str | None,
    *,
    jobs: int,
    as_json: bool,
    size_of: Callable[[T], int] = lambda piece: 0,
) -> int:
    """Each piece is worked on, a line for each; the exit code."""

    async def move(client: Client) -> Report:
        where = namespace or await client.accounts.home()
        with display() as shown:
            report = Report(shown, as_json=as_json, has_lines=True)
            for piece in pieces:
                shown.expect(size_of(piece))
            shown.is_all_known = True
            errand = Errand(client, where, shown, report)
            try:
                await work_off(_each(pieces), lambda piece: work(errand, piece), jobs)
            except BaseException:
                invocation.kept = report.so_far(len(pieces))
                raise
            return report

    return invocation.run(move).close()


async def _each(pieces: Iterable[T]) -> AsyncIterator[T]:
    for piece in pieces:
        yield piece
