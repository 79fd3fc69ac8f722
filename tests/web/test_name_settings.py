"""Changes of what belongs to a name, guarded by If-Match; and who a token speaks for."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.web.party import Party
from tests.web.wire import Wire


@pytest.fixture
def url(us: Party) -> str:
    us.publish("a/b")
    return f"/v1/name-info/{us.namespace}/a/b"


def test_a_name_has_a_tag_that_changes_with_it(us: Party, url: str) -> None:
    tags = [us.reader.ask("GET", url)["ETag"]]
    for change in ({"metadata": {"k": 1}}, {"metadata": {"k": 2}}, {"shared": True}, {"keep_versions": 3}):
        changed = us.writer.ask("PATCH", url, change)
        assert changed["ETag"] == us.reader.ask("GET", url)["ETag"]
        tags.append(changed["ETag"])
    us.publish("a/b")

    assert len(set(tags)) == len(tags)
    assert us.reader.ask("GET", url)["ETag"] == tags[-1]  # versions are not part of it


def test_a_change_of_what_has_changed_since_is_refused(us: Party, url: str) -> None:
    old = str(us.reader.ask("GET", url)["ETag"])
    assert us.writer.ask("PATCH", url, {"metadata": {"k": 1}}, {"If-Match": old}).status == 200

    for stale in (old, f"W/{old}", '"x"', f'"x", {old}'):
        answer = us.writer.ask("PATCH", url, {"metadata": {}}, {"If-Match": stale})
        assert (answer.status, answer.code) == (412, "precondition-failed"), stale

    assert us.reader.ask("GET", url).json["metadata"] == {"k": 1}
    assert us.writer.ask("PATCH", url, {"metadata": {"k": 2}}, {"If-Match": "*"}).status == 200
    assert us.writer.ask("PATCH", f"{url}c", {"shared": True}, {"If-Match": "*"}).code == "name-not-found"


def test_of_changes_that_begin_with_the_same_tag_one_is_made(us: Party, url: str) -> None:
    tag = {"If-Match": str(us.reader.ask("GET", url)["ETag"])}
    writer = us.token("writer")

    def change(number: int) -> Any:
        wire = Wire(us.daemon, writer)
        answer = wire.ask("PATCH", url, {"metadata": {str(number): number}}, tag)
        wire.connection.close()
        return answer.status

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(change, range(8)))

    assert statuses == [200] + [412] * 7
    assert len(us.reader.ask("GET", url).json["metadata"]) == 1


def test_a_token_is_told_whom_it_speaks_for(us: Party) -> None:
    token = Wire(us.daemon, us.token("reader", "other"))

    answer = token.ask("GET", "/v1/whoami")
    token.connection.close()

    assert answer.status == 200
    assert answer.json | {"id": ""} == {
        "id": "",
        "name": "a reader",
        "role": "reader",
        "namespaces": [us.namespace, "other"],
    }
    assert us.admin.ask("DELETE", f"/v1/tokens/{answer.json['id']}").status == 204
    assert us.admin.ask("GET", "/v1/whoami").json["role"] == "admin"
    assert us.nobody.ask("GET", "/v1/whoami").status == 401
