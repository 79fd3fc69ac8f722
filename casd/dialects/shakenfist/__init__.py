"""Shaken Fist's blobs, uploads and artifacts, for its unmodified clients (0.7.9 to 0.8.3).

Success is always 200 with JSON, and nothing ever answers 406, on which clients wait for an hour. The order of routes
matters: `upload` is no artifact's name in a path.
"""

from casd.dialects.shakenfist import access, artifacts, blobs, fetching, publishing, uploads
from casd.dialects.shakenfist.render import render_error
from casd.web.dialect import Access, Dialect, Route, bearer

WORDS = (
    "blob-metadata",
    "blob-search-by-hash",
    "blob-checksums",
    "blob-single-checksum",
    "blob-hash-sha256",
    "blob-hash-xxh128",
    "artifact-metadata",
)  # not blob-data-limit: with it, clients before 0.8.2 fetch the first 512 MiB of a blob for ever

SHAKENFIST = Dialect(
    name="shakenfist",
    prefixes=("/auth", "/blobs", "/blob_checksums", "/upload", "/artifacts", "/label", "/instances"),
    credential=bearer,
    identify=access.identify,
    render_error=render_error,
    words=WORDS,
    prepare=fetching.prepare,
    routes=(
        Route("POST", "/auth", access.log_in, Access.OPEN),
        Route("GET", "/auth/namespaces", access.namespaces),
        Route("POST", "/auth/namespaces", access.add_namespace),
        Route("GET", "/auth/namespaces/{namespace}", access.namespace),
        Route("DELETE", "/auth/namespaces/{namespace}", access.delete_namespace),
        Route("GET", "/auth/namespaces/{namespace}/metadata", access.namespace_metadata),
        Route("POST", "/auth/namespaces/{namespace}/metadata", access.change_namespace_metadata),
        Route("PUT", "/auth/namespaces/{namespace}/metadata/{key:[^/]+}", access.change_namespace_metadata),
        Route("DELETE", "/auth/namespaces/{namespace}/metadata/{key:[^/]+}", access.change_namespace_metadata),
        Route("GET", "/auth/namespaces/{namespace}/keys", access.key_names),
        Route("POST", "/auth/namespaces/{namespace}/keys", access.set_key),
        Route("PUT", "/auth/namespaces/{namespace}/keys", access.update_key),
        Route("DELETE", "/auth/namespaces/{namespace}/keys/{key:[^/]+}", access.delete_key),
        Route("POST", "/auth/namespaces/{namespace}/trust", access.add_trust),
        Route("DELETE", "/auth/namespaces/{namespace}/trust/{trusted}", access.remove_trust),
        Route("GET", "/blobs", blobs.listing),
        Route("GET", "/blobs/{uuid}", blobs.info),
        Route("GET", "/blobs/{uuid}/data", blobs.data),
        Route("GET", "/blobs/{uuid}/checksum/{algorithm}", blobs.checksum),
        Route("GET", "/blobs/{uuid}/events", blobs.events),
        Route("GET", "/blobs/{uuid}/metadata", blobs.metadata),
        Route("POST", "/blobs/{uuid}/metadata", blobs.add_metadata),
        Route("PUT", "/blobs/{uuid}/metadata/{key:[^/]+}", blobs.set_metadata),
        Route("DELETE", "/blobs/{uuid}/metadata/{key:[^/]+}", blobs.delete_metadata),
        Route("GET", "/blob_checksums/sha512/{hex}", blobs.by_sha512),
        Route("POST", "/upload", uploads.create),
        Route("POST", "/upload/{uuid}", uploads.append),
        Route("POST", "/upload/{uuid}/truncate/{size}", uploads.truncate),
        Route("GET", "/artifacts", artifacts.listing),
        Route("POST", "/artifacts", publishing.fetch),
        Route("DELETE", "/artifacts", artifacts.delete_all),
        Route("POST", "/artifacts/upload/{name:[^/]+}", publishing.upload),
        Route("GET", "/artifacts/{reference:[^/]+}", artifacts.info),
        Route("DELETE", "/artifacts/{reference:[^/]+}", artifacts.delete),
        Route("GET", "/artifacts/{reference:[^/]+}/events", artifacts.events),
        Route("GET", "/artifacts/{reference:[^/]+}/versions", artifacts.versions),
        Route("POST", "/artifacts/{reference:[^/]+}/versions", artifacts.limit_versions),
        Route("DELETE", "/artifacts/{reference:[^/]+}/versions/{version}", artifacts.delete_version),
        Route("POST", "/artifacts/{reference:[^/]+}/share", artifacts.share),
        Route("POST", "/artifacts/{reference:[^/]+}/unshare", artifacts.unshare),
        Route("GET", "/artifacts/{reference:[^/]+}/metadata", artifacts.metadata),
        Route("POST", "/artifacts/{reference:[^/]+}/metadata", artifacts.add_metadata),
        Route("PUT", "/artifacts/{reference:[^/]+}/metadata/{key:[^/]+}", artifacts.set_metadata),
        Route("DELETE", "/artifacts/{reference:[^/]+}/metadata/{key:[^/]+}", artifacts.delete_metadata),
        Route("POST", "/label/{name:[^/]+}", publishing.label),
        Route("PUT", "/instances/{reference:[^/]+}/metadata/{key:[^/]+}", publishing.set_any_metadata),
        Route("DELETE", "/instances/{reference:[^/]+}/metadata/{key:[^/]+}", publishing.delete_any_metadata),
    ),
)
