"""The benchmark's own arithmetic, and that its small form runs from end to end. No time is asserted anywhere."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench import case, figures, peers, targets
from tests.bench.figures import Spread
from tests.conftest import skip_loudly

LIMIT_S = 120


def test_a_spread_is_the_middle_the_least_and_the_greatest() -> None:
    assert figures.spread([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert figures.spread([4.0, 1.0, 2.0, 3.0]) == Spread(2.5, 1.0, 4.0)


def test_ratios_pair_what_ran_in_one_round() -> None:
    assert figures.ratios([1.0, 8.0, 5.0], [2.0, 4.0, 5.0]) == [0.5, 2.0, 1.0]


def test_a_round_without_the_other_side_has_no_ratio() -> None:
    assert figures.ratios([1.0, 8.0], [0.0, 4.0]) == [2.0]


def test_rounds_of_unequal_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        figures.ratios([1.0, 2.0], [1.0])


def test_the_tightest_limit_may_change_from_round_to_round() -> None:
    assert figures.lower_limit([1.0, 5.0], [3.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(part: float, expected: int) -> None:
    values = [float(value) for value in range(100, 0, -1)]

    assert figures.percentile(values, part) == expected


@pytest.mark.parametrize("sides", ["ab", "abc"])
def test_every_side_is_first_and_follows_every_other_equally_often(sides: str) -> None:
    orders = [figures.rotated(sides, turn) for turn in range(2 * len(sides))]

    assert all(sorted(order) == sorted(sides) for order in orders)
    assert set(Counter(order[0] for order in orders).values()) == {2}
    assert len(set(Counter(pair for order in orders for pair in pairwise(order)).values())) == 1


def test_each_round_runs_each_side_once_in_rotating_order() -> None:
    ran: list[str] = []

    def side(name: str) -> case.Sample:
        ran.append(name)
        return {"rate": float(len(ran))}

    compared = case.Case("some", {name: lambda name=name: side(name) for name in "ab"})
    (outcome,) = case.run([compared], 3)

    assert "".join(ran) == "abbaba"
    assert figures.column(outcome.samples["a"], "rate") == [1.0, 4.0, 6.0]
    assert figures.column(outcome.samples["b"], "rate") == [2.0, 3.0, 5.0]


def sample(rate: float, cpu_s: float) -> case.Sample:
    return {"rate": rate, "cpu_s": cpu_s}


def test_a_put_is_judged_by_the_lower_limit_and_by_the_sum_of_the_cpu() -> None:
    outcome = case.Outcome(
        "PUT large, 1 streams",
        "GiB",
        {
            "casd": [sample(0.9, 3.0), sample(0.4, 3.0), sample(1.0, 3.0)],
            "nginx": [sample(2.0, 1.0), sample(0.5, 1.0), sample(9.0, 1.0)],
            "hashes": [sample(1.0, 2.0), sample(1.0, 2.0), sample(1.0, 2.0)],
        },
    )

    rate, cpu = targets.judge([outcome])

    assert (rate.got, rate.verdict) == (Spread(0.9, 0.8, 1.0), "met")
    assert (cpu.got, cpu.verdict) == (Spread(1.0, 1.0, 1.0), "met")


def test_a_missed_target_tells_by_how_much() -> None:
    floor = targets.Target("case", "of it", lambda samples: [], 0.8, is_floor=True)
    ceiling = targets.Target("case", "of it", lambda samples: [], 1.2, is_floor=False)

    assert floor.verdict(Spread(0.8, 0.1, 0.9)) == "met"
    assert floor.verdict(Spread(0.6, 0.1, 0.9)) == "MISSED by 25%"
    assert ceiling.verdict(Spread(1.2, 0.1, 9.0)) == "met"
    assert ceiling.verdict(Spread(1.8, 0.1, 9.0)) == "MISSED by 50%"


def test_cpu_seconds_count_the_children_of_a_process() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert peers.cpu_s(process.pid) >= 0.2
        assert len(peers.family(process.pid)) == 2

        process.communicate(b"\n")


@pytest.mark.slow
def test_the_small_form_runs_from_end_to_end(tmp_path: Path) -> None:
    for tool in ("nginx", "wrk"):
        if not (peers.nginx_binary() if tool == "nginx" else shutil.which(tool)):
            skip_loudly(f"{tool} is not installed")
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--folder", str(tmp_path), "--json", str(written)]
    only = (
        "large, 1",
        "of 256 KiB",
        "T 4 KiB",
        "cold downloads",
        "slow PUTs",
        "by UUID",
        "by number",
        "GET checked",
        "a large",
        "hostile",
    )

    ended = subprocess.run(
        [*command, *(part for text in only for part in ("--only", text))],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=Path(__file__).parents[1],
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(written.read_text())
    names = {each["name"] for each in told["cases"]}
    assert len(names) == 20
    assert all(any(text in name for text in only) for name in names)
    assert {each["case"] for each in told["targets"]} < names
    for each in told["cases"]:
        for samples in each["samples"].values():
            assert len(samples) == told["rounds"] == 1
            assert all(value >= 0 for metric, value in samples[0].items() if metric != "client"), each
    assert "client failed" not in ended.stderr
    assert list(tmp_path.iterdir()) == [written]
