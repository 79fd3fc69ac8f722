"""tus 1.0.0 (https://tus.io/protocols/resumable-upload) on /v1/uploads, and the search for unfinished uploads there.

`asking.py` is what a request says, `calls.py` what is done, `listing.py` the search by content.

`Upload-Metadata` may carry filename, filetype, namespace, name, expires_in (seconds from its completion), sha512 and
xxh3_128 (hex); other keys are kept and told again. The answer that completes an upload, and to each HEAD until it
expires, says what it became: `Casd-Blob`, `Casd-Sha512`, and under a name `Content-Location` of the version.
`Casd-Session` on a request says which running client sends it.
"""

from casd.dialects.tus import about
from casd.dialects.tus.asking import parsed_metadata
from casd.dialects.tus.calls import create, head, options, overridden, patch, render_error, terminate, versioned
from casd.dialects.tus.listing import listing
from casd.web.dialect import Access, Dialect, Route, bearer

__all__ = ["TUS", "parsed_metadata"]

TUS = Dialect(
    name="tus",
    prefixes=("/v1/uploads",),
    credential=bearer,
    render_error=render_error,
    routes=(
        Route("OPTIONS", "/v1/uploads", options, Access.OPEN, about=about.OPTIONS),
        Route("POST", "/v1/uploads", versioned(create), about=about.CREATE),
        Route("GET", "/v1/uploads", listing, about=about.LISTING),
        Route("HEAD", "/v1/uploads/{uuid}", versioned(head), about=about.HEAD),
        Route("PATCH", "/v1/uploads/{uuid}", versioned(patch), about=about.PATCH),
        Route("DELETE", "/v1/uploads/{uuid}", versioned(terminate), about=about.DELETE),
        Route("POST", "/v1/uploads/{uuid}", versioned(overridden), about=about.OVERRIDDEN),
    ),
)
