"""How long a transfer waits, and for what."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casd.client import ConnectionLost, DigestDiffers, Refused, Retry, UnexpectedAnswer, Unreachable
from casd.client.errors import ClientError
from casd.client.retry import is_transient
from casd.client.transport import retry_after_s
from casd.model import Digest

NOW = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("Sat, 21 Nov 2026 08:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(failures=st.integers(1, 100), asked=st.none() | st.floats(0, 300))
def test_a_delay_is_never_shorter_than_asked_nor_longer_than_the_cap_adds(failures: int, asked: float | None) -> None:
    retry = Retry()

    delay_s = retry.delay_s(failures, asked)

    assert (asked or 0.0) <= delay_s <= (asked or 0.0) + retry.cap_s


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionLost("cut"), True),
        (Unreachable("restarting"), True),
        (Refused(503, "busy", "later"), True),
        (Refused(429, "too-many", "later"), True),
        (Refused(500, "payload-damaged", "never"), False),
        (Refused(404, "blob-not-found", "no"), False),
        (Refused(507, "storage-full", "no"), False),
        (UnexpectedAnswer("a wifi portal"), False),
        (DigestDiffers("x", Digest(bytes(64)), Digest(bytes(64))), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: ClientError, transient: bool) -> None:
    assert is_transient(error) is transient
