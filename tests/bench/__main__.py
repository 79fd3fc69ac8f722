"""The command: `python -m tests.bench`. See the package's docstring."""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import catalogues, checked, crowd, latency, moving, transfers
from tests.bench.case import Case, Outcome, run
from tests.bench.peers import Casd, Nginx, nginx_binary
from tests.bench.report import as_json, lines, load_average, place, target_lines
from tests.bench.targets import judge

FULL = transfers.Sizes(large_bytes=1 << 30, parallel_bytes=256 << 20, for_s=3.0)
QUICK = transfers.Sizes(large_bytes=8 << 20, parallel_bytes=1 << 20, for_s=0.15)
QUICK_MOVED = 256 << 20  # by whole commands: less than this is their start
FULL_CATALOGUES = [10_000, 100_000, 1_000_000]
QUICK_CATALOGUES = [100, 1000]
SLOW_S = 4.0
QUICK_SLOW_S = 0.2


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    for tool, package in (("nginx", "nginx"), ("wrk", "wrk")):
        if not (nginx_binary() if tool == "nginx" else shutil.which(tool)):
            print(f"{tool} is not installed: apt install {package}", file=sys.stderr)
            return 2
    rounds = options.rounds or (1 if options.quick else 5)
    with tempfile.TemporaryDirectory(prefix="casd-bench-", dir=options.folder) as name:
        root = Path(name)
        about = [*place(root), f"{rounds} rounds; at the start {load_average()}"]
        print("\n".join(about), flush=True)
        outcomes = []
        for outcome in measured(root, rounds, options.only, options.quick):
            outcomes.append(outcome)
            print("\n".join(lines(outcome)), flush=True)
    about.append(f"at the end {load_average()}")
    judged = judge(outcomes)
    print("\n".join([about[-1], *target_lines(judged)]))
    if options.quick:
        print("  tiny sizes: none of these figures means anything")
    if options.json:
        options.json.write_text(json.dumps(as_json(about, rounds, outcomes, judged), indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description="casd beside nginx and the machine's limits.")
    parser.add_argument("--rounds", type=int, help="how often each side of each case is run (5; 1 with --quick)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="cases with TEXT in their names")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured (the system's temporary one)")
    return parser.parse_args()


def measured(root: Path, rounds: int, only: list[str], quick: bool) -> Iterator[Outcome]:
    """Run what is wanted, each group with servers of its own."""
    with transfer_servers(root, QUICK if quick else FULL) as at:
        cases = transfers.cases(at) + latency.cases(at, QUICK_SLOW_S if quick else SLOW_S)
        yield from run(wanted(cases, only), rounds)
    checking = checked.Checked(root, QUICK if quick else FULL)
    if chosen := wanted(checked.cases(checking), only):
        try:
            checking.prepare()
            yield from run(chosen, rounds)
        finally:
            checking.stop()
    among = crowd.Crowd(root, QUICK_SLOW_S if quick else SLOW_S)
    if chosen := wanted(crowd.cases(among), only):
        try:
            among.prepare()
            yield from run(chosen, rounds)
        finally:
            among.stop()
    mover = moving.Moving(root / "moving", QUICK_MOVED if quick else FULL.large_bytes)
    if chosen := wanted(moving.cases(mover), only):
        try:
            mover.prepare()
            yield from run(chosen, rounds)
        finally:
            mover.stop()
    filled = catalogues.Catalogues(
        root, QUICK_CATALOGUES if quick else FULL_CATALOGUES, (QUICK if quick else FULL).for_s
    )
    if chosen := wanted(catalogues.cases(filled), only):
        try:
            filled.prepare()
            yield from run(chosen, rounds)
        finally:
            filled.stop()


def wanted(cases: list[Case], only: list[str]) -> list[Case]:
    return [case for case in cases if not only or any(text in case.name for text in only)]


@contextlib.contextmanager
def transfer_servers(root: Path, sizes: transfers.Sizes) -> Iterator[transfers.Transfers]:
    casd = Casd(root / "casd", CASD_UPKEEP__GRACE_S="0")
    nginx = Nginx(root / "nginx")
    try:
        casd.start()
        nginx.start()
        yield transfers.Transfers(casd, nginx, root, sizes)
    finally:
        nginx.stop()
        casd.stop()


if __name__ == "__main__":
    sys.exit(main())
