"""Craft AI's data store: `/api/v1` and `/environments/{namespace}/api/v1`, for craft-ai-sdk from 0.15 on.

An environment is a namespace, without one in the URL the token's home; an object's path is a name in it, which keeps
one version and whose deletion is real. Bytes travel over signed links, whose errors are XML as S3 has it: the SDK reads
no other. The SDK's other services, its control plane, are not here.
"""

from casd.dialects.craftai import access, links, multipart, objects
from casd.dialects.craftai.render import OBJECTS, render_error
from casd.web.dialect import Access, Dialect, Route, bearer

ENVIRONMENTS = ("/api/v1", "/environments/{namespace}/api/v1")
OBJECT = OBJECTS + "/{namespace}/{name:(?s:.*)}"

CRAFTAI = Dialect(
    name="craftai",
    prefixes=("/api/v1", "/environments"),
    credential=bearer,
    identify=access.identify,
    render_error=render_error,
    routes=(
        Route("POST", "/api/v1/auth/refresh", access.refresh, Access.OPEN),
        Route("GET", "/api/v1/users/me", access.me),
        Route("GET", OBJECT, links.get, is_signable=True),
        Route("POST", OBJECT, links.post, is_signable=True, purpose=links.POST),
        Route("POST", OBJECTS + "/{namespace}", links.post, is_signable=True, purpose=links.POST),
        Route("PUT", OBJECT, links.put_part, is_signable=True, purpose=links.PUT),
        *(
            Route(method, f"{environment}/data-store/{path}", handler)
            for environment in ENVIRONMENTS
            for method, path, handler in (
                ("GET", "list", objects.listing),
                ("POST", "information", objects.information),
                ("GET", "upload", objects.upload),
                ("POST", "download", objects.download),
                ("DELETE", "delete", objects.delete),
                ("POST", "upload/multipart", multipart.start),
                ("POST", "upload/multipart/part", multipart.part),
                ("POST", "upload/multipart/end", multipart.end),
                ("GET", "upload/multipart/{upload}", multipart.older_part),
                ("POST", "upload/multipart/{upload}", multipart.older_end),
            )
        ),
    ),
)
