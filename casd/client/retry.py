"""When a transfer tries again, and how long it waits before."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from casd.client.errors import ClientError, ConnectionLost, Refused, Unreachable

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})  # curl's list for --retry
LASTING = frozenset({"payload-damaged", "payload-missing"})  # 5xx that only a new upload heals

T = TypeVar("T")

Notice = Callable[[ClientError, float], None]
"""Told of a failure and of the seconds until the next attempt."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a transfer is. Progress forgives every failure before it, so a long transfer over a bad
    line ends as long as each connection brings something."""

    attempts: int = 8  # in a row without progress; with the delays below about a minute, a daemon's restart
    base_s: float = 0.5
    cap_s: float = 20.0
    longest_retry_after_s: float = 300.0  # a daemon that asks for more is not waited for
    uniform: Callable[[float, float], float] = random.uniform
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def delay_s(self, failures: int, retry_after_s: float | None) -> float:
        """Seconds to wait after that many failures in a row: full jitter, never less than the daemon asked for."""
        ceiling: float = min(self.cap_s, self.base_s * 2 ** (failures - 1))
        return (retry_after_s or 0.0) + self.uniform(0, ceiling)


class Patience:
    """The failures of one transfer since its last progress."""

    def __init__(self, retry: Retry, notice: Notice | None = None) -> None:
        self._retry = retry
        self._notice = notice
        self._failures = 0

    def progressed(self) -> None:
        self._failures = 0

    async def pause(self, seconds: float) -> None:
        """Nothing failed, but something may be different later."""
        await self._retry.sleep(seconds)

    async def after(self, error: ClientError, *, may_help: bool = False) -> None:
        """The next attempt may start. Raises `error` where it would not help, or the bound is reached.

        With `may_help` the next attempt is another one than the one that failed.
        """
        self._failures += 1
        retry_after_s = error.retry_after_s if isinstance(error, Refused) else None
        if not (may_help or is_transient(error)) or self._failures >= self._retry.attempts:
            raise error
        if retry_after_s is not None and retry_after_s > self._retry.longest_retry_after_s:
            raise error
        delay_s = self._retry.delay_s(self._failures, retry_after_s)
        if self._notice:
            self._notice(error, delay_s)
        await self._retry.sleep(delay_s)


async def retried(retry: Retry, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer to what may be asked again and again."""
    patience = Patience(retry)
    while True:
        try:
            return await ask()
        except ClientError as error:
            await patience.after(error)


def is_transient(error: ClientError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, Refused):
        return error.status in TRANSIENT and error.code not in LASTING
    return isinstance(error, ConnectionLost | Unreachable)
