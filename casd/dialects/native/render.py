"""What the native API answers: its JSON objects, and where they can be found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

from casd.catalogue.claims import Use
from casd.catalogue.values import Hit, Holders
from casd.model import BlobView, NameInfo, Namespace, Page, Token, Version
from casd.web.answers import json_response, path_of_version, time_text
from casd.web.query import cursor_text


def page_json(request: web.Request, page: Page[Any], items: Sequence[object]) -> web.Response:
    return json_response({"items": items, "next": cursor_text(request, page.next)})


def folder_json(request: web.Request, page: Page[Version | str]) -> web.Response:
    """The page's names, and beside them the folders, which count as items of the page."""
    names = [version_json(entry) for entry in page.items if not isinstance(entry, str)]
    folders = [entry for entry in page.items if isinstance(entry, str)]
    return json_response({"items": names, "folders": folders, "next": cursor_text(request, page.next)})


def blob_json(view: BlobView) -> dict[str, Any]:
    blob = view.blob
    return {
        "uuid": str(blob.uuid),
        "sha512": blob.digest.hex,
        "sha256": blob.sha256.hex(),
        "xxh3_128": blob.xxh3_128.hex(),
        "size": blob.size,
        "content_type": blob.content_type,
        "filename": blob.filename,
        "namespace": blob.namespace,
        "state": blob.state.value,
        "holds_itself": blob.holds_itself,
        "created_at": time_text(blob.created_at),
        "expires_at": time_text(blob.expires_at),
        "metadata": view.metadata,
        "names": [{"namespace": ref.namespace, "name": ref.name, "version": ref.number} for ref in view.names],
    }


def holders_json(holders: Holders, lease_until: datetime) -> dict[str, Any]:
    blob = holders.blob
    return {
        "uuid": str(blob.uuid),
        "namespace": blob.namespace,
        "size": blob.size,
        "holds_itself": blob.holds_itself,
        "expires_at": time_text(blob.expires_at),
        "version_count": blob.version_count,
        "versions": [
            {
                "namespace": held.ref.namespace,
                "name": held.ref.name,
                "version": held.ref.number,
                "hidden_at": time_text(held.hidden_at),
            }
            for held in holders.versions
        ],
        "other_blobs": holders.other_blobs,
        "frees_bytes": 0 if holders.other_blobs else blob.size,
        "lease_until": time_text(lease_until),
    }


def version_json(version: Version) -> dict[str, Any]:
    return {
        "namespace": version.namespace,
        "name": version.name,
        "version": version.number,
        "blob": None if version.view is None else blob_json(version.view),
        "created_at": time_text(version.created_at),
        "published_by": version.published_by,
        "deleted": version.is_marker,
        "protected": version.protected,
    }


def name_info_json(info: NameInfo) -> dict[str, Any]:
    return {
        "uuid": str(info.uuid),
        "namespace": info.namespace,
        "name": info.name,
        "metadata": info.metadata,
        "shared": info.shared,
        "protected": info.protected,
        "keep_versions": info.keep_versions,
        "source_url": info.source_url,
        "created_at": time_text(info.created_at),
        "hidden_at": time_text(info.hidden_at),
    }


def token_json(token: Token) -> dict[str, Any]:
    """Everything but the secret, which nobody keeps."""
    return {
        "id": str(token.uuid),
        "name": token.name,
        "role": token.role.value,
        "namespaces": list(token.namespaces),
        "created_at": time_text(token.created_at),
        "expires_at": time_text(token.expires_at),
        "revoked_at": time_text(token.revoked_at),
        "last_used_at": time_text(token.last_used_at),
        "rotated_at": time_text(token.rotated_at),
    }


def namespace_json(namespace: Namespace, use: Use, reserved: tuple[int, int]) -> dict[str, Any]:
    return {
        "name": namespace.name,
        "readers": sorted(namespace.readers),
        "anonymous_read": namespace.anonymous_read,
        "share_by_uuid": namespace.share_by_uuid,
        "quota_bytes": namespace.quota_bytes,
        "quota_blobs": namespace.quota_blobs,
        "keep_versions": namespace.keep_versions,
        "max_age_s": namespace.max_age_s,
        "used_bytes": use.used_bytes,
        "used_blobs": use.used_blobs,
        "reserved_bytes": reserved[0],
        "reserved_blobs": reserved[1],
    }


def version_path(version: Version) -> str:
    """Where exactly this version is."""
    return path_of_version(version.namespace, version.name, version.number)


def hit_json(hit: Hit) -> dict[str, Any]:
    """Whom the loss of a payload hits."""
    return {
        "blobs": [{"uuid": str(uuid), "namespace": namespace} for uuid, namespace in hit.blobs],
        "names": [{"namespace": ref.namespace, "name": ref.name, "version": ref.number} for ref in hit.versions],
        "blob_count": hit.blob_count,
        "version_count": hit.version_count,
    }
