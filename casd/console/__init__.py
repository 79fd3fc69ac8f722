"""The console: pages for people, at `/` where a browser asks and below `/console/`.

`assets.py` is its files as they are sent; `static/` has them. They are what the browser runs: nothing is built, and
nothing in them comes from another host. All that they show they fetch through the native API, with the token that
whoever looks has typed in; so these routes are open, and say nothing of what is stored.
"""

from aiohttp import web

from casd.console.assets import IMMUTABLE, REVALIDATE, Asset, Assets
from casd.errors import NotFound
from casd.web.conditions import was_seen
from casd.web.dialect import Access, Dialect, Route, bearer
from casd.web.errors import problem
from casd.web.keys import FRONT_PAGE

ASSETS = web.AppKey("console_assets", Assets)

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # SHA-512 of what is dropped, in WebAssembly
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # no text becomes markup or a script, by nobody's mistake
        "trusted-types casd-script",
    )
)
SAFETY = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def prepare(app: web.Application) -> None:
    app[ASSETS] = Assets.read()
    app[FRONT_PAGE] = page


async def page(request: web.Request) -> web.Response:
    return answer(request, request.app[ASSETS].page, REVALIDATE)


async def file(request: web.Request) -> web.Response:
    """A file by its path, or for good below the version of all of them. Raises NotFound."""
    assets, path = request.app[ASSETS], request.match_info["path"]
    version, _, below = path.partition("/")
    if version == assets.version and below in assets.files:
        return answer(request, assets.files[below], IMMUTABLE)
    if path in assets.files:
        return answer(request, assets.files[path], REVALIDATE)
    raise NotFound("the console has no such file; if the daemon was updated, load the page again")


def answer(request: web.Request, asset: Asset, cache_control: str) -> web.Response:
    headers = {"ETag": f'"{asset.etag}"', "Cache-Control": cache_control, "Vary": "Accept-Encoding", **SAFETY}
    if was_seen(request.headers, asset.etag):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get("Accept-Encoding", "") and asset.gzipped is not None:
        body, headers["Content-Encoding"] = asset.gzipped, "gzip"
    return web.Response(body=body, headers=headers | {"Content-Type": asset.content_type})


CONSOLE = Dialect(
    name="console",
    prefixes=("/console",),
    credential=bearer,
    render_error=problem,
    prepare=prepare,
    routes=(Route("GET", "/console/{path:.+}", file, Access.OPEN),),
)
