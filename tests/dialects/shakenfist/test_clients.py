"""What the unmodified clients of Shaken Fist do with casd: the library, its page's examples, and the command line."""

import asyncio
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.dialects.shakenfist.conftest import Client
from tests.proxy import Fault, Proxy
from tests.web.party import Party
from tests.web.wire import has_payload, payload_file

MIB = 1 << 20
PAGE = Path(__file__).with_name("page.md").read_text("utf-8")
PAGE_UUID = "578da8b6-eb98-4e10-bb36-e4d4d763d312"
EXAMPLES = dict(re.findall(r"## ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.DOTALL))
UPLOAD = """
def upload(name, data, **more):
    made = client.create_upload()
    client.send_upload_file(made["uuid"], io.BytesIO(data))
    return client.upload_artifact(name, made["uuid"], **more)
"""


def system(client: Client, us: Party) -> Client:
    """The same client, of an administrator."""
    return replace(client, namespace="system", key=us.daemon.token)


# -- the page -------------------------------------------------------------------------------------------------------


def example(client: Client, title: str, uuid: str) -> str:
    """What the page's example prints; only the UUID is ours."""
    code = EXAMPLES[title].replace(PAGE_UUID, uuid)
    ended = client.python(f"blob_uuid = {uuid!r}\n{code}")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_page_has_six_examples() -> None:
    assert len(EXAMPLES) == 6


def test_the_page_s_examples_of_a_blob_and_its_data(client: Client, us: Party) -> None:
    data = f"{us.namespace} ".encode() * 300_000
    uuid = us.add(data)["uuid"]

    shown = json.loads(example(client, "get a specific blob", uuid))
    example(client, "download the data for a specific blob", uuid)

    assert (shown["uuid"], shown["size"], shown["state"]) == (uuid, len(data), "created")
    assert shown["sha512"] == hashlib.sha512(data).hexdigest()
    assert (client.home / "output").read_bytes() == data


def test_the_page_s_example_of_a_search(client: Client, us: Party) -> None:
    data = f"{us.namespace} is looked for".encode()
    (client.home / "input").write_bytes(data)

    before = example(client, "search for a blob by sha512 hash", "")
    uuid = us.add(data)["uuid"]
    after = example(client, "search for a blob by sha512 hash", "")

    assert before.splitlines()[-1] == "No matching blob found"
    assert after.splitlines()[-1] == f"Blob {uuid} is a match"


def test_the_page_s_examples_of_metadata(client: Client, us: Party) -> None:
    uuid = us.add()["uuid"]

    example(client, "set metadata on a blob", uuid)
    shown = example(client, "get metadata for a blob", uuid)
    example(client, "delete metadata for a blob", uuid)

    assert json.loads(shown) == {"foo": "bar"}
    assert us.writer.ask("GET", f"/v1/blobs/{uuid}/metadata").json == {}


# -- where the client looks for the daemon ----------------------------------------------------------------------------


def test_a_command_line_without_an_environment_reads_its_configuration_file(client: Client, us: Party) -> None:
    uuid = us.add()["uuid"]
    client.configure()

    ended = client.run({}, "sf-client", "--json", "blob", "show", uuid)

    assert json.loads(ended.stdout)["uuid"] == uuid


def test_the_newest_library_reads_its_environment(newest: Client, us: Party) -> None:
    code = "from shakenfist_client import apiclient; print(apiclient.Client().get_blob(%r)['uuid'])"
    uuid = us.add()["uuid"]

    ended = newest.run(newest.environment, "python", "-c", code % uuid)

    assert ended.stdout.strip() == uuid


def test_a_client_s_own_key_is_good_until_it_is_removed(client: Client, us: Party) -> None:
    system(client, us).result(
        "result = client.add_namespace_key(name, 'laptop', 'correct horse')", name=client.namespace
    )
    named = replace(client, key="correct horse")
    uuid = us.add()["uuid"]

    code = """
before = client.get_blob(uuid)["uuid"]
admin = apiclient.Client(namespace="system", key=token)
names = admin.get_namespace_keynames(name)
admin.delete_namespace_key(name, "laptop")
result = [before, names, outcome(client.get_blob, uuid)]
"""
    result = named.result(code, uuid=uuid, token=us.daemon.token, name=client.namespace)

    assert result == [uuid, ["laptop"], ["UnauthenticatedException", 401]]


def test_namespaces_are_made_by_administrators(client: Client, us: Party) -> None:
    name = f"{us.namespace}-made"

    made = system(client, us).result("result = client.create_namespace(name)", name=name)
    refused = client.result("result = outcome(client.create_namespace, name)", name=f"{name}-not")

    assert (made["name"], made["state"], made["keys"]) == (name, "created", [])
    assert refused == ["UnauthenticatedException", 401]


# -- blobs ------------------------------------------------------------------------------------------------------------


def test_capabilities_are_those_that_are_there(client: Client) -> None:
    words = ["blob-metadata", "blob-search-by-hash", "artifact-metadata", "blob-single-checksum", "blob-checksums"]
    others = ["blob-data-limit", "blob-events", "events-by-type", "artifact-upload-types", "blob-hash-sha1"]

    found = client.result("result = [client.check_capability(word) for word in words]", words=words + others)

    assert found == [True] * len(words) + [False] * len(others)


def test_only_administrators_list_all_blobs(client: Client, us: Party) -> None:
    uuid = us.add(content_type="image/png")["uuid"]

    refused = client.result("result = outcome(client.get_blobs)")
    listed = system(client, us).result("result = client.get_blobs()")

    assert refused == ["UnauthenticatedException", 401]
    assert [blob["mime type"] for blob in listed if blob["uuid"] == uuid] == ["image/png"]


def test_a_blob_is_read_by_whoever_knows_its_uuid(client: Client, us: Party, them: Party) -> None:
    uuid = them.add(b"theirs")["uuid"]

    code = """
result = [client.get_blob(uuid)["size"], b"".join(client.get_blob_data(uuid)).decode(), client.get_blob_metadata(uuid),
  outcome(client.set_blob_metadata_item, uuid, "k", 1), client.get_blob_by_sha512(client.get_blob(uuid)["sha512"])]
"""
    result = client.result(code, uuid=uuid)

    assert result == [6, "theirs", {}, ["ResourceNotFoundException", 404], None]


def test_bytes_from_an_offset_and_past_the_end(client: Client, us: Party) -> None:
    data = f"{us.namespace} ".encode() * 100_000
    uuid = us.add(data)["uuid"]

    code = """
def digest(offset):
    return hashlib.sha512(b"".join(client.get_blob_data(uuid, offset=offset))).hexdigest()
result = [digest(offset) for offset in offsets]
"""
    offsets = [0, 1, 1_000_000, len(data) - 1, len(data), len(data) + 1]

    assert client.result(code, uuid=uuid, offsets=offsets) == [
        hashlib.sha512(data[offset:]).hexdigest() for offset in offsets
    ]


def test_checksums_are_told_one_by_one(client: Client, us: Party) -> None:
    blob = us.add(b"abc")

    code = "result = [client.get_blob_hash(uuid, name) for name in ('sha512', 'sha256', 'xxh128')]"
    code += "; result.append(outcome(client.get_blob_hash, uuid, 'md5'))"

    result = client.result(code, uuid=blob["uuid"])

    assert result == [blob["sha512"], blob["sha256"], blob["xxh3_128"], ["RequestMalformedException", 400]]


def test_metadata_values_are_not_interpreted(client: Client, us: Party) -> None:
    values = {"text": "ü", "number": 1.5, "nothing": None, "tree": {"a": [1, {"b": ""}]}, "with space": False}

    code = """
for key, value in values.items():
    client.set_blob_metadata_item(uuid, key, value)
result = client.get_blob_metadata(uuid)
client.delete_blob_metadata_item(uuid, "never there")
"""

    assert client.result(code, uuid=us.add()["uuid"], values=values) == values


def test_errors_are_the_client_s_own_exceptions(client: Client, us: Party) -> None:
    absent = str(UUID(int=0))
    code = """
wrong = apiclient.Client(namespace=client.namespace, key="wrong")
nowhere = apiclient.Client(namespace="nowhere-at-all", key="wrong")
result = [outcome(wrong.get_blob, absent), outcome(nowhere.get_blob, absent), outcome(client.get_blob, absent),
  outcome(client.get_blob, "no-uuid"), outcome(lambda: next(client.get_blob_data(absent))),
  outcome(client.get_blob_by_sha512, "no hex"), outcome(client.get_artifact, "absent"),
  outcome(client.send_upload, absent, b"x"), outcome(client.cache_artifact, "http://127.0.0.1/x")]
"""

    assert client.result(code, absent=absent) == [
        ["UnauthenticatedException", 401],
        ["UnauthenticatedException", 401],  # of the log-in, whose status it shows
        ["ResourceNotFoundException", 404],
        ["ResourceNotFoundException", 404],
        ["ResourceNotFoundException", 404],
        ["RequestMalformedException", 400],
        ["ResourceNotFoundException", 404],
        ["ResourceNotFoundException", 404],
        ["RequestMalformedException", 400],
    ]


def test_a_damaged_payload_is_an_error_and_the_same_upload_heals_it(client: Client, us: Party) -> None:
    data = f"{us.namespace} will be damaged".encode()
    uuid = us.add(data)["uuid"]
    us.daemon.damaged.add(hashlib.sha512(data).hexdigest())
    Path(payload_file(us.daemon, data)).write_bytes(data[:-1])
    (client.home / "source").write_bytes(data)

    code = """
failed = outcome(lambda: list(client.get_blob_data(uuid)))
result = [failed, client.get_blob(uuid)["state"], client.get_blob_by_sha512(sha512)]
"""
    result = client.result(code, uuid=uuid, sha512=hashlib.sha512(data).hexdigest())
    uploaded = run(client, "artifact", "upload", "disk", "source")
    shown = json.loads(run(client, "--json", "blob", "show", uuid))

    assert result == [["InternalServerError", 500], "error", None]
    assert "Uploading new blob" in uploaded
    assert shown["state"] == "created"


# -- uploads and artifacts --------------------------------------------------------------------------------------------


def test_an_upload_grows_by_appends_and_shrinks_by_truncation(client: Client, us: Party) -> None:
    code = """
uuid = client.create_upload()["uuid"]
result = [client.truncate_upload(uuid, 0), client.send_upload(uuid, b""), client.send_upload(uuid, b"abc"),
  client.send_upload(uuid, b"def"), client.truncate_upload(uuid, 4), client.send_upload(uuid, b"XYZ"),
  outcome(client.truncate_upload, uuid, 8), client.upload_artifact("grown", uuid)["blob_uuid"],
  outcome(client.send_upload, uuid, b"more"), outcome(client.truncate_upload, uuid, 0),
  outcome(client.upload_artifact, "other", uuid), client.upload_artifact("grown", uuid)["index"]]
"""

    result = client.result(code)

    blob = result.pop(7)
    gone = ["ResourceNotFoundException", 404]
    assert result == [None, 0, 3, 6, None, 7, ["ResourceStateConflictException", 409], gone, gone, gone, 1]
    assert us.writer.ask("GET", f"/v1/blobs/{blob}/data").body == b"abcdXYZ"
    assert us.writer.ask("GET", us.name("grown")).body == b"abcdXYZ"


def test_artifacts_have_versions_and_keep_three_unless_told_otherwise(client: Client, us: Party) -> None:
    code = (
        UPLOAD
        + """
views = [upload("disk", b"%d" % number) for number in (1, 2, 2, 3, 4)]
first = views[0]["uuid"]
shown = client.get_artifact("disk")
versions = client.get_artifact_versions(first)
client.set_artifact_max_versions(first, 2)
limited = client.get_artifact(first)
upload("disk", b"5")
deleted = client.delete_artifact_version("disk", 4)
result = {"views": views, "shown": shown, "versions": versions, "limited": limited, "deleted": deleted}
"""
    )

    result: Any = client.result(code)

    assert [view["index"] for view in result["views"]] == [1, 2, 2, 3, 4]
    assert {view["uuid"] for view in result["views"]} == {result["shown"]["uuid"]}
    shown = result["shown"]
    assert (shown["index"], shown["max_versions"], sorted(shown["blobs"])) == (4, 3, ["2", "3", "4"])
    assert (shown["state"], shown["artifact_type"], shown["shared"]) == ("created", "image", False)
    assert (shown["source_url"], shown["namespace"]) == (f"sf://upload/{us.namespace}/disk", us.namespace)
    assert shown["blob_uuid"] == shown["blobs"]["4"]["uuid"]
    assert [(one["index"], one["size"], one["reference_count"]) for one in result["versions"]] == [
        (2, 1, 1),
        (3, 1, 1),
        (4, 1, 1),
    ]
    assert (result["limited"]["max_versions"], sorted(result["limited"]["blobs"])) == (2, ["3", "4"])
    assert sorted(result["deleted"]["blobs"]) == ["5"]
    dropped = result["shown"]["blobs"]["2"]["uuid"]
    assert us.writer.ask("GET", f"/v1/blobs/{dropped}").status == 404


def test_a_blob_becomes_an_artifact_and_a_label(client: Client, us: Party) -> None:
    code = """
bound, again = client.blob_artifact("bound", uuid), client.blob_artifact("bound", uuid)
labelled = client.update_label("current", uuid)
moved = client.update_label("current", other)
result = {"bound": bound, "again": again, "labelled": labelled, "moved": moved, "blob": client.get_blob(uuid),
  "all": client.get_artifacts(), "missing": outcome(client.blob_artifact, "bound", absent)}
"""
    uuid, other = us.add(b"one")["uuid"], us.add(b"two")["uuid"]

    result = client.result(code, uuid=uuid, other=other, absent=str(UUID(int=0)))

    assert result["bound"] == result["again"]
    assert (result["bound"]["blob_uuid"], result["bound"]["index"]) == (uuid, 1)
    assert (result["labelled"]["artifact_type"], result["labelled"]["blob_uuid"]) == ("label", uuid)
    assert result["labelled"]["source_url"] == f"sf://label/{us.namespace}/current"
    assert (result["moved"]["uuid"], result["moved"]["index"]) == (result["labelled"]["uuid"], 2)
    assert result["moved"]["blob_uuid"] == other
    assert result["blob"]["reference_count"] == 3  # two artifacts, and itself: it was stored as a blob
    assert sorted(item["source_url"] for item in result["all"]) == [
        f"sf://label/{us.namespace}/current",
        f"sf://upload/{us.namespace}/bound",
    ]
    assert result["missing"] == ["ResourceNotFoundException", 404]


def test_a_source_url_says_which_artifact_it_is(client: Client, us: Party) -> None:
    code = (
        UPLOAD
        + """
first = upload("one", b"1", source_url="http://x/disk.qcow2")
second = upload("two", b"2", source_url="http://x/disk.qcow2")
result = [first["uuid"] == second["uuid"], second["name"], second["index"], second["source_url"]]
"""
    )

    assert client.result(code) == [True, "one", 2, "http://x/disk.qcow2"]


def test_artifacts_have_metadata(client: Client) -> None:
    code = (
        UPLOAD
        + """
uuid = upload("described", b"x")["uuid"]
client.set_artifact_metadata_item("described", "a", {"b": 1})
client.set_artifact_metadata_item(uuid, "c", "d")
both = client.get_artifact_metadata(uuid)
client.delete_artifact_metadata_item(uuid, "a")
client.delete_artifact_metadata_item(uuid, "a")
result = [both, client.get_artifact("described")["metadata"]]
"""
    )

    assert client.result(code) == [{"a": {"b": 1}, "c": "d"}, {"c": "d"}]


def test_artifacts_of_the_system_are_shared_with_all_and_others_with_nobody(client: Client, us: Party) -> None:
    code = (
        UPLOAD
        + """
admin = apiclient.Client(namespace="system", key=token)
made = admin.blob_artifact(name, admin.create_namespace("system") and uuid)
before = outcome(client.get_artifact, made["uuid"])
shared = admin.share_artifact(made["uuid"])
by_uuid, by_name = client.get_artifact(made["uuid"]), client.get_artifact(name)
listed = [item["uuid"] for item in client.get_artifacts()]
tried = [outcome(client.delete_artifact, made["uuid"]), outcome(client.unshare_artifact, name)]
admin.unshare_artifact(made["uuid"])
after = outcome(client.get_artifact, made["uuid"])
own = upload("own", b"x")
refused = [outcome(client.share_artifact, "own"), outcome(client.blob_artifact, "own", own["blob_uuid"], shared=True)]
admin.delete_artifact(made["uuid"])
result = {"hidden": [before, after], "shared": shared, "uuids": [by_uuid["uuid"], by_name["uuid"]], "listed": listed,
  "tried": tried, "refused": refused}
"""
    )
    uuid = us.add()["uuid"]

    result = client.result(code, uuid=uuid, token=us.daemon.token, name=f"image-{us.namespace}")

    missing = ["ResourceNotFoundException", 404]
    assert result["hidden"] == [missing, missing]
    assert result["shared"]["shared"] is True
    assert set(result["uuids"]) == {result["shared"]["uuid"]}
    assert result["shared"]["uuid"] in result["listed"]
    assert result["tried"] == [missing, missing]
    assert result["refused"] == [["UnauthorizedException", 403]] * 2


def test_deleting_an_artifact_is_real(client: Client, us: Party) -> None:
    code = (
        UPLOAD
        + """
made = [upload(name, name.encode()) for name in ("a", "b", "c")]
deleted = client.delete_artifact("a")
result = [deleted["state"], outcome(client.get_artifact, made[0]["uuid"]),
  outcome(client.get_blob, made[0]["blob_uuid"]),
  sorted(client.delete_all_artifacts(None)) == sorted(one["uuid"] for one in made[1:]), client.get_artifacts()]
"""
    )
    missing = ["ResourceNotFoundException", 404]

    assert client.result(code) == ["deleted", missing, missing, True, []]


@pytest.mark.parametrize("name", ["with space", "ünï-日本", "a+b&c", "50% of it"])
def test_odd_names_travel_unharmed(client: Client, us: Party, name: str) -> None:
    code = UPLOAD + "result = [upload(name, b'odd')['name'], client.get_artifact(name)['name']]"

    assert client.result(code, name=name) == [name, name]
    assert us.writer.ask("GET", us.name(name)).body == b"odd"


# -- cuts -------------------------------------------------------------------------------------------------------------


async def test_a_download_that_is_cut_goes_on_in_the_page_s_loop(client: Client, us: Party) -> None:
    data = f"{us.namespace} ".encode() * 200_000  # 8 MB
    uuid = us.add(data)["uuid"]

    # The first connection asks what the daemon can do and then downloads, the second logs in.
    async with Proxy(client.url, Fault("cut", 3 * MIB), None, Fault("cut", 2 * MIB)) as proxy:
        cut_off = replace(client, url=proxy.url)
        await asyncio.to_thread(example, cut_off, "download the data for a specific blob", uuid)

    assert (client.home / "output").read_bytes() == data
    offsets = [int(asked) for seen in proxy.seen for asked in re.findall(rb"\?offset=(\d+)", seen.requests)]
    assert len(offsets) == 3
    assert offsets == sorted(set(offsets))


async def test_a_download_that_is_cut_never_looks_complete(client: Client, us: Party) -> None:
    uuid = us.add(f"{us.namespace} ".encode() * 100_000)["uuid"]

    async with Proxy(client.url, Fault("cut", 2 * MIB)) as proxy:
        cut_off = replace(client, url=proxy.url)
        code = "result = outcome(lambda: list(client.get_blob_data(uuid)))"
        error, _ = await asyncio.to_thread(cut_off.result, code, uuid=uuid)

    assert error in ("ChunkedEncodingError", "ProtocolError", "IncompleteRead", "ConnectionResetError")


async def test_an_append_that_is_cut_counts_once(client: Client, us: Party) -> None:
    data = f"{us.namespace} ".encode() * 150_000

    async with Proxy(client.url, Fault("cut", 3 * MIB, "requests")) as proxy:
        code = """
uuid = client.create_upload()["uuid"]
data = text.encode() * 150_000
totals = [client.send_upload(uuid, data[start : start + 2_000_000]) for start in range(0, len(data), 2_000_000)]
result = [totals, client.upload_artifact("cut", uuid)["blob_uuid"]]
"""
        cut_off = replace(client, url=proxy.url)
        totals, blob = await asyncio.to_thread(cut_off.result, code, text=f"{us.namespace} ")

    assert totals == [2_000_000, 4_000_000, 6_000_000]
    assert us.writer.ask("GET", f"/v1/blobs/{blob}/data").body == data


# -- the command line -------------------------------------------------------------------------------------------------


def run(client: Client, *arguments: str) -> str:
    ended = client.command(*arguments)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def test_the_command_line_uploads_and_downloads(client: Client, us: Party) -> None:
    data = f"{us.namespace} ".encode() * 100_000
    (client.home / "source").write_bytes(data)

    first = run(client, "artifact", "upload", "disk", "source")
    second = run(client, "artifact", "upload", "copy", "source")
    run(client, "artifact", "download", "disk", "target")

    assert "Uploading new blob" in first
    assert "Recycling existing blob" in second
    assert (client.home / "target").read_bytes() == data
    assert has_payload(us.daemon, data)


COMMANDS = """
import contextlib, io, json, sys
from shakenfist_client import main
def run(*arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main.cli.main(list(arguments), standalone_mode=False)
    return printed.getvalue()
"""


def test_the_command_line_shows_and_changes_what_is_there(client: Client, us: Party) -> None:
    """One process for all, because a start takes most of a second."""
    blob = us.add(b"abc")["uuid"]
    code = (
        COMMANDS
        + """
run("label", "update", "current", blob)
run("blob", "set-metadata", blob, "k", "v")
run("artifact", "set-metadata", "current", "m", "n")
shown = [run("blob", "show", blob), run("blob", "sha512", sha512), run("--simple", "artifact", "show", "current")]
artifact = json.loads(run("--json", "artifact", "show", "current"))
run("artifact", "max-versions", "current", "7")
lists = [run("artifact", "list"), run("--simple", "artifact", "list"), run("artifact", "versions", "current")]
limited = json.loads(run("--json", "artifact", "show", "current"))
run("blob", "delete-metadata", blob, "k")
run("artifact", "delete-metadata", artifact["uuid"], "m")
bare = [run("--json", "blob", "show", blob), run("--json", "artifact", "show", "current")]
run("artifact", "delete-version", "current", "1")
print(json.dumps([shown, artifact, lists, limited, [json.loads(text)["metadata"] for text in bare],
  run("--simple", "artifact", "list")]))
"""
    )
    sha512 = hashlib.sha512(b"abc").hexdigest()
    ended = client.python(f"blob, sha512 = {blob!r}, {sha512!r}\n{code}")

    assert ended.returncode == 0, ended.stderr
    shown, artifact, lists, limited, bare, left = json.loads(ended.stdout.splitlines()[-1])
    assert all(blob in text for text in [*shown, *lists[2:]])
    assert re.search(r"k +: v", shown[0])
    assert "metadata,m,n" in shown[2]
    assert (artifact["metadata"], artifact["artifact_type"], limited["max_versions"]) == ({"m": "n"}, "label", 7)
    assert all(artifact["uuid"] in text for text in lists[:2])
    assert bare == [{}, {}]
    assert artifact["uuid"] not in left


def test_the_command_line_tells_what_was_refused(client: Client) -> None:
    refused = client.command("artifact", "cache", "http://127.0.0.1/disk")
    missing = client.command("blob", "show", str(UUID(int=0)))

    assert (refused.returncode, missing.returncode) == (1, 1)
    assert "casd fetches no URLs" in refused.stdout + refused.stderr
    assert "Resource not found" in missing.stdout + missing.stderr


def test_the_command_line_lists_blobs_and_sets_keys_for_administrators(client: Client, us: Party) -> None:
    blob = us.add()["uuid"]
    admin = system(client, us)

    run(admin, "namespace", "add-key", us.namespace, "desk", "chosen by hand")

    assert blob in run(admin, "--simple", "blob", "list")
    assert json.loads(run(replace(client, key="chosen by hand"), "--json", "blob", "show", blob))["uuid"] == blob


# -- large ------------------------------------------------------------------------------------------------------------


def test_three_hundred_megabytes_go_up_and_come_down(newest: Client, us: Party) -> None:
    code = (
        UPLOAD
        + """
class Pattern(io.RawIOBase):
    size, at = 300_000_000, 0
    def read(self, count=-1):
        start, self.at = self.at, min(self.size, self.at + count)
        return (block * 3)[start % len(block):][:self.at - start]
    def seek(self, at, whence=0):
        self.at = at
block = hashlib.shake_128(client.namespace.encode()).digest(1 << 21)
made = client.create_upload()
client.send_upload_file(made["uuid"], Pattern())
blob = client.upload_artifact("large", made["uuid"])["blob_uuid"]
sent, received, pattern = hashlib.sha512(), hashlib.sha512(), Pattern()
while data := pattern.read(1 << 20):
    sent.update(data)
for data in client.get_blob_data(blob):
    received.update(data)
result = [sent.hexdigest(), received.hexdigest(), client.get_blob(blob)["sha512"], client.get_blob(blob)["size"]]
"""
    )

    sent, received, stored, size = newest.result(code)

    assert sent == received == stored
    assert size == 300_000_000
