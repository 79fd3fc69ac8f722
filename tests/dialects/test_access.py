"""Who gets where: each registered route of each dialect, asked by nobody, with bad credentials, in wrong roles, by
strangers, and by whom it is for. The routes are the daemon's own table; what each wants to be told, and of whom, is
written here by hand, so that a route which nobody has thought about fails.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from casd.daemon.composition import DIALECTS
from casd.web.dialect import Access, Dialect, Route
from tests.conftest import Daemon
from tests.dialects.datapane.conftest import ARROW, arrow_file
from tests.leaks import Attentive, dangers, leaks
from tests.payloads.local_backend import path_of
from tests.web.party import Party
from tests.web.wire import Answer, wait_until

Key = tuple[str, str]  # method and path, as `plain` writes it

# No credential is looked at here. Each has its reason.
OPEN = {
    ("GET", "/"): "Shaken Fist's client looks for capabilities before it logs in; says nothing of what is stored",
    ("GET", "/console/{path}"): "the console's own files, which are the same for all; it shows what its token may read",
    ("GET", "/healthz"): "whoever watches the daemon has no token",
    ("GET", "/readyz"): "the same",
    ("GET", "/docs"): "how to ask, not what is stored",
    ("GET", "/docs/{topic}"): "the same",
    ("GET", "/openapi.json"): "how to ask, not what is stored",
    ("OPTIONS", "/v1/uploads"): "what the protocol can do here, not what is stored",
    ("POST", "/auth"): "takes the key in its body, and refuses one that is not good",
    ("POST", "/api/v1/auth/refresh"): "takes the token in its body, and refuses one that is not good",
}
# A good credential is not asked for before the handler decides. Without one each of these answers 401 here.
ANYONE = {
    ("GET", "/v1/blobs/{uuid}"): "a namespace may let anonymous read",
    ("GET", "/v1/blobs/{uuid}/data"): "a namespace may let anonymous read",
    ("GET", "/v1/blobs/{uuid}/blocks"): "a namespace may let anonymous read",
    ("GET", "/v1/payloads/sha512/{hex}"): "a namespace may let anonymous read",
    ("GET", "/v1/payloads/sha512/{hex}/blocks"): "a namespace may let anonymous read",
    ("GET", "/v1/names/{namespace}/{name}"): "a namespace may let anonymous read",
    ("GET", "/api/blobs/{id}/export/"): "its signature leaves out one parameter, which the handler looks after",
    ("GET", "/metrics"): "programs on the daemon's own machine, as these tests are, need no credential",
}
OF_THIS_MACHINE = {("GET", "/metrics")}  # tests/web/test_metrics.py has who gets there

STORE, ENVIRONMENT_STORE = "/api/v1/data-store", "/environments/{namespace}/api/v1/data-store"
OBJECT = f"{STORE}/objects/{{namespace}}/{{name}}"
MISSING = ("POST", "/v1/payloads/missing")
# What changes nothing is asked for by GET, all else needs a writer; but for these.
READ_BY_OTHER_METHODS = {
    MISSING,
    ("POST", "/v1/signed-urls"),
    *(("POST", f"{store}/{call}") for store in (STORE, ENVIRONMENT_STORE) for call in ("information", "download")),
}
WRITTEN_BY_GET = {
    ("HEAD", "/v1/uploads/{uuid}"),  # an upload is nothing to look at for who may not go on with it
    ("GET", "/v1/uploads"),  # the same
    *(
        ("GET", f"{store}/{call}")  # links to write by
        for store in (STORE, ENVIRONMENT_STORE)
        for call in ("upload", "upload/multipart/{upload}")
    ),
}
ADMINS = {
    ("POST", "/v1/signing-keys"),
    ("GET", "/v1/signing-keys"),
    ("DELETE", "/v1/signing-keys/{id}"),
    ("POST", "/v1/tokens/{uuid}/rotate"),
    ("POST", "/v1/tokens"),
    ("GET", "/v1/tokens"),
    ("DELETE", "/v1/tokens/{uuid}"),
    ("PUT", "/v1/namespaces/{namespace}"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/quarantine"),
    ("GET", "/v1/quarantine/{id}"),
    ("DELETE", "/v1/quarantine/{id}"),
    ("GET", "/v1/status"),
    ("GET", "/v1/samples"),
    ("POST", "/v1/backups"),
    ("PUT", "/v1/backups/{uuid}"),
    ("DELETE", "/v1/backups/{uuid}"),
    ("POST", "/v1/upkeep/expire"),
    ("POST", "/v1/upkeep/collect-garbage"),
    ("POST", "/v1/upkeep/scrub"),
    ("POST", "/v1/upkeep/repair"),
    ("POST", "/auth/namespaces"),
    ("POST", "/auth/namespaces/{namespace}/keys"),
    ("PUT", "/auth/namespaces/{namespace}/keys"),
    ("DELETE", "/auth/namespaces/{namespace}/keys/{key}"),
    ("POST", "/auth/namespaces/{namespace}/trust"),
    ("DELETE", "/auth/namespaces/{namespace}/trust/{trusted}"),
    ("GET", "/blobs"),
}
# These speak of the caller's own home, whoever that is: a stranger is answered, and told nothing of ours.
OF_THE_CALLER = {
    MISSING,
    ("GET", "/v1/whoami"),
    ("GET", "/v1/namespaces"),
    ("GET", "/v1/checksums/{algorithm}/{hex}"),
    ("GET", "/api/settings/details/"),
    ("POST", "/api/blobs/"),
    ("GET", "/api/blobs/"),
    ("GET", "/api/v1/users/me"),
    ("GET", f"{STORE}/list"),
    ("GET", f"{STORE}/upload"),
    ("POST", f"{STORE}/upload/multipart"),
    ("GET", "/auth/namespaces"),
    ("GET", "/blob_checksums/sha512/{hex}"),
    ("POST", "/upload"),
    ("GET", "/artifacts"),
}
# What no credential opens: whoever is known is told that it is not done here.
REFUSED_TO_ALL = {
    ("POST", "/artifacts"): 400,  # fetches no URLs unless their hosts are listed
    ("DELETE", "/auth/namespaces/{namespace}"): 400,  # casd keeps its namespaces
    ("POST", "/auth/namespaces/{namespace}/metadata"): 400,  # and has no metadata of theirs
    ("PUT", "/auth/namespaces/{namespace}/metadata/{key}"): 400,
    ("DELETE", "/auth/namespaces/{namespace}/metadata/{key}"): 400,
    ("POST", "/artifacts/{reference}/share"): 403,  # only those of `system` can be shared
}

KEY, ANOTHER_KEY = "secret of ours", "another secret"
# Writes that the audit log is told nothing of, each with the reason. Of all others it knows who asked.
UNTOLD = {
    **dict.fromkeys(READ_BY_OTHER_METHODS - {("POST", "/v1/signed-urls")}, "changes nothing"),
    **dict.fromkeys(WRITTEN_BY_GET, "makes a link, or looks"),
    ("PATCH", "/v1/uploads/{uuid}"): "a piece of an upload, which is told when it begins and when it has become a blob",
    ("POST", "/upload/{uuid}"): "the same",
    ("POST", "/upload/{uuid}/truncate/{size}"): "the same",
    ("PUT", OBJECT): "the same",
    ("POST", f"{STORE}/upload/multipart/part"): "makes a link",
    ("POST", f"{ENVIRONMENT_STORE}/upload/multipart/part"): "makes a link",
    ("PUT", "/v1/backups/{uuid}"): "a sign of life",
    ("POST", "/auth/namespaces"): "of a namespace that is there already",
}

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=limit"}
TUS = {"Tus-Resumable": "1.0.0"}
ELEMENT = re.compile(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}")


def plain(path: str) -> str:
    """The path as it is read here: without patterns, and with single slashes where the table lets them be doubled."""
    return ELEMENT.sub(r"{\1}", re.sub(r"\{s\d+:/\+\}|\{end:/\*\}", "/", path))


def key_of(route: Route) -> Key:
    return route.method, plain(route.path)


ROUTES = [pytest.param(d, r, id=f"{d.name} {' '.join(key_of(r))}") for d in DIALECTS for r in d.routes]
GUARDED = [
    param
    for param in ROUTES
    if param.values[1].access is not Access.OPEN and key_of(param.values[1]) not in OF_THIS_MACHINE
]


# -- what there is to ask for ---------------------------------------------------------------------------------------


class World:
    """Our namespace and everybody who asks about it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.us, self.them = Party(daemon), Party(daemon)
        self.us.settings(share_by_uuid=False)  # so that knowing a UUID is not evidence
        self.writer, self.reader = self.us.token("writer"), self.us.token("reader")
        self.stranger, self.strange_reader = self.them.token("writer"), self.them.token("reader")
        self.wire = Attentive(daemon, None)
        # Of admins: what these were good for, a writer may be refused for its role, and nothing would be shown.
        self.revoked = self.made("revoked", "admin")
        self.expired = self.us.token("admin", expires_in=1)
        self.traded = {
            "craftai": self.trade("/api/v1/auth/refresh", refresh_token=self.revoked["token"]),
            "shakenfist": self.trade("/auth", namespace=self.us.namespace, key=self.revoked["token"]),
        }
        link = self.us.writer.ask(
            "POST", "/v1/signed-urls", {"path": f"/v1/blobs/{self.us.add()['uuid']}/data", "expires_in": 60}
        ).json["url"]
        self.signature = link.partition("?")[2]
        assert self.us.admin.ask("DELETE", f"/v1/tokens/{self.revoked['id']}").status == 204
        self.numbers = count()
        wait_until(lambda: self.ask("native", "GET", "/v1/whoami", self.expired).status == 401, "a token has expired")

    def secrets(self) -> list[str]:
        """Of all kinds that were used here."""
        found = [self.daemon.token, self.writer, self.reader, self.stranger, self.strange_reader, self.expired]
        found += [self.revoked["token"], *self.traded.values(), self.signature.partition("=")[2], KEY, ANOTHER_KEY]
        return found

    def made(self, name: str, role: str = "writer") -> dict[str, Any]:
        """A token that may be revoked."""
        body = {"name": name, "role": role, "namespaces": [self.us.namespace]}
        token: dict[str, Any] = self.us.admin.ask("POST", "/v1/tokens", body).json
        return token

    def trade(self, path: str, **body: str) -> str:
        answer = self.us.nobody.ask("POST", path, body)
        assert answer.status == 200, answer.body
        token: str = answer.json["access_token"]
        return token

    def ask(self, dialect: str, method: str, target: str, secret: str, body: Any = None, **headers: str) -> Answer:
        return self.wire.ask(method, target, body, {"Authorization": f"{scheme(dialect)} {secret}"} | headers)


def scheme(dialect: str) -> str:
    return "Token" if dialect == "datapane" else "Bearer"


@dataclass
class Things:
    """What of ours a request may be about, each made when it is first named."""

    world: World
    name: str

    @property
    def us(self) -> Party:
        return self.world.us

    @cached_property
    def blob(self) -> str:
        uuid: str = self.us.add(self.name.encode())["uuid"]
        assert self.us.writer.ask("PUT", f"/v1/blobs/{uuid}/metadata/k", {"value": 1}).status == 200
        return uuid

    @cached_property
    def version(self) -> dict[str, Any]:
        """A data frame under our name, with metadata. Nothing else has its bytes: they are searched for."""
        frame = arrow_file(pa.table({"x": [self.name]}))
        answer = self.us.writer.ask("PUT", self.us.name(self.name), frame, {"Content-Type": ARROW})
        assert answer.status == 201, answer.body
        changed = self.us.writer.ask(
            "PATCH", f"/v1/name-info/{self.us.namespace}/{quote(self.name)}", {"metadata": {"k": 1}}
        )
        assert changed.status == 200, changed.body
        version: dict[str, Any] = answer.json
        return version

    @cached_property
    def artifact(self) -> str:
        """The UUID of that name: a name itself is looked for among the caller's own, so a stranger's never is ours."""
        info = self.us.reader.ask("GET", f"/v1/name-info/{self.us.namespace}/{quote(self.version['name'])}")
        uuid: str = info.json["uuid"]
        return uuid

    @cached_property
    def upload(self) -> str:
        """One of tus."""
        answer = self.us.writer.ask("POST", "/v1/uploads", None, TUS | {"Upload-Length": "3"})
        assert answer.status == 201, answer.body
        return str(answer["Location"]).rpartition("/")[2]

    @cached_property
    def blind_upload(self) -> str:
        """One of Shaken Fist."""
        uuid: str = self.us.writer.ask("POST", "/upload").json["uuid"]
        return uuid

    @cached_property
    def parts(self) -> str:
        """One of Craft AI, with its first part here."""
        started = self.us.writer.ask("POST", f"{STORE}/upload/multipart", self.path, JSON)
        uuid: str = started.json["multipart_upload_id"]
        told = self.us.writer.ask("GET", f"{STORE}/upload/multipart/{uuid}?{self.query}&part_number=1").json
        link = told["signed_url"].removeprefix(self.us.daemon.url)
        self.etag = self.us.nobody.ask("PUT", link, b"x")["ETag"]
        assert self.etag is not None
        return uuid

    @property
    def path(self) -> dict[str, Any]:
        return {"path_to_object": self.name}

    @property
    def query(self) -> str:
        return f"path_to_object={quote(self.name)}"

    @property
    def part(self) -> dict[str, Any]:
        return self.path | {"multipart_upload_configuration": {"multipart_upload_id": self.parts}}

    @property
    def ended(self) -> dict[str, Any]:
        configured = self.part
        return configured | {"parts": [{"number": 1, "metadata": self.etag}]}

    @cached_property
    def backup(self) -> str:
        """A running one."""
        uuid: str = self.us.admin.ask("POST", "/v1/backups").json["id"]
        return uuid

    @cached_property
    def signing_key(self) -> str:
        """One that signs no more."""
        id = self.us.admin.ask("POST", "/v1/signing-keys").json["id"]
        assert self.us.admin.ask("POST", "/v1/signing-keys").status == 201
        return str(id)

    @cached_property
    def quarantined(self) -> str:
        """Of a payload that was found missing."""
        blob = self.us.add(f"{self.name} is gone".encode())
        os.unlink(path_of(self.us.daemon.data, blob["sha512"]))
        assert self.us.writer.ask("GET", f"/v1/blobs/{blob['uuid']}/data").status == 500
        kept = self.us.admin.ask("GET", "/v1/quarantine?limit=1000").json["items"]
        return next(str(item["id"]) for item in kept if item["sha512"] == blob["sha512"])

    @cached_property
    def named_key(self) -> str:
        body = {"key_name": self.name, "key": KEY}
        assert self.us.admin.ask("POST", f"/auth/namespaces/{self.us.namespace}/keys", body).status == 200
        return self.name

    @cached_property
    def token(self) -> str:
        uuid: str = self.world.made(self.name)["id"]
        return uuid

    def element(self, path: str, name: str) -> str:
        """What stands in the path for one of its elements."""
        match name:
            case "namespace" | "workspace":
                return self.us.namespace
            case "name":
                return quote(self.name)
            case "reference":
                return self.artifact
            case "id" if path.startswith("/v1/signing-keys"):
                return self.signing_key
            case "id" if path.startswith("/v1/quarantine"):
                return self.quarantined
            case "id":
                uuid: str = self.version["blob"]["uuid"]
                return uuid
            case "hex":
                digest: str = self.version["blob"]["sha512"]
                return digest
            case "upload":
                return self.parts
            case "key":
                return quote(self.named_key) if path.startswith("/auth") else "k"
            case "uuid":
                kinds = {"/v1/tokens": "token", "/v1/uploads": "upload", "/upload": "blind_upload"}
                kinds |= {"/v1/backups": "backup"}
                kind = next((kinds[start] for start in kinds if path.startswith(f"{start}/")), "blob")
                return str(getattr(self, kind))
        return {"algorithm": "sha512", "version": "1", "size": "0", "trusted": "friends"}[name]

    def target(self, key: Key) -> str:
        method, path = key
        if "{name" in path and method in ("GET", "DELETE", "PATCH"):
            assert self.version
        return ELEMENT.sub(lambda match: self.element(path, match[1]), path)

    def seen(self) -> list[Any]:
        """What of it all we see ourselves; it changes with whatever is done to it."""
        made, ours, name = vars(self), self.us.namespace, quote(self.name)
        paths = [f"/v1/versions/{ours}/{name}", f"/v1/namespaces/{ours}", f"/auth/namespaces/{ours}"]
        paths += [f"/v1/blobs/{self.blob}"] * ("blob" in made) + [f"/v1/name-info/{ours}/{name}"] * ("version" in made)
        found: list[Any] = [self.us.admin.ask("GET", path).json for path in paths]
        if "upload" in made:
            answer = self.us.writer.ask("HEAD", f"/v1/uploads/{self.upload}", headers=TUS)
            found.append((answer.status, answer["Upload-Offset"]))
        if "token" in made:
            known = self.us.admin.ask("GET", "/v1/tokens?limit=1000").json["items"]
            found += [token for token in known if token["id"] == self.token]
        return [{**item, "request_id": ""} if isinstance(item, dict) else item for item in found]


class Nobody:
    """Whoever has a namespace that there is not."""

    def __init__(self) -> None:
        self.namespace = f"ns-{uuid4()}"


class Nothing(Things):
    """The same questions about things that there are not, in our namespace or in one that there is not either."""

    us = None  # type: ignore[assignment]

    def __init__(self, world: World, name: str, is_ours: bool) -> None:
        super().__init__(world, name)
        self.us = world.us if is_ours else Nobody()  # type: ignore[assignment]
        self.blob = self.artifact = self.upload = self.blind_upload = self.parts = self.token = self.backup = ""
        for kind in ("blob", "artifact", "upload", "blind_upload", "parts", "token", "backup"):
            setattr(self, kind, str(uuid4()))
        digest = hashlib.sha512(uuid4().bytes).hexdigest()
        blob = {"uuid": str(uuid4()), "sha512": digest}
        self.version = {"name": self.name, "namespace": self.us.namespace, "blob": blob}
        self.signing_key = "999999999"
        self.etag, self.quarantined, self.named_key = '"x"', f"{digest}.20260101T000000.000000Z", self.name


# What differs from answer to answer, whoever asks for what.
PER_ANSWER = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{128}|\d{4}-\d\d-\d\dT[\d:.]+Z|\d{10}\.\d+|casd-signature=[\w-]+"
)
FIELDS_PER_ANSWER = ("Date", "X-Request-ID", "Content-Length")


def mask(things: Things, text: str) -> str:
    """The text without that, and without what the question named: that may be told again."""
    for named in (vars(things).get("quarantined", ""), quote(things.name), things.name):
        text = text.replace(named, "…") if named else text
    return PER_ANSWER.sub("…", text)


@dataclass(frozen=True)
class Asked:
    """What a route wants beside its path."""

    query: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def part(name: str, body: bytes, more: str = "") -> bytes:
    return f'--limit\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + body + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--limit--\r\n"


FILE = '; filename="f"'


def asked(key: Key, things: Things) -> Asked:
    """What a good request to the route says, about things that are there."""
    ours, value = things.us.namespace, {"value": 2}
    key_body = {"key_name": things.name, "key": ANOTHER_KEY}
    tables: dict[Key, Callable[[], Asked]] = {
        ("POST", "/v1/blobs"): lambda: Asked(f"?namespace={ours}", b"x"),
        ("GET", "/v1/blobs"): lambda: Asked(f"?namespace={ours}"),
        ("PUT", "/v1/blobs/{uuid}/metadata/{key}"): lambda: Asked(body=value),
        ("PUT", "/v1/names/{namespace}/{name}"): lambda: Asked(body=b"x"),
        ("PATCH", "/v1/name-info/{namespace}/{name}"): lambda: Asked(body={"protected": True}),
        ("POST", "/v1/signed-urls"): lambda: Asked(
            body={"path": f"/v1/names/{ours}/{quote(things.version['name'])}", "expires_in": 60}
        ),
        ("POST", "/v1/tokens"): lambda: Asked(body={"name": "new", "role": "admin", "namespaces": [ours]}),
        ("POST", "/v1/tokens/{uuid}/rotate"): lambda: Asked(body={"overlap_s": 0}),
        ("PUT", "/v1/namespaces/{namespace}"): lambda: Asked(body={"quota_blobs": 1_000_000}),
        MISSING: lambda: Asked(body={"sha512": [things.version["blob"]["sha512"]]}),
        ("GET", "/v1/uploads"): lambda: Asked(f"?sha512={'0' * 128}&size=3&namespace={ours}"),
        ("POST", "/v1/uploads"): lambda: Asked(headers=TUS | {"Upload-Length": "3", "Upload-Metadata": home(ours)}),
        ("HEAD", "/v1/uploads/{uuid}"): lambda: Asked(headers=TUS),
        ("PATCH", "/v1/uploads/{uuid}"): lambda: Asked(
            body=b"x", headers=TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        ),
        ("DELETE", "/v1/uploads/{uuid}"): lambda: Asked(headers=TUS),
        ("POST", "/v1/uploads/{uuid}"): lambda: Asked(headers=TUS | {"X-HTTP-Method-Override": "DELETE"}),
        ("POST", "/workspaces/{workspace}/files"): lambda: Asked(body=form(part("file", b"x", FILE)), headers=FORM),
        ("POST", "/api/blobs/"): lambda: Asked(
            body=form(part("uploaded_file", b"x", FILE), part("json_data", json.dumps({"name": things.name}).encode())),
            headers=FORM,
        ),
        ("GET", "/api/blobs/lookup/"): lambda: Asked(f"?name={quote(things.version['name'])}&owner={ours}"),
        ("PATCH", "/api/blobs/{id}/"): lambda: Asked(body={"name": f"{things.name} renamed"}),
        ("GET", "/api/blobs/{id}/export/"): lambda: Asked("?export_format=ARROW"),
        ("POST", OBJECT): lambda: Asked(body=form(part("file", b"x", FILE)), headers=FORM),
        ("POST", f"{STORE}/objects/{{namespace}}"): lambda: Asked(
            body=form(part("key", things.name.encode()), part("file", b"x", FILE)), headers=FORM
        ),
        ("PUT", OBJECT): lambda: Asked(f"?upload={things.parts}&part=1&start=0", b"x"),
        ("POST", "/auth/namespaces"): lambda: Asked(body={"namespace": ours}),
        ("POST", "/auth/namespaces/{namespace}/keys"): lambda: Asked(body=key_body),
        ("PUT", "/auth/namespaces/{namespace}/keys"): lambda: Asked(body=key_body | {"key_name": things.named_key}),
        ("POST", "/auth/namespaces/{namespace}/trust"): lambda: Asked(body={"external_namespace": "friends"}),
        ("POST", "/blobs/{uuid}/metadata"): lambda: Asked(body=value | {"key": "k"}),
        ("PUT", "/blobs/{uuid}/metadata/{key}"): lambda: Asked(body=value),
        ("POST", "/upload/{uuid}"): lambda: Asked(body=b"x"),
        ("POST", "/artifacts"): lambda: Asked(body={"url": "http://127.0.0.1/", "shared": False}),
        ("DELETE", "/artifacts"): lambda: Asked(
            body={"confirm": True, "namespace": things.version["namespace"]},
        ),
        ("POST", "/artifacts/upload/{name}"): lambda: Asked(body={"blob_uuid": things.blob, "namespace": ours}),
        ("POST", "/artifacts/{reference}/versions"): lambda: Asked(body={"max_versions": 2}),
        ("POST", "/artifacts/{reference}/metadata"): lambda: Asked(body=value | {"key": "k"}),
        ("PUT", "/artifacts/{reference}/metadata/{key}"): lambda: Asked(body=value),
        ("POST", "/label/{name}"): lambda: Asked(body={"blob_uuid": things.blob}),
        ("PUT", "/instances/{reference}/metadata/{key}"): lambda: Asked(body=value),
    }
    for store in (STORE, ENVIRONMENT_STORE):
        tables |= {
            ("POST", f"{store}/information"): lambda: Asked(body={"path_to_object": things.version["name"]}),
            ("POST", f"{store}/download"): lambda: Asked(body={"path_to_object": things.version["name"]}),
            ("DELETE", f"{store}/delete"): lambda: Asked(body={"path_to_object": things.version["name"]}),
            ("GET", f"{store}/upload"): lambda: Asked(f"?{things.query}"),
            ("POST", f"{store}/upload/multipart"): lambda: Asked(body=things.path),
            ("POST", f"{store}/upload/multipart/part"): lambda: Asked(
                body=things.part | {"chunk_size": 1, "part_number": 2}
            ),
            ("POST", f"{store}/upload/multipart/end"): lambda: Asked(body=things.ended),
            ("GET", f"{store}/upload/multipart/{{upload}}"): lambda: Asked(f"?{things.query}&part_number=1"),
            ("POST", f"{store}/upload/multipart/{{upload}}"): lambda: Asked(body=things.ended),
        }
    found = tables[key]() if key in tables else Asked()
    return replace(found, headers=JSON) if isinstance(found.body, dict) else found


def home(namespace: str) -> str:
    """tus metadata that names the namespace."""
    return f"namespace {base64.b64encode(namespace.encode()).decode()}"


# -- how each dialect refuses ---------------------------------------------------------------------------------------


def check_refused(answer: Answer, dialect: Dialect, path: str, status: int) -> None:
    """It has that status, in the dialect's own shape."""
    assert answer.status == status, (answer.status, answer.body)
    assert (answer["WWW-Authenticate"] is not None) == (status == 401)
    assert answer["X-Request-ID"]
    if path.startswith(f"{STORE}/objects/"):
        told = {node.tag: node.text for node in ElementTree.fromstring(answer.body.decode())}
        assert answer["Content-Type"] == "application/xml; charset=utf-8"
        assert told["Code"] == XML_CODES[status]
        return
    if dialect.name in ("native", "tus", "console"):
        assert answer.code
        assert answer["Tus-Resumable"] == ("1.0.0" if dialect.name == "tus" else None)
        return
    assert answer["Content-Type"] == "application/json"
    assert set(answer.json) == SHAPES[dialect.name]
    if dialect.name == "shakenfist":
        assert answer.json["status"] == status


XML_CODES = {
    400: "InvalidRequest",
    401: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
}
SHAPES = {
    "deeplake": {"error", "code"},
    "datapane": {"detail", "code", "request_id"},
    "craftai": {"message", "name", "request_id", "additional_data"},
    "shakenfist": {"error", "status"},
}


# -- the tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    daemon = Daemon(tmp_path_factory.mktemp("access") / "data").start()
    made = World(daemon)
    yield made
    assert leaks(daemon, made.wire.answers, made.secrets()) == []
    assert dangers(made.wire.answers) == []
    for party in (made.us, made.them):
        party.close()
    made.wire.connection.close()
    assert daemon.stop() == 0, daemon.log
    assert "Traceback" not in daemon.log
    # But for the payloads that were taken away, to have something in quarantine.
    assert not [line for line in daemon.log.splitlines() if " ERROR " in line and "payload" not in line]


@pytest.fixture
def things(world: World) -> Things:
    return Things(world, f"thing {next(world.numbers)}")


def test_each_open_route_was_opened_by_a_decision() -> None:
    found = {access: {key_of(r) for d in DIALECTS for r in d.routes if r.access is access} for access in Access}

    assert found[Access.OPEN] == OPEN.keys()
    assert found[Access.ANYONE] == ANYONE.keys()


def test_each_exception_here_is_a_route_that_there_is() -> None:
    known = {key_of(route) for dialect in DIALECTS for route in dialect.routes}

    assert len(known) == len(ROUTES)
    assert known >= READ_BY_OTHER_METHODS | WRITTEN_BY_GET | ADMINS | OF_THE_CALLER | REFUSED_TO_ALL.keys()


def test_what_is_not_there_is_said_in_the_shape_of_whose_path_it_is(world: World) -> None:
    """Without a credential: that a path or a method is unknown is no secret."""
    for dialect in DIALECTS:
        for prefix in dialect.prefixes:
            path = f"{prefix.rstrip('/')}/no/such/path/is/here"
            check_refused(world.wire.ask("GET", path), dialect, path, 404)
        for path in {key_of(route)[1] for route in dialect.routes}:
            answer = world.wire.ask("REPORT", ELEMENT.sub("x", path))
            check_refused(answer, dialect, path, 405)
            assert answer["Allow"]


@pytest.mark.parametrize(("path", "body"), [("/auth", "key"), ("/api/v1/auth/refresh", "refresh_token")])
def test_what_trades_credentials_takes_good_ones_only(world: World, path: str, body: str) -> None:
    dialect = next(dialect for dialect in DIALECTS if path in [route.path for route in dialect.routes])
    for secret in ("wrong", world.revoked["token"], world.expired, world.traded[dialect.name]):
        answer = world.wire.ask("POST", path, {body: secret, "namespace": world.us.namespace})
        check_refused(answer, dialect, path, 401)
    for nothing in ({}, {body: None, "namespace": world.us.namespace}, {body: 1, "namespace": world.us.namespace}):
        check_refused(world.wire.ask("POST", path, nothing), dialect, path, 400)


@pytest.mark.parametrize(("dialect", "route"), GUARDED)
def test_without_a_good_credential_nothing_opens(world: World, things: Things, dialect: Dialect, route: Route) -> None:
    key = key_of(route)
    target, told = things.target(key), asked(key, things)
    own, other = scheme(dialect.name), "Bearer" if dialect.name == "datapane" else "Token"
    before = things.seen()

    credentials = [
        "Basic eDp5",
        own,
        f"{own} ",
        f"{own} casd_wrong",
        f"{own} a.b.c",
        f"{own} sf~{world.us.namespace}~x",
    ]
    credentials += [f"{own} {world.revoked['token']}", f"{own} {world.expired}"]
    credentials += [f"{other} {world.daemon.token}"]
    credentials += [f"{own} {world.traded[dialect.name]}"] if dialect.name in world.traded else []
    for credential in (None, *credentials):
        headers = dict(told.headers) | ({} if credential is None else {"Authorization": credential})
        answer = world.wire.ask(key[0], target + told.query, told.body, headers)
        assert answer.status == 401, credential
        if key[0] != "HEAD":
            check_refused(answer, dialect, key[1], 401)
        if key[0] == "GET":
            answer = world.wire.ask("HEAD", target + told.query, None, headers)
            assert (answer.status, answer.body) == (401, b""), credential
    if route.is_signable or route.access is Access.ANYONE:
        for signature in ("casd-signature=", "casd-signature=AAAA", world.signature):
            query = f"{told.query}&{signature}" if told.query else f"?{signature}"
            for secret in ({}, {"Authorization": f"{own} casd_wrong"}):
                answer = world.wire.ask(key[0], target + query, told.body, dict(told.headers) | secret)
                check_refused(answer, dialect, key[1], 401)

    assert things.seen() == before


@pytest.mark.parametrize(("dialect", "route"), GUARDED)
def test_each_role_gets_as_far_as_it_should(world: World, things: Things, dialect: Dialect, route: Route) -> None:
    key = key_of(route)
    target, told = things.target(key), asked(key, things)
    before = things.seen()

    def ask(secret: str) -> Answer:
        return world.ask(dialect.name, key[0], target + told.query, secret, told.body, **told.headers)

    def check(answer: Answer, status: int) -> None:
        if key[0] == "HEAD":
            assert answer.status == status
        else:
            check_refused(answer, dialect, key[1], status)

    is_admins = key in ADMINS
    is_read = key in READ_BY_OTHER_METHODS or (key[0] == "GET" and key not in WRITTEN_BY_GET | ADMINS)
    too_small = 401 if is_admins and dialect.name == "shakenfist" else 403  # its clients log in again and try once more
    if key in REFUSED_TO_ALL:
        for secret in (world.reader, world.writer):
            check(ask(secret), REFUSED_TO_ALL[key])
        return
    # a stranger
    answer = ask(world.stranger)
    if is_admins:
        check(answer, too_small)
    elif key in OF_THE_CALLER:
        assert answer.status < 400, answer.body
        for ours in (world.us.namespace, *uuids(things)):
            assert ours.encode() not in answer.body
        if key == MISSING:
            assert answer.json["missing"] == [things.version["blob"]["sha512"]]
    else:
        check(answer, 404)
    # a role that is too small
    if not is_read:
        check(ask(world.reader), too_small)
    if is_admins:
        check(ask(world.writer), too_small)
    assert things.seen() == before
    # whom it is for
    answer = ask(world.reader if is_read else world.daemon.token if is_admins else world.writer)
    assert answer.status < 400, answer.body
    # the audit log knows of it, whatever the route
    log = world.us.admin.ask("GET", "/v1/audit").json["items"]
    verbs = [entry["action"] for entry in log if entry["request_id"] == answer["X-Request-ID"]]
    if key[0] not in ("GET", "HEAD", "OPTIONS") and key not in UNTOLD:
        assert verbs, "the audit log was told nothing"
    assert all(entry["dialect"] == dialect.name for entry in log if entry["request_id"] == answer["X-Request-ID"])


@pytest.mark.parametrize(("dialect", "route"), GUARDED)
def test_what_is_absent_and_what_is_foreign_answer_alike(
    world: World, things: Things, dialect: Dialect, route: Route
) -> None:
    """To a stranger, whatever its role: status, fields and body; whether the namespace is there or not either."""
    key = key_of(route)
    asked_for = [things, *(Nothing(world, f"none {next(world.numbers)}", is_ours) for is_ours in (True, False))]

    for secret in (world.stranger, world.strange_reader, None):
        seen = [shown(world, dialect, key, about, secret) for about in asked_for]

        assert seen[1] == seen[0]
        assert seen[2] == seen[0]


def shown(world: World, dialect: Dialect, key: Key, about: Things, secret: str | None) -> tuple[int, Any, str]:
    """All that an answer shows beside what was asked for and when."""
    target, told = about.target(key), asked(key, about)
    credential = {} if secret is None else {"Authorization": f"{scheme(dialect.name)} {secret}"}
    answer = world.wire.ask(key[0], target + told.query, told.body, dict(told.headers) | credential)
    request_id = answer["X-Request-ID"] or ""
    fields = sorted((name, value) for name, value in answer.headers.items() if name not in FIELDS_PER_ANSWER)
    return answer.status, mask(about, str(fields)), mask(about, answer.body.decode().replace(request_id, "id"))


def uuids(things: Things) -> list[str]:
    made = vars(things)
    found = [made[name] for name in ("blob", "upload", "blind_upload", "parts") if name in made]
    return [*found, made["version"]["blob"]["uuid"], things.artifact] if "version" in made else found
