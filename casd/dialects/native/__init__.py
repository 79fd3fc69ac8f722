"""casd's own HTTP API: `/v1` and the few paths beside it. DESIGN.md 8 is its contract.

The modules beside this one hold the handlers, each parse, call the core, render; `render.py` holds the JSON that goes
out; the table below is the whole API. Its patterns let braces and line breaks pass, which aiohttp's own would answer
with 404: whether a key or a name is one is for the handlers to say.
"""

from casd.dialects.native import (
    about,
    accounts,
    audit,
    backups,
    blobs,
    describing,
    docs,
    names,
    quarantine,
    service,
    signing,
    upkeep,
    watching,
)
from casd.web.dialect import Access, Dialect, Route, bearer
from casd.web.errors import problem

KEY = "/v1/blobs/{uuid}/metadata/{key:[^/]+}"
PAYLOAD = "/v1/payloads/sha512/{hex}"
CHECKSUM = "/v1/checksums/{algorithm:[^/]+}/{hex:[^/]+}"
NAMESPACE = "{namespace:[^/]+}"
NAME = "{namespace:[^/]+}/{name:(?s:.*)}"

NATIVE = Dialect(
    name="native",
    prefixes=("/v1", "/"),
    credential=bearer,
    render_error=problem,
    prepare=docs.prepare,
    routes=(
        # Routes are tried in this order: the busiest of those that begin alike goes first.
        Route("GET", "/v1/blobs/{uuid}/data", blobs.data, Access.ANYONE, is_signable=True, about=about.blobs.DATA),
        Route("GET", "/", service.root, Access.OPEN, about=about.service.ROOT),
        Route("GET", "/healthz", service.healthz, Access.OPEN, about=about.service.HEALTHZ),
        Route("GET", "/readyz", service.readyz, Access.OPEN, about=about.service.READYZ),
        Route("GET", "/metrics", watching.metrics, Access.ANYONE, about=about.service.METRICS),
        Route("GET", "/openapi.json", describing.openapi, Access.OPEN, about=about.service.OPENAPI),
        Route("GET", "/docs", docs.home, Access.OPEN, about=about.service.DOCS),
        Route("GET", "/docs/{topic}", docs.topic, Access.OPEN, about=about.service.GUIDE),
        Route("POST", "/v1/blobs", blobs.add, about=about.blobs.ADD),
        Route("GET", "/v1/blobs", blobs.listing, about=about.blobs.LISTING),
        Route("GET", "/v1/blobs/{uuid}", blobs.info, Access.ANYONE, about=about.blobs.INFO),
        Route("DELETE", "/v1/blobs/{uuid}", blobs.delete, about=about.blobs.DELETE),
        Route("GET", "/v1/blobs/{uuid}/holders", blobs.holders, about=about.blobs.HOLDERS),
        Route("GET", "/v1/blobs/{uuid}/blocks", blobs.blocks, Access.ANYONE, about=about.blobs.BLOCK_LIST),
        Route("GET", "/v1/blobs/{uuid}/metadata", blobs.metadata, about=about.blobs.METADATA),
        Route("GET", KEY, blobs.metadata_value, about=about.blobs.VALUE),
        Route("PUT", KEY, blobs.set_metadata, about=about.blobs.SET),
        Route("DELETE", KEY, blobs.delete_metadata, about=about.blobs.UNSET),
        Route("GET", PAYLOAD, blobs.payload, Access.ANYONE, is_signable=True, about=about.payloads.DATA),
        Route("GET", f"{PAYLOAD}/blocks", blobs.payload_blocks, Access.ANYONE, about=about.payloads.BLOCK_LIST),
        Route("POST", "/v1/payloads/missing", blobs.missing, about=about.payloads.MISSING),
        Route("GET", CHECKSUM, blobs.by_checksum, about=about.payloads.BY_CHECKSUM),
        Route("GET", f"/v1/names/{NAMESPACE}", names.listing, about=about.names.LISTING),
        Route("PUT", f"/v1/names/{NAME}", names.put, about=about.names.PUT),
        Route("GET", f"/v1/names/{NAME}", names.data, Access.ANYONE, is_signable=True, about=about.names.DATA),
        Route("DELETE", f"/v1/names/{NAME}", names.delete, about=about.names.DELETE),
        Route("GET", f"/v1/versions/{NAME}", names.versions, about=about.names.VERSIONS),
        Route("GET", f"/v1/name-info/{NAME}", names.info, about=about.names.INFO),
        Route("PATCH", f"/v1/name-info/{NAME}", names.update, about=about.names.UPDATE),
        Route("POST", "/v1/signed-urls", signing.add, about=about.accounts.SIGN),
        Route("POST", "/v1/signing-keys", signing.add_key, about=about.accounts.ADD_KEY),
        Route("GET", "/v1/signing-keys", signing.keys, about=about.accounts.LIST_KEYS),
        Route("DELETE", "/v1/signing-keys/{id:[^/]+}", signing.retire_key, about=about.accounts.RETIRE_KEY),
        Route("GET", "/v1/whoami", accounts.whoami, about=about.accounts.WHOAMI),
        Route("POST", "/v1/tokens", accounts.add_token, about=about.accounts.ADD_TOKEN),
        Route("GET", "/v1/tokens", accounts.tokens, about=about.accounts.LIST_TOKENS),
        Route("DELETE", "/v1/tokens/{uuid}", accounts.revoke_token, about=about.accounts.REVOKE_TOKEN),
        Route("POST", "/v1/tokens/{uuid}/rotate", accounts.rotate_token, about=about.accounts.ROTATE_TOKEN),
        Route("GET", "/v1/namespaces", accounts.namespaces, about=about.accounts.LIST_NAMESPACES),
        Route("GET", f"/v1/namespaces/{NAMESPACE}", accounts.namespace, about=about.accounts.NAMESPACE),
        Route("PUT", f"/v1/namespaces/{NAMESPACE}", accounts.update_namespace, about=about.accounts.UPDATE_NAMESPACE),
        Route("GET", "/v1/quarantine", quarantine.listing, about=about.upkeep.LIST_QUARANTINE),
        Route("GET", "/v1/quarantine/{id:[^/]+}", quarantine.show, about=about.upkeep.QUARANTINED),
        Route("DELETE", "/v1/quarantine/{id:[^/]+}", quarantine.purge, about=about.upkeep.PURGE_QUARANTINED),
        Route("GET", "/v1/audit", audit.listing, about=about.audit.LISTING),
        Route("GET", "/v1/status", service.status, about=about.service.STATUS),
        Route("GET", "/v1/samples", watching.samples, about=about.service.SAMPLES),
        Route("POST", "/v1/backups", backups.begin, about=about.upkeep.BEGIN_BACKUP),
        Route("PUT", "/v1/backups/{uuid}", backups.renew, about=about.upkeep.RENEW_BACKUP),
        Route("DELETE", "/v1/backups/{uuid}", backups.end, about=about.upkeep.END_BACKUP),
        Route("POST", "/v1/upkeep/expire", upkeep.expire, about=about.upkeep.EXPIRE),
        Route("POST", "/v1/upkeep/collect-garbage", upkeep.collect_garbage, about=about.upkeep.COLLECT),
        Route("POST", "/v1/upkeep/scrub", upkeep.scrub, about=about.upkeep.SCRUB),
        Route("POST", "/v1/upkeep/repair", upkeep.repair, about=about.upkeep.REPAIR),
    ),
)
