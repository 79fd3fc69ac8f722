"""`/metrics`: every family is documented, promtool finds nothing, and the figures are those of what was done."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as families_in
from prometheus_client.samples import Sample

from casd.cli.topics import TEXTS
from casd.daemon.composition import DIALECTS
from casd.distribution import Distribution
from casd.errors import StorageFailed
from casd.web.families import FAMILIES, Family, Kind
from casd.web.scrape import scraped as scrape
from tests.conftest import Daemon, skip_loudly
from tests.web.house import open_house, run_on
from tests.web.wire import Wire, ask, head, raw, stored, wait_until

TEXT = (TEXTS / "metrics.md").read_text()
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}


def scraped(daemon: Daemon) -> str:
    answer = ask(daemon, "GET", "/metrics", token=None)
    assert answer.status == 200
    return answer.body.decode()


def figure(text: str, name: str, **labels: str) -> float:
    """The one figure with these labels, 0 without one."""
    found = [
        sample.value
        for family in families_in(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) < 2, found
    return found[0] if found else 0


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a daemon tells that has done a little of everything."""
    daemon = Daemon(tmp_path_factory.mktemp("busy") / "data").start()
    try:
        with Wire(daemon) as wire:
            uuid = stored(wire, bytes(100_000)).json["uuid"]
            stored(wire, bytes(100_000))
            wire.ask("GET", f"/v1/blobs/{uuid}/data")
            wire.ask("GET", "/nowhere")
            wire.ask("PROPFIND", f"/v1/blobs/{uuid}")
            wire.ask("POST", "/v1/upkeep/expire")
            wire.ask("POST", "/v1/upkeep/scrub")
            begun = wire.ask("POST", "/v1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "5"})
            assert begun.status == 201
            last = wire.ask("GET", "/api/v1/data-store/information")
            assert last.status in (404, 405)
            wait_until(lambda: figure(scraped(daemon), "casd_blobs") == 2, "the rows are counted again")
            return scraped(daemon)
    finally:
        assert daemon.stop() == 0


# -- what is told ---------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_what_was_done(busy: str) -> None:
    def told(name: str, **labels: str) -> float:
        return figure(busy, name, **labels)

    data = {"dialect": "native", "route": "/v1/blobs/{uuid}/data", "method": "GET"}
    added = {"dialect": "native", "route": "/v1/blobs", "method": "POST"}
    assert told("casd_requests_total", **data, status="200") == 1
    assert told("casd_requests_total", **added, status="201") == 2
    assert told("casd_response_seconds_count", **added) == 2
    assert 0 < told("casd_response_seconds_sum", **added) < 60
    assert told("casd_requests_total", route="unmatched", method="GET", status="404") == 1
    assert told("casd_requests_total", route="unmatched", method="other", status="405") == 1
    assert told("casd_requests_total", dialect="tus", route="/v1/uploads", method="POST", status="201") == 1
    assert told("casd_received_bytes_total", dialect="native") == 200_000
    assert told("casd_sent_bytes_total", dialect="native") > 100_000
    assert (told("casd_blobs"), told("casd_payloads")) == (2, 1)
    assert (told("casd_logical_bytes"), told("casd_physical_bytes")) == (200_000, 100_000)
    assert (told("casd_stored_payloads_total"), told("casd_deduplicated_payloads_total")) == (2, 1)
    assert (told("casd_stored_bytes_total"), told("casd_deduplicated_bytes_total")) == (200_000, 100_000)
    assert told("casd_open_uploads") == 1
    assert told("casd_free_bytes") > 0
    assert told("casd_commit_seconds_count") >= 4
    assert told("casd_commit_operations_sum") >= told("casd_commit_operations_count")
    assert told("casd_lookups_total", result="hit") > 0
    assert told("casd_checked_bytes_total") == 100_000
    assert told("casd_upkeep_runs_total", kind="scrub", result="done") == 1
    assert told("casd_upkeep_runs_total", kind="scrub", result="failed") == 0
    assert told("casd_upkeep_success_timestamp_seconds", kind="expire") > 1.7e9
    assert told("casd_oldest_check_timestamp_seconds", depth="light") > 1.7e9
    assert told("casd_build_info") == 1
    assert told("process_resident_memory_bytes") > 1 << 20


def test_a_broken_request_is_told_by_how_it_ended(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()
    with raw(daemon) as connection:
        connection.send(head(daemon, "POST /v1/blobs", "Content-Length: 150000") + "x")

    wait_until(lambda: figure(scraped(daemon), "casd_broken_requests_total", ending="hung-up") == 1, "it ended")

    assert figure(scraped(daemon), "casd_requests_total", route="/v1/blobs", status="none") == 1


def test_labels_come_from_closed_lists(busy: str) -> None:
    routes = {route.path for dialect in DIALECTS for route in dialect.routes}
    samples = [sample for family in families_in(busy) for sample in family.samples]

    assert {sample.labels["dialect"] for sample in samples if "dialect" in sample.labels} <= {
        dialect.name for dialect in DIALECTS
    }
    told = {sample.labels["route"] for sample in samples if "route" in sample.labels}
    assert told <= {"unmatched", *(re.sub(r"\{(\w+):.*?\}(?=/|$)", r"{\1}", path) for path in routes)}
    assert {sample.labels["method"] for sample in samples if "method" in sample.labels} == {"GET", "POST", "other"}


def test_it_is_the_same_in_open_metrics(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon().start()

    answer = ask(daemon, "GET", "/metrics", headers=OPEN_METRICS, token=None)
    odd = ask(daemon, "GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=x.y;escaping=?"})

    assert answer["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    told = {family.name for family in open_metrics(answer.body.decode())}
    assert {family.name for family in FAMILIES} <= told
    assert odd.status == 200


def test_what_a_broken_disk_cannot_tell_is_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def fail() -> int:
            raise StorageFailed("the disk is gone")

        async with open_house(tmp_path / "house") as house:
            house.store.payloads.free_bytes = fail  # type: ignore[method-assign]

            text, _ = await scrape(house.metrics, "")

        assert b"casd_connections 0.0" in text
        assert b"\ncasd_free_bytes " not in text
        assert b"\ncasd_commit_seconds_count " in text

    run_on("asyncio", scenario())


# -- who may ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"])
def test_what_a_proxy_on_this_machine_forwards_wants_a_token(new_daemon: Callable[..., Daemon], name: str) -> None:
    daemon = new_daemon(CASD_SERVER__TRUSTED_PROXIES="127.0.0.1").start()
    value = {"Forwarded": "for=127.0.0.1", "Via": "1.1 proxy", "X-Forwarded-Proto": "http"}.get(name, "127.0.0.1")
    token = ask(daemon, "POST", "/v1/tokens", {"name": "eye", "role": "reader", "namespaces": ["x"]}).json["token"]

    assert ask(daemon, "GET", "/metrics", token=None).status == 200
    forwarded = ask(daemon, "GET", "/metrics", token=None, headers={name: value})
    assert (forwarded.status, forwarded.code) == (401, "unauthenticated")
    assert ask(daemon, "GET", "/metrics", token=token, headers={name: value}).status == 200
    assert ask(daemon, "GET", "/metrics", token="casd_wrong").status == 401


# -- what is documented ---------------------------------------------------------------------------------------------


def documented() -> dict[str, tuple[str, list[str], str]]:
    """Kind, labels and meaning by name, as `casd help metrics` has them."""
    entries = re.findall(r"(?m)^    (casd_\w+)  \((\w+)(?: by ([\w, ]+))?\)\n((?: {8}\S.*\n)+)", TEXT)
    return {
        name: (kind, labels.split(", ") if labels else [], " ".join(meaning.split()))
        for name, kind, labels, meaning in entries
    }


def test_the_topic_has_each_family_and_no_other() -> None:
    assert documented() == {
        family.shown_name: (family.kind.value, list(family.labels), family.meaning) for family in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_told_as_it_is_documented(busy: str, family: Family) -> None:
    told = {found.name: found for found in families_in(busy)}[family.name]

    assert (told.documentation, told.type) == (family.meaning, family.kind.value)
    for sample in told.samples:
        assert set(sample.labels) - labels_of_kind(sample, family) == set(family.labels)


def labels_of_kind(sample: Sample, family: Family) -> set[str]:
    return {"le"} if family.kind is Kind.HISTOGRAM and sample.name.endswith("_bucket") else set()


def test_the_metrics_of_alerts_and_queries_exist(busy: str) -> None:
    known = {sample.name for family in families_in(busy) for sample in family.samples}
    known |= {family.shown_name for family in FAMILIES}

    named = set(re.findall(r"\b(?:casd|process)_\w+", TEXT))

    assert named <= known


# -- promtool -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        skip_loudly("promtool is not installed")
    return found


def test_promtool_finds_nothing(promtool: str, busy: str) -> None:
    done = subprocess.run([promtool, "check", "metrics"], input=busy, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_alerts_are_rules(promtool: str, tmp_path: Path) -> None:
    rules = re.search(r"(?m)^    groups:\n(?: {4,}.*\n)+", TEXT)
    assert rules
    (tmp_path / "rules.yml").write_text(rules[0])

    done = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 rules found" in done.stdout


# -- distributions --------------------------------------------------------------------------------------------------


def test_a_distribution_counts_each_value_once() -> None:
    found = Distribution((1, 2, 5))

    for value in (0, 1, 1.5, 5, 6):
        found.add(value)

    assert found.counts == [2, 1, 1, 1]
    assert found.sum == 13.5


def test_distributions_are_merged() -> None:
    one, other = Distribution((1,)), Distribution((1,))
    one.add(0.5)
    other.add(2)

    one.merge(other)

    assert (one.counts, one.sum) == ([1, 1], 2.5)
