"""Malformed requests over raw sockets: each is answered by a refusal, or the connection ends; nothing else happens."""

import random
from collections.abc import Sequence

import pytest

from tests.hostile import malformed_asking, malformed_bodies, malformed_heads
from tests.hostile.case import CLOSED, GOOD, REFUSED, UUID, Case, Known, Maker, request, with_body
from tests.hostile.conftest import Target
from tests.hostile.malformed_bodies import BOUNDARY, PART
from tests.hostile.sender import Heard, hear_all

TRIES = 5
MAKERS = (*malformed_heads.MAKERS, *malformed_bodies.MAKERS, *malformed_asking.MAKERS)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
async def test_a_malformed_request_is_refused_and_nothing_else_happens(hasty_target: Target, maker: Maker) -> None:
    assert await complaints(hasty_target, list(maker(hasty_target.known))) == []


@pytest.mark.parametrize("seed", range(4))
async def test_good_requests_with_mistakes_in_them_are_survived(hasty_target: Target, seed: int) -> None:
    goods = enumerate(good_requests(hasty_target.known) * 20)
    spoilt = [spoil(good, random.Random(f"{seed} {at}")) for at, good in goods]
    allowed = GOOD | REFUSED | {CLOSED, 401, 403, 501, 505}

    assert await complaints(hasty_target, [Case(repr(sent[:60]), sent, allowed) for sent in spoilt]) == []


async def complaints(target: Target, cases: Sequence[Case]) -> list[str]:
    """What is wrong with the answers. Who was told that it is too slow, as a busy machine makes it, tries again."""
    found = []
    for _ in range(TRIES):
        heard = await hear_all(target.daemon, [case.sent for case in cases])
        wrong = [(case, answer) for case, answer in zip(cases, heard, strict=True) if complaint(case, answer)]
        cases = [case for case, answer in wrong if set(answer.statuses) <= {408}]
        found = [str(complaint(case, answer)) for case, answer in wrong]
        if len(cases) < len(wrong) or not cases:
            break
    return found


def good_requests(known: Known) -> list[bytes]:
    """One of each way in which bytes and facts are sent."""
    tus, kind = "Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream"
    form = PART.replace(b'"file"', b'"uploaded_file"') + PART.replace(b'"file"; filename="f"', b'"json_data"')
    form = form.replace(b'"json_data"\r\n\r\nx', b'"json_data"\r\n\r\n{"name": "spoilt"}') + b"--b--\r\n"
    json_type = "Content-Type: application/json"
    token = b'{"name": "a", "role": "reader", "namespaces": ["default"], "expires_in": 60}'
    return [
        request(known, f"GET {known.blob}?offset=1&length=5", "If-None-Match: *"),
        request(known, f"GET {known.name}?version=1", "Range: bytes=0-3, 7-9", 'If-Range: "x"'),
        with_body(known, "POST /v1/blobs?filename=a&expires_in=60", b"0123456789", "Content-Type: text/plain"),
        request(
            known, "PUT /v1/names/default/spoilt", "Transfer-Encoding: chunked", body="5;a=b\r\n01234\r\n0\r\n\r\n"
        ),
        with_body(known, "POST /v1/tokens", token, json_type),
        with_body(known, "POST /api/blobs/", form, "Content-Type: multipart/form-data; boundary=b"),
        with_body(known, "POST /workspaces/default/files", PART + b"--b--\r\n", f"Content-Type: {BOUNDARY}"),
        request(known, "POST /v1/uploads", tus, "Upload-Length: 5", "Upload-Metadata: filename YQ==,name YQ=="),
        with_body(known, f"PATCH {known.upload}", b"x", tus, kind, "Upload-Offset: 5", "Upload-Checksum: sha1 AAAA"),
        with_body(known, "POST /auth", b'{"namespace": "default", "key": "x"}', json_type),
    ]


def spoil(data: bytes, dice: random.Random) -> bytes:
    """The data after one to four small accidents."""
    for _ in range(dice.randint(1, 4)):
        at, size = dice.randrange(len(data) + 1), dice.randint(0, 9)
        match dice.randrange(5):
            case 0:
                data = data[:at] + data[at + size :]
            case 1:
                data = data[:at] + data[at : at + size] + data[at:]
            case 2:
                data = data[:at] + dice.randbytes(size) + data[at + size :]
            case 3:
                data = data[:at] + dice.choice(SIGNS) + data[at:]
            case 4:
                lines = data.split(b"\r\n")
                lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
                data = b"\r\n".join(lines)
    return data


SIGNS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b":",
    b";",
    b",",
    b'"',
    b"%",
    b"%00",
    b"%2F",
    b"../",
    b"?",
]
SIGNS += [b"#", b"-", b"+", b"0", b"9" * 20, b"{", b"[", b"null", b"--b", b"=", b"*", "\u2028".encode(), b"\\"]


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
