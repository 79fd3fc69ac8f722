"""multipart/form-data as real clients write it and as hostile ones do, in pieces of any size."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.errors import InvalidInput, TooLarge, UnsupportedEncoding
from casd.web.forms import Form, disposition
from casd.web.keys import LIMITS, Limits
from casd.web.traffic import TRAFFIC, ConnectionLimits, Traffic

LIMIT = 1 << 20
BOUNDARY = "a-boundary"


class Pieces:
    """What `request.content` is to a form."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    async def readany(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


class Bag:
    def __init__(self) -> None:
        self.data = b""

    async def append(self, data: bytes) -> None:
        self.data += data


class Asked(dict[Any, Any]):
    """What a form needs of a request, which is a mapping as well."""

    def __init__(self, content_type: str, content: Any) -> None:
        self.headers = {"Content-Type": content_type}
        self.content = content
        self.content_length = None
        self.app = {LIMITS: Limits(LIMIT, 30, 3600), TRAFFIC: Traffic(ConnectionLimits(30, 30, 0, 0))}


def request_of(pieces: Sequence[bytes], content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Any:
    return Asked(content_type, Pieces(pieces))


async def taken(request: Any) -> list[tuple[dict[str, str], bytes]]:
    found = []
    async for part in Form(request):
        bag = Bag()
        await part.receive(bag)
        found.append((dict(part.headers), bag.data))
    return found


def written(*parts: tuple[dict[str, str], bytes], boundary: str = BOUNDARY) -> bytes:
    """A form as the RFC says."""
    text = b""
    for headers, body in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        text += f"--{boundary}\r\n{lines}\r\n".encode() + body + b"\r\n"
    return text + f"--{boundary}--\r\n".encode()


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


NEARLY = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"\r\n--a-boundar", b"a-boundary", b"x", b"\0"])
).map(b"".join)


@given(st.lists(NEARLY, max_size=4), st.lists(st.integers(0, 10_000), max_size=20))
def test_parts_come_out_as_they_went_in_whatever_the_pieces(bodies: list[bytes], places: list[int]) -> None:
    parts = [({"content-disposition": f'form-data; name="{at}"'}, body) for at, body in enumerate(bodies)]
    if any(f"\r\n--{BOUNDARY}".encode() in b"\r\n" + body for body in bodies):
        return  # then it would not be this form's boundary

    found = asyncio.run(taken(request_of(cut(written(*parts), places))))

    assert found == parts


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--a-boundary",
        b"--a-boundary\r\n",
        b"--a-boundary\r\n\r\n",
        b"--a-boundary\r\n\r\nbody",
        b"--a-boundary\r\n\r\nbody\r\n--a-boundary",
        b"--a-boundary\r\n\r\nbody\r\n--a-boundary-",
        b"--a-boundaryx\r\n\r\nbody\r\n--a-boundary--",
        b"--a-boundary\r\nno header\r\n\r\nbody\r\n--a-boundary--",
        b"--a-boundary\r\n: x\r\n\r\nbody\r\n--a-boundary--",
        b"--a-boundary\r\na: " + b"x" * 20_000 + b"\r\n\r\nbody\r\n--a-boundary--",
        b"--a-boundary\r\n" + b"a: b\r\n" * 1000,
        b"".join(b"--a-boundary\r\na%d: b\r\n\r\n\r\n" % at for at in range(200)) + b"--a-boundary--",
        b"no form at all",
    ],
)
def test_a_broken_form_is_invalid_input(form: bytes) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(taken(request_of([form])))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=9))
def test_noise_is_a_client_error_or_a_form(noise: bytes, places: list[int]) -> None:
    form = b"--a-boundary" + noise.replace(b"~", b"\r\n--a-boundary")

    with suppress(InvalidInput, TooLarge, UnsupportedEncoding):
        asyncio.run(taken(request_of(cut(form, places))))


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
    ],
)
def test_what_is_no_form_is_invalid_input(content_type: str) -> None:
    with pytest.raises(InvalidInput):
        Form(request_of([], content_type))


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="a-boundary"',
        "Multipart/Form-Data;boundary=a-boundary; dp-files=True",
        "multipart/form-data; charset=utf-8; BOUNDARY=a-boundary",
    ],
)
def test_the_boundary_is_found_beside_other_parameters(content_type: str) -> None:
    assert asyncio.run(taken(request_of([written(({}, b"x"))], content_type))) == [({}, b"x")]


def test_a_part_that_is_not_read_is_skipped() -> None:
    async def names() -> list[str | None]:
        form = written(*(({"content-disposition": f'form-data; name="{at}"'}, b"x" * 1000) for at in range(3)))
        return [part.name async for part in Form(request_of([form]))]

    assert asyncio.run(names()) == ["0", "1", "2"]


def test_a_part_past_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        asyncio.run(taken(request_of([written(({}, bytes(LIMIT + 1)))])))


@pytest.mark.parametrize("header", ["content-encoding", "content-transfer-encoding"])
def test_a_part_that_is_encoded_is_refused(header: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        asyncio.run(taken(request_of([written(({header: "base64"}, b"eA=="))])))


@pytest.mark.parametrize(
    ("value", "name", "filename"),
    [
        ('form-data; name="file"; filename="photo.png"', "file", "photo.png"),  # most
        ("form-data; name=file; filename=photo.png", "file", "photo.png"),
        ('form-data; name="file"; filename="ü 50%.png"', "file", "ü 50%.png"),  # browsers, urllib3 2
        ('form-data; name="file"; filename="a%22b.png"', "file", 'a"b.png'),  # the same, of a quote
        (r'form-data; name="file"; filename="a\"b.png"', "file", 'a"b.png'),  # curl before 7.81
        ("form-data; name=\"file\"; filename*=utf-8''%C3%BC.png", "file", "ü.png"),  # urllib3 1.26
        ('form-data; name="file"; filename="a;b=c.png"', "file", "a;b=c.png"),
        ('form-data; name="file"', "file", None),
        ('form-data; name="file"; filename=""', "file", None),
        ('form-data; filename="x"', None, "x"),
        ("", None, None),
    ],
)
def test_names_are_read_as_clients_write_them(value: str, name: str | None, filename: str | None) -> None:
    found = disposition({"content-disposition": value})

    assert (found.get("name"), found.get("filename") or None) == (name, filename)
