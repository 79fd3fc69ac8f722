"""casd's own HTTP API: `/v1` and the few paths beside it. DESIGN.md 8 is its contract.

The modules beside this one hold the handlers, each parse, call the core, render; `render.py` holds the JSON that goes
out; the table below is the whole API. Its patterns let braces and line breaks pass, which aiohttp's own would answer
with 404: whether a key or a name is one is for the handlers to say.
"""

from casd.dialects.native import accounts, backups, blobs, names, quarantine, service, signing, upkeep, watching
from casd.web.dialect import Access, Dialect, Route, bearer
from casd.web.errors import problem

NATIVE = Dialect(
    name="native",
    prefixes=("/v1", "/"),
    credential=bearer,
    render_error=problem,
    routes=(
        # Routes are tried in this order: the busiest of those that begin alike goes first.
        Route("GET", "/v1/blobs/{uuid}/data", blobs.data, Access.ANYONE, is_signable=True),
        Route("GET", "/", service.root, Access.OPEN),
        Route("GET", "/healthz", service.healthz, Access.OPEN),
        Route("GET", "/readyz", service.readyz, Access.OPEN),
        Route("POST", "/v1/blobs", blobs.add),
        Route("GET", "/v1/blobs", blobs.listing),
        Route("GET", "/v1/blobs/{uuid}", blobs.info, Access.ANYONE),
        Route("DELETE", "/v1/blobs/{uuid}", blobs.delete),
        Route("GET", "/v1/blobs/{uuid}/holders", blobs.holders),
        Route("GET", "/v1/blobs/{uuid}/blocks", blobs.blocks, Access.ANYONE),
        Route("GET", "/v1/blobs/{uuid}/metadata", blobs.metadata),
        Route("GET", "/v1/blobs/{uuid}/metadata/{key:[^/]+}", blobs.metadata_value),
        Route("PUT", "/v1/blobs/{uuid}/metadata/{key:[^/]+}", blobs.set_metadata),
        Route("DELETE", "/v1/blobs/{uuid}/metadata/{key:[^/]+}", blobs.delete_metadata),
        Route("GET", "/v1/payloads/sha512/{hex}", blobs.payload, Access.ANYONE, is_signable=True),
        Route("GET", "/v1/payloads/sha512/{hex}/blocks", blobs.payload_blocks, Access.ANYONE),
        Route("POST", "/v1/payloads/missing", blobs.missing),
        Route("GET", "/v1/checksums/{algorithm:[^/]+}/{hex:[^/]+}", blobs.by_checksum),
        Route("GET", "/v1/names/{namespace:[^/]+}", names.listing),
        Route("PUT", "/v1/names/{namespace:[^/]+}/{name:(?s:.*)}", names.put),
        Route("GET", "/v1/names/{namespace:[^/]+}/{name:(?s:.*)}", names.data, Access.ANYONE, is_signable=True),
        Route("DELETE", "/v1/names/{namespace:[^/]+}/{name:(?s:.*)}", names.delete),
        Route("GET", "/v1/versions/{namespace:[^/]+}/{name:(?s:.*)}", names.versions),
        Route("GET", "/v1/name-info/{namespace:[^/]+}/{name:(?s:.*)}", names.info),
        Route("PATCH", "/v1/name-info/{namespace:[^/]+}/{name:(?s:.*)}", names.update),
        Route("POST", "/v1/signed-urls", signing.add),
        Route("POST", "/v1/signing-keys", signing.add_key),
        Route("GET", "/v1/signing-keys", signing.keys),
        Route("GET", "/v1/whoami", accounts.whoami),
        Route("POST", "/v1/tokens", accounts.add_token),
        Route("GET", "/v1/tokens", accounts.tokens),
        Route("DELETE", "/v1/tokens/{uuid}", accounts.revoke_token),
        Route("GET", "/v1/namespaces", accounts.namespaces),
        Route("GET", "/v1/namespaces/{namespace:[^/]+}", accounts.namespace),
        Route("PUT", "/v1/namespaces/{namespace:[^/]+}", accounts.update_namespace),
        Route("GET", "/v1/quarantine", quarantine.listing),
        Route("GET", "/v1/quarantine/{id:[^/]+}", quarantine.show),
        Route("DELETE", "/v1/quarantine/{id:[^/]+}", quarantine.purge),
        Route("GET", "/v1/status", service.status),
        Route("GET", "/v1/samples", watching.samples),
        Route("POST", "/v1/backups", backups.begin),
        Route("PUT", "/v1/backups/{uuid}", backups.renew),
        Route("DELETE", "/v1/backups/{uuid}", backups.end),
        Route("POST", "/v1/upkeep/expire", upkeep.expire),
        Route("POST", "/v1/upkeep/collect-garbage", upkeep.collect_garbage),
        Route("POST", "/v1/upkeep/scrub", upkeep.scrub),
        Route("POST", "/v1/upkeep/repair", upkeep.repair),
    ),
)
