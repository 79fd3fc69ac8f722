"""`casd status --watch`: how the daemon is, drawn anew every two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from casd.cli.text import human_size, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from casd.client import Client, Status

INTERVAL_S = 2.0

Facts = dict[str, "str | None"]


async def watched(
    client: Client, facts: Callable[[Status], Facts], console: Console | None = None, interval_s: float = INTERVAL_S
) -> None:
    """Drawn until it is cancelled; the terminal is then as it was before."""
    from rich.console import Console
    from rich.live import Live

    before: Status | None = None
    with Live(console=console or Console(), screen=True, auto_refresh=False) as live:
        while True:
            now = await client.operations.status()
            told = facts(now)
            rates = {"a second": moving(before, now)}
            live.update(
                drawn({"watching": "Ctrl-C ends", "daemon": told.pop("daemon", None)} | rates | told, live.console),
                refresh=True,
            )
            before = now
            await asyncio.sleep(interval_s)


def moving(before: Status | None, now: Status) -> str:
    """How many requests and bytes there were in each second between the two."""
    if before is None or now.uptime_s <= before.uptime_s:  # it was restarted
        return "..."
    span_s = now.uptime_s - before.uptime_s
    requests, received, sent = (
        max(0, now.json["moved"][what] - before.json["moved"][what]) / span_s
        for what in ("requests", "received_bytes", "sent_bytes")
    )
    return f"{requests:.1f} requests, {human_size(round(received))} received, {human_size(round(sent))} sent"


def drawn(facts: Facts, console: Console) -> Text:
    """A fact a line, each cut at the terminal's edge, and so many as there are lines."""
    from rich.text import Text

    shown = {key: value for key, value in facts.items() if value is not None}
    width = max(map(len, shown), default=0)
    lines = [printable(f"{key:<{width}} {value}") for key, value in shown.items()][: console.height]
    return Text("\n".join(line[: console.width] for line in lines), no_wrap=True, overflow="crop")
