"""Malformed requests over raw sockets: each is answered by a refusal, or the connection ends; nothing else happens."""

import pytest

from tests.hostile import malformed_asking, malformed_bodies, malformed_heads
from tests.hostile.case import CLOSED, UUID, Case, Known, Maker
from tests.hostile.conftest import Target
from tests.hostile.sender import Heard, hear_all

MAKERS = (*malformed_heads.MAKERS, *malformed_bodies.MAKERS, *malformed_asking.MAKERS)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
async def test_a_malformed_request_is_refused_and_nothing_else_happens(target: Target, maker: Maker) -> None:
    cases = list(maker(target.known))

    heard = await hear_all(target.daemon, [case.sent for case in cases])

    assert [text for case, answer in zip(cases, heard, strict=True) if (text := complaint(case, answer))] == []


def complaint(case: Case, heard: Heard) -> str | None:
    """What is wrong with the answer; None if nothing is."""
    if heard.is_hung:
        return f"{case.label}: hangs after {heard.raw[:60]!r}"
    if b"Traceback" in heard.raw:
        return f"{case.label}: shows a traceback"
    said = set(heard.statuses) or {CLOSED}
    return (
        None
        if said <= set(case.allowed)
        else f"{case.label}: {said} not in {sorted(case.allowed)}: {heard.raw[-150:]!r}"
    )


def test_the_table_has_more_than_five_hundred_different_requests() -> None:
    known = Known("casd_x", f"/v1/blobs/{UUID}/data", "/v1/names/default/known", f"/v1/uploads/{UUID}", UUID)

    assert len({case.sent for maker in MAKERS for case in maker(known)}) > 1500
