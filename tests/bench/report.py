"""What is printed and what is written: where it ran, every figure with its spread, and the targets."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import casd
from tests.bench.case import METRICS, Outcome, Sample
from tests.bench.figures import Spread, column, ratios, spread
from tests.bench.targets import Judged

CLIENT_LIMIT = 0.9  # of a core: from here on the client may be what is measured


def place(folder: Path) -> list[str]:
    """Where this ran."""
    return [
        f"casd {casd.__version__}, Python {platform.python_version()}, Linux {platform.release()}",
        f"{os.cpu_count()} cores, folder {file_system(folder)}",
        "casd is one process; nginx has one worker. Both keep an access log.",
    ]


def file_system(folder: Path) -> str:
    """The type of the file system that the folder lies in."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return f"on {max(above)[1]}"


def load_average() -> str:
    return "load average " + " ".join(f"{load:.1f}" for load in os.getloadavg())


def lines(outcome: Outcome) -> list[str]:
    """A case's figures, each side's medians with their spread, and casd's beside each other side's."""
    found = [f"{outcome.name}"]
    first, *others = outcome.samples
    for side, samples in outcome.samples.items():
        figures = [figure(metric, outcome.unit, samples) for metric in samples[0] if metric != "client"]
        found.append(f"    {side:<9} " + "   ".join(figures) + limit_note(samples))
    for other in others:
        parts = []
        for metric in outcome.samples[first][0]:
            if metric != "client" and metric in outcome.samples[other][0]:
                pairs = ratios(column(outcome.samples[first], metric), column(outcome.samples[other], metric))
                title = METRICS[metric].title.format(unit=outcome.unit)
                if pairs:
                    parts.append(f"{title} {span(spread(pairs), '{:.2f}x')}")
        found.append(f"    {first} : {other}   " + "   ".join(parts))
    return found


def figure(metric: str, unit: str, samples: Sequence[Sample]) -> str:
    known = METRICS[metric]
    if unit == "request" and metric == "cpu_s":
        return f"CPU us/request {span(spread([value * 1e6 for value in column(samples, metric)]), '{:.0f}')}"
    return f"{known.title.format(unit=unit)} {span(spread(column(samples, metric)), known.text)}"


def span(values: Spread, text: str) -> str:
    return f"{text.format(values.median)} [{text.format(values.low)}..{text.format(values.high)}]"


def limit_note(samples: Sequence[Sample]) -> str:
    """A warning where the client was busy all the time: then the server could have done more."""
    if "client" not in samples[0]:
        return ""
    busy = spread(column(samples, "client")).median
    return f"   client {busy:.2f} cores" + (" = THE LIMIT" if busy >= CLIENT_LIMIT else "")


def target_lines(judged: Sequence[Judged]) -> list[str]:
    found = []
    for each in judged:
        target = each.target
        limit = f"{'>=' if target.is_floor else '<='} {target.limit:g}"
        got = span(each.got, "{:.2f}")
        found.append(f"  {each.verdict:<15} {target.case}: {got} {target.says} (target {limit})")
    return found


def as_json(about: Sequence[str], rounds: int, outcomes: Sequence[Outcome], judged: Sequence[Judged]) -> dict[str, Any]:
    """Everything, each round's figures included."""
    return {
        "about": list(about),
        "rounds": rounds,
        "cases": [asdict(outcome) for outcome in outcomes],
        "targets": [
            {
                "case": each.target.case,
                "says": each.target.says,
                "limit": each.target.limit,
                "is_floor": each.target.is_floor,
                "got": asdict(each.got),
                "verdict": each.verdict,
            }
            for each in judged
        ],
    }
