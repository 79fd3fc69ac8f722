"""Craft AI's page promise by promise, with seven releases of its real SDK."""

import asyncio
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.dialects.craftai.conftest import VERSIONS, Sdk, User, told_by, where
from tests.proxy import Fault, Proxy
from tests.web.wire import incoming, wait_until

SIZE = 70_001
IN_PARTS = ("0.46.2", "0.53.0", "0.55.2", "0.66.1", "0.74.7")
FORGETFUL = ("0.55.2", "0.66.1", "0.74.7")  # of the last byte of an object that is one longer than its parts
ALIKE = ("0.15.0", "0.19.0")  # sizes are integers; later SDKs make text of them


@pytest.fixture(scope="session")
def told(service: Daemon, sdks: dict[str, Sdk], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What each version saw when it followed the page, all at once, each in an environment of its own."""
    folder = tmp_path_factory.mktemp("page")
    users = {version: User(service) for version in VERSIONS}
    begun = {
        version: sdk.begin(
            "page.py",
            *(["parts"] if version in IN_PARTS else []),
            *(["iter"] if version == "0.74.7" else []),
            folder=folder / version,
            **where(service, users[version].token, users[version].environment),
        )
        for version, sdk in sdks.items()
    }
    yield {version: told_by(process) for version, process in begun.items()}
    for user in users.values():
        user.close()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def seen(told: dict[str, Any], version: str) -> Any:
    return told[version]


def size_text(version: str, size: int) -> Any:
    return size if version in ALIKE else f"{size:.2f} B" if size < 1024 else f"{size / 1024:.2f} KB"


def check_item(item: dict[str, Any], version: str, path: str, size: int) -> None:
    assert set(item) == {"path", "last_modified", "size"}
    assert item["path"] == path
    assert item["size"] == size_text(version, size)
    assert datetime.fromisoformat(item["last_modified"]).tzinfo is not None


# -- the page -----------------------------------------------------------------------------------------------------


def test_an_object_is_uploaded_from_a_path_or_a_buffer_and_none_is_returned(seen: Any) -> None:
    assert seen["uploaded"] == [None, None]


def test_an_object_is_downloaded_to_a_path_or_a_buffer_and_none_is_returned(seen: Any) -> None:
    assert seen["downloaded"] == [None, None]
    assert seen["same"] == [True, True, True]


def test_information_has_path_time_and_size(seen: Any, version: str) -> None:
    check_item(seen["information"], version, "folder/by path.bin", SIZE)


def test_a_list_has_all_objects_with_path_time_and_size(seen: Any, version: str) -> None:
    paths = ["folder/by buffer.bin", "folder/by file.bin", "folder/by path.bin"]
    assert len(seen["listed"]) == len(paths)
    for item, path in zip(seen["listed"], paths, strict=True):
        check_item(item, version, path, SIZE)


def test_deleting_returns_the_path_and_the_object_is_gone(seen: Any) -> None:
    assert seen["deleted"] == {"path": "folder/by path.bin"}
    assert seen["left"] == ["empty", "folder/by buffer.bin", "folder/by file.bin"]
    for status, name, message, request_id in seen["gone"]:
        assert (status, name) == (404, "name-not-found")
        assert message
        assert request_id


# -- beside it ----------------------------------------------------------------------------------------------------


def test_who_am_i_has_three_fields(seen: Any) -> None:
    assert set(seen["me"]) == {"id", "name", "email"}
    assert seen["me"]["name"] == "a writer"


def test_uploading_again_replaces(seen: Any) -> None:
    assert seen["replaced"] == "new"


def test_nothing_at_all_is_an_object_too(seen: Any, version: str) -> None:
    assert seen["empty"] == [0, size_text(version, 0)]


def test_names_come_back_as_they_were(seen: Any) -> None:
    assert len(seen["names"]) > 10
    for name, informed, content, deleted in seen["names"]:
        assert [informed, content, deleted] == [name] * 3


def test_empty_segments_of_a_path_mean_nothing_in_all_calls(seen: Any) -> None:
    assert seen["slashes"] == ["slashes", "a/b"]


def test_a_path_that_cannot_be_is_refused_with_a_reason(seen: Any) -> None:
    status, _, message, _ = seen["refused"]
    assert status == 400
    assert ".." in message


def test_a_folder_is_listed_alone(told: dict[str, Any]) -> None:
    assert told["0.74.7"]["folder"] == ["folder/by buffer.bin", "folder/by file.bin"]


@pytest.mark.parametrize("version", IN_PARTS)
@pytest.mark.parametrize("size", [10_000, 12_000, 13_999])
def test_large_objects_go_in_parts(told: dict[str, Any], version: str, size: int) -> None:
    assert told[version]["parts"][str(size)] == [True, "succeeded", None]


@pytest.mark.parametrize("version", FORGETFUL)
def test_an_object_whose_last_byte_a_new_sdk_forgets_is_refused(told: dict[str, Any], version: str) -> None:
    whole, status, name, message, _ = told[version]["parts"]["12001"]
    assert (whole, status, name) == (False, 400, "part-mismatch")
    assert "CRAFT_AI__MULTIPART_PART_SIZE__B" in message


@pytest.mark.parametrize("version", sorted(set(IN_PARTS) - set(FORGETFUL)))
def test_older_sdks_send_that_byte(told: dict[str, Any], version: str) -> None:
    assert told[version]["parts"]["12001"] == [True, "succeeded", None]


# -- among each other, and with others ----------------------------------------------------------------------------


def test_every_version_reads_what_every_other_has_stored(
    service: Daemon, sdks: dict[str, Sdk], us: User, tmp_path: Path
) -> None:
    at = where(service, us.token)  # no environment in the URL: the token's home
    writing = [sdk.begin("habits.py", "leave", name, folder=tmp_path, **at) for name, sdk in sdks.items()]
    assert [told_by(process) for process in writing] == [None] * len(VERSIONS)

    reading = [sdk.begin("habits.py", "read", *VERSIONS, folder=tmp_path, **at) for sdk in sdks.values()]

    assert [told_by(process) for process in reading] == [{name: f"of {name}" for name in VERSIONS}] * len(VERSIONS)
    assert us.paths() == sorted(VERSIONS)


def test_readers_read_and_are_forbidden_to_write(
    service: Daemon, sdks: dict[str, Sdk], us: User, tmp_path: Path
) -> None:
    us.store("theirs", b"data")
    at = where(service, us.reader_token)

    begun = {v: sdk.begin("habits.py", "everything", "theirs", folder=tmp_path, **at) for v, sdk in sdks.items()}

    for process in begun.values():
        seen = told_by(process)
        assert [seen[call][0] for call in ("me", "list", "information", "download")] == ["succeeded"] * 4
        assert seen["download"][1] == 4
        for call in ("upload", "delete"):
            assert seen[call][:2] == [403, "forbidden"]
            assert "writer" in seen[call][2]
    assert us.fetch("theirs") == b"data"


@pytest.mark.parametrize("who", ["stranger", "wrong"])
def test_strangers_find_nothing_and_wrong_tokens_open_nothing(
    service: Daemon, sdks: dict[str, Sdk], us: User, them: User, tmp_path: Path, who: str
) -> None:
    us.store("theirs", b"data")
    at = where(service, them.token if who == "stranger" else "casd_wrong", us.environment)

    begun = {v: sdk.begin("habits.py", "everything", "theirs", folder=tmp_path, **at) for v, sdk in sdks.items()}

    for process in begun.values():
        seen = told_by(process)
        me = seen.pop("me")
        assert me[0] == ("succeeded" if who == "stranger" else 401)
        assert {outcome[0] for outcome in seen.values()} == {404 if who == "stranger" else 401}
    assert us.fetch("theirs") == b"data"


def test_an_sdk_renews_an_access_token_that_is_refused(service: Daemon, us: User, sdk: Sdk, tmp_path: Path) -> None:
    first, second, third = sdk.run("habits.py", "renews", folder=tmp_path, **where(service, us.token))

    assert (first, second, third) == (["succeeded", []], 401, ["succeeded", []])


@pytest.mark.parametrize("version", ["0.19.0", "0.74.7"])
async def test_an_upload_that_is_cut_leaves_nothing(
    service: Daemon, us: User, sdks: dict[str, Sdk], tmp_path: Path, version: str
) -> None:
    before = incoming(service)
    async with Proxy(service.url, *[Fault("cut", 200_000, "requests")] * 9) as proxy:  # only the form is that long
        at = where(service, us.token) | {"environment_url": proxy.url, "control_url": proxy.url}
        process = sdks[version].begin("habits.py", "attempt", "large", "3000000", folder=tmp_path, **at)
        outcome = await asyncio.to_thread(told_by, process)

    assert outcome == ["ConnectionError"]
    wait_until(lambda: incoming(service) == before, "the stage is gone")
    assert us.paths() == []


@pytest.mark.parametrize("version", ["0.19.0", "0.74.7"])
async def test_a_download_that_is_cut_does_not_look_complete(
    service: Daemon, us: User, sdks: dict[str, Sdk], tmp_path: Path, version: str
) -> None:
    us.store("large", bytes(3_000_000))
    async with Proxy(service.url, *[Fault("cut", 1_000_000)] * 9) as proxy:
        at = where(service, us.token) | {"environment_url": proxy.url, "control_url": proxy.url}
        process = sdks[version].begin("habits.py", "attempt", "read", "large", folder=tmp_path, **at)
        outcome = await asyncio.to_thread(told_by, process)

    assert outcome in (["ChunkedEncodingError"], ["ConnectionError"])


@pytest.mark.slow
def test_300_mb_go_up_and_down_in_the_sdks_own_parts(
    service: Daemon, us: User, sdks: dict[str, Sdk], tmp_path: Path
) -> None:
    size, before = 300_000_000, incoming(service)
    sent, received = sdks["0.74.7"].run("habits.py", "large", str(size), folder=tmp_path, **where(service, us.token))

    assert sent == received
    assert os.path.getsize(service.data / "payloads" / sent[:2] / sent[2:4] / sent) == size
    assert incoming(service) == before
