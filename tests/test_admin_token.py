"""The admin token that is given from outside: taken, followed when it changes, and revoked when none is given."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from casd import auth
from casd.admin_token import FROM_OUTSIDE, AdminToken, given_file
from casd.daemon.data_folder import write_secret
from casd.errors import TokenFileUnusable
from tests.web.house import House, open_house, run_on

ONE, TWO = "1" * 32, "2" * 32


def in_house(tmp_path: Path, work: Callable[[House, AdminToken, Path], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_house(tmp_path / "house") as house:
            given = tmp_path / "given"
            given.write_text(ONE)
            given.chmod(0o600)
            token = AdminToken(house.store, tmp_path, given, write_secret)
            await token.ensure()
            await work(house, token, given)

    run_on("asyncio", run())


async def is_good(house: House, secret: str) -> bool:
    try:
        auth.principal_of(await house.store.catalogue.token(auth.secret_hash(secret)), house.store.now())
    except auth.Unauthenticated:
        return False
    return True


def test_the_token_follows_its_file_and_the_old_secret_ends(tmp_path: Path) -> None:
    async def work(house: House, token: AdminToken, given: Path) -> None:
        assert await is_good(house, ONE)
        await token.look_again()

        given.write_text(TWO)
        await token.look_again()

        assert [await is_good(house, secret) for secret in (ONE, TWO)] == [False, True]
        assert not (tmp_path / "admin.token").exists()

    in_house(tmp_path, work)


def test_a_file_that_becomes_unusable_leaves_the_token_as_it_is(tmp_path: Path) -> None:
    async def work(house: House, token: AdminToken, given: Path) -> None:
        given.write_text("short")
        with pytest.raises(TokenFileUnusable, match="at least 32"):
            await token.look_again()
        given.unlink()
        with pytest.raises(TokenFileUnusable, match="cannot be read"):
            await token.look_again()

        assert await is_good(house, ONE)

    in_house(tmp_path, work)


def test_a_revoked_token_comes_back_with_another_secret_alone(tmp_path: Path) -> None:
    async def work(house: House, token: AdminToken, given: Path) -> None:
        await house.store.catalogue.revoke_token(FROM_OUTSIDE, house.store.now())
        with pytest.raises(TokenFileUnusable, match="was revoked"):
            await token.look_again()
        assert not await is_good(house, ONE)

        given.write_text(TWO)
        await token.look_again()

        assert await is_good(house, TWO)

    in_house(tmp_path, work)


def test_another_tokens_secret_is_not_taken(tmp_path: Path) -> None:
    async def work(house: House, token: AdminToken, given: Path) -> None:
        given.write_text(house.secret)

        with pytest.raises(TokenFileUnusable, match="holds the secret of the token"):
            await token.look_again()

    in_house(tmp_path, work)


def test_without_a_file_the_token_from_outside_ends_and_one_of_its_own_is_made(tmp_path: Path) -> None:
    async def work(house: House, token: AdminToken, given: Path) -> None:
        await AdminToken(house.store, tmp_path, None, write_secret).ensure()

        assert not await is_good(house, ONE)
        assert await is_good(house, (tmp_path / "admin.token").read_text().strip())

    in_house(tmp_path, work)


def test_the_file_is_the_configured_one_or_else_systemds_credential(tmp_path: Path) -> None:
    configured, environment = tmp_path / "mine", {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert given_file(None, {}) is None
    assert given_file(None, environment) is None  # there is none of that name
    (tmp_path / "admin.token").write_text(ONE)
    assert given_file(None, environment) == tmp_path / "admin.token"
    assert given_file(configured, environment) == configured
