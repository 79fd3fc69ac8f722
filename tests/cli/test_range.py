"""`casd get --range`: a part of a payload, counted as HTTP and curl count."""

import os
from pathlib import Path
from typing import Any

import click
import pytest

from casd.cli.parameters import part
from casd.errors import InvalidInput
from tests.cli.conftest import Remote, Run, RunInside, made, stored
from tests.proxy import Fault, Proxy


@pytest.mark.parametrize(
    ("text", "size", "bounds"),
    [
        ("0-0", 10, (0, 1)),
        ("0-9", 10, (0, 10)),
        ("2-4", 10, (2, 5)),
        ("2-99", 10, (2, 10)),
        ("3-", 10, (3, 10)),
        ("-3", 10, (7, 10)),
        ("-99", 10, (0, 10)),
        (" 2-4 ", 10, (2, 5)),
    ],
)
def test_a_range_is_of_bytes_that_are_there(text: str, size: int, bounds: tuple[int, int]) -> None:
    assert part(text).of(size) == bounds


@pytest.mark.parametrize("text", ["", "-", "5", "4-3", "-0", "a-b", "1-2,3-4", "--5", "0x1-2", "bytes=0-1", "1 - 2"])
def test_other_text_is_no_range(text: str) -> None:
    with pytest.raises(click.BadParameter):
        part(text)


@pytest.mark.parametrize(("text", "size"), [("10-", 10), ("10-20", 10), ("0-0", 0), ("-1", 0)])
def test_a_range_behind_the_end_is_refused(text: str, size: int) -> None:
    with pytest.raises(InvalidInput, match=f"{size} bytes"):
        part(text).of(size)


async def test_a_range_goes_to_standard_output(casd: Run, folder: Path, data: bytes, name: str) -> None:
    version = await stored(casd, folder, b"0123456789", name)

    for what in (name, version["blob"]["uuid"], version["blob"]["sha512"]):
        assert (await casd("get", "--range", "2-4", what)).out == "234"
    assert (await casd("get", "--range", "-3", name)).out == "789"
    assert (await casd("get", "--range=8-", name, "-")).out == "89"
    assert os.listdir(folder) == []


def test_a_range_goes_into_a_file(inside: RunInside, folder: Path, data: bytes, name: str) -> None:
    (folder / "disk.img").write_bytes(data)
    made(inside, "put", str(folder / "disk.img"), name)
    target = folder / "part"

    ran = inside("get", "--range", "1000000-2000000", name, str(target))
    told = made(inside, "get", "--range", "-10", name, str(folder))

    assert target.read_bytes() == data[1_000_000:2_000_001]
    assert ran.out == f"{target}: 977 KiB, bytes 1000000-2000000 of {len(data)}, checked\n"
    assert (told["start"], told["stop"], told["size"]) == (len(data) - 10, len(data), len(data))
    assert Path(told["path"]).read_bytes() == data[-10:]
    assert set(os.listdir(folder)) == {"disk.img", name.rpartition("/")[2], "part"}


async def test_a_range_goes_on_after_a_cut(
    casd: Run, daemon: Any, remote: Remote, folder: Path, data: bytes, name: str
) -> None:
    await stored(casd, folder, data, name)

    async with Proxy(daemon.url, *[Fault("cut", after=700_000)] * 2) as proxy:
        ran = await casd("get", "--range", "500000-2499999", name, "out", env=remote(proxy.url))

    assert ran.code == 0, ran.err
    assert (folder / "out").read_bytes() == data[500_000:2_500_000]


def test_a_range_that_fails_leaves_the_target_as_it_was(inside: RunInside, folder: Path, name: str) -> None:
    (folder / "disk.img").write_bytes(b"0123456789")
    made(inside, "put", str(folder / "disk.img"), name)

    ran = inside("get", "--range", "10-", name, str(folder / "disk.img"))

    assert ran.code == 2
    assert ran.err == "casd: there are 10 bytes, none of them in this range\n"
    assert (folder / "disk.img").read_bytes() == b"0123456789"
    assert os.listdir(folder) == ["disk.img"]
