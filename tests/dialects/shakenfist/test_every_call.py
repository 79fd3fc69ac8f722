"""Every call that the clients have on blobs, artifacts, uploads, labels and namespaces, each once, and what it gets.

The table is held against the methods of the clients themselves: one that nobody has thought about fails.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.dialects.shakenfist.conftest import Client
from tests.web.party import Party

OF_MACHINES = {"instance_put_blob"}  # asks an instance to take a blob: nothing of a store
WORDS = ("blob", "artifact", "upload", "label", "namespace", "checksum", "hash")

BAD, DENIED, MISSING = "RequestMalformedException", "UnauthorizedException", "ResourceNotFoundException"

# In the order in which they are made. `admin` is logged in to system, `ours` is our namespace; a name that a call's
# result is kept under is at hand in those after it. What is expected is part of the result, or the exception.
CALLS: list[tuple[str, str, Any]] = [
    ("create_namespace", "admin.create_namespace(ours)", {"name": "{ours}", "state": "created"}),
    ("get_namespaces", "client.get_namespaces()", [{"name": "{ours}"}]),
    ("get_namespace", "client.get_namespace(ours)", {"trust": {"full": []}, "metadata": {}}),
    ("add_namespace_key", "admin.add_namespace_key(ours, 'desk', 'a key')", "desk"),
    ("get_namespace_keynames", "admin.get_namespace_keynames(ours)", ["desk"]),
    ("update_namespace_key", "admin.update_namespace_key(ours, 'desk', 'another')", "desk"),
    ("delete_namespace_key", "admin.delete_namespace_key(ours, 'desk')", None),  # the method returns nothing
    ("add_namespace_trust", "admin.add_namespace_trust(ours, 'friends')", {"trust": {"full": ["friends"]}}),
    ("remove_namespace_trust", "admin.remove_namespace_trust(ours, 'friends')", {"trust": {"full": []}}),
    ("get_namespace_metadata", "client.get_namespace_metadata(ours)", {}),
    ("set_namespace_metadata_item", "client.set_namespace_metadata_item(ours, 'k', 1)", [BAD, 400]),
    ("delete_namespace_metadata_item", "client.delete_namespace_metadata_item(ours, 'k')", [BAD, 400]),
    ("create_upload", "client.create_upload()", {"node": "casd"}),
    ("send_upload", "client.send_upload(create_upload['uuid'], b'abcdef')", 6),
    ("truncate_upload", "client.truncate_upload(create_upload['uuid'], 3)", None),
    ("upload_artifact", "client.upload_artifact('disk', create_upload['uuid'])", {"index": 1, "name": "disk"}),
    ("get_blob", "client.get_blob(upload_artifact['blob_uuid'])", {"size": 3, "state": "created"}),
    ("get_blob_data", "b''.join(client.get_blob_data(get_blob['uuid'], offset=1)).decode()", "bc"),
    ("get_blob_by_sha512", "client.get_blob_by_sha512(get_blob['sha512'])", {"size": 3, "state": "created"}),
    ("get_blob_hash", "client.get_blob_hash(get_blob['uuid'], 'sha512') == get_blob['sha512']", True),
    ("get_blob_events", "client.get_blob_events(get_blob['uuid'])", ["IncapableException", None]),  # asks no server
    ("set_blob_metadata_item", "client.set_blob_metadata_item(get_blob['uuid'], 'k', [1])", None),
    ("get_blob_metadata", "client.get_blob_metadata(get_blob['uuid'])", {"k": [1]}),
    ("delete_blob_metadata_item", "client.delete_blob_metadata_item(get_blob['uuid'], 'k')", None),
    ("get_blobs", "[one for one in admin.get_blobs() if one['uuid'] == get_blob['uuid']]", [{"size": 3}]),
    ("blob_artifact", "client.blob_artifact('again', get_blob['uuid'])", {"index": 1, "name": "again"}),
    ("update_label", "client.update_label('current', get_blob['uuid'])", {"artifact_type": "label"}),
    ("get_artifact", "client.get_artifact('disk')", {"index": 1, "shared": False, "max_versions": 3}),
    ("get_artifacts", "client.get_artifacts()", [{"name": "again"}, {"name": "current"}, {"name": "disk"}]),
    ("get_artifact_versions", "client.get_artifact_versions('disk')", [{"index": 1, "size": 3}]),
    ("get_artifact_events", "client.get_artifact_events(get_artifact['uuid'])", []),
    ("set_artifact_metadata_item", "client.set_artifact_metadata_item('disk', 'k', 'v')", None),
    ("get_artifact_metadata", "client.get_artifact_metadata('disk')", {"k": "v"}),
    ("delete_artifact_metadata_item", "client.delete_artifact_metadata_item('disk', 'k')", None),
    ("set_artifact_max_versions", "client.set_artifact_max_versions('disk', 2)", {"max_versions": 2}),
    ("share_artifact", "client.share_artifact('disk')", [DENIED, 403]),
    ("unshare_artifact", "client.unshare_artifact('disk')", {"shared": False}),
    ("cache_artifact", "client.cache_artifact('http://127.0.0.1/disk')", [BAD, 400]),
    ("delete_artifact_version", "client.delete_artifact_version('disk', 1)", {"state": "deleted"}),
    ("delete_artifact", "client.delete_artifact('again')", {"state": "deleted"}),
    ("delete_all_artifacts", "client.delete_all_artifacts(None) == [update_label['uuid']]", True),
    ("send_upload_file", "client.send_upload_file(client.create_upload()['uuid'], io.BytesIO(b'x' * 5000))", None),
    ("delete_namespace", "admin.delete_namespace(ours)", [BAD, 400]),
]
CODE = """
admin = apiclient.Client(namespace="system", key=token)
told, known = {}, {"client": client, "admin": admin, "ours": ours, "io": io}
for name, call in calls:
    try:
        told[name] = known[name] = eval(call, known)
    except Exception as error:
        told[name] = [type(error).__name__, getattr(error, "status_code", None)]
methods = [one for one in dir(type(client)) if not one.startswith("_") and any(word in one for word in words)]
result = [told, methods]
"""


def check(got: Any, expected: Any, ours: str) -> None:
    """`got` has what is expected of it; an object may have more."""
    if isinstance(expected, dict) and expected:
        for key, value in expected.items():
            check(got[key], value, ours)
    elif isinstance(expected, list) and expected and isinstance(expected[0], dict):
        assert len(got) == len(expected)
        for one, wanted in zip(got, expected, strict=True):
            check(one, wanted, ours)
    else:
        assert got == (expected.format(ours=ours) if isinstance(expected, str) else expected)


def test_every_call_of_the_clients_gets_what_the_table_says(client: Client, us: Party) -> None:
    calls = [(name, call) for name, call, _ in CALLS]

    told, methods = client.result(CODE, token=us.daemon.token, ours=us.namespace, calls=calls, words=WORDS)

    assert sorted([*(name for name, *_ in CALLS), *OF_MACHINES]) == methods
    for name, _, expected in CALLS:
        try:
            check(told[name], expected, us.namespace)
        except (AssertionError, KeyError, TypeError) as error:
            pytest.fail(f"{name}: {told[name]!r}, expected {expected!r}: {error}")


COMMANDS = [
    (["namespace", "list"], 0, "{ours}"),
    (["namespace", "show", "{ours}"], 0, "created"),
    (["namespace", "get-metadata", "{ours}"], 0, ""),
    (["namespace", "set-metadata", "{ours}", "k", "v"], 1, "keeps no metadata"),
    (["namespace", "delete-metadata", "{ours}", "k"], 1, "keeps no metadata"),
    (["namespace", "delete", "{ours}"], 1, "keeps its namespaces"),
    (["namespace", "add-trust", "{ours}", "friends"], 0, ""),
    (["namespace", "remove-trust", "{ours}", "friends"], 0, ""),
    (["namespace", "add-key", "{ours}", "desk", "a key"], 0, ""),
    (["namespace", "update-key", "{ours}", "desk", "another"], 0, ""),
    (["namespace", "delete-key", "{ours}", "desk"], 0, ""),
    (["artifact", "events", "{artifact}"], 0, ""),
]


def test_the_command_line_s_namespaces(client: Client, us: Party, tmp_path: Path) -> None:
    artifact = us.writer.ask("POST", "/artifacts/upload/disk", {"blob_uuid": us.add()["uuid"]}).json["uuid"]
    admin = Client(client.bin, tmp_path, client.url, "system", us.daemon.token)

    for words, status, said in COMMANDS:
        filled = [word.format(ours=us.namespace, artifact=artifact) for word in words]
        ended = admin.command(*filled)
        assert ended.returncode == status, (filled, ended.stdout, ended.stderr)
        assert said.format(ours=us.namespace) in ended.stdout + ended.stderr, filled


@pytest.mark.parametrize("of", ["blobs", "artifacts"])
def test_there_are_no_events_and_of_what_is_absent_there_is_nothing(us: Party, them: Party, of: str) -> None:
    us.settings(share_by_uuid=False)
    artifact = us.writer.ask("POST", "/artifacts/upload/disk", {"blob_uuid": us.add()["uuid"]}).json
    uuid = artifact["blob_uuid"] if of == "blobs" else artifact["uuid"]

    assert us.reader.ask("GET", f"/{of}/{uuid}/events").json == []
    assert them.writer.ask("GET", f"/{of}/{uuid}/events").status == 404
    assert us.reader.ask("GET", f"/{of}/{us.namespace}/events").status == 404
