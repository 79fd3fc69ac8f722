"""Whether what opened a request still opens anything: asked at each block of a transfer, in both directions.

A credential is looked up when a request begins. A transfer can last for days after that, so it looks again at each of
its blocks: a revoked token, one that has expired, or a secret whose overlap has ended, moves no other. The look-up is
one in the catalogue's cache, which a revocation empties: 2 us beside the 60 of sending a block.

A signed URL's own end is not looked at again: it says until when a transfer may begin. Nor is a dialect's access
token's, which clients renew between requests. Both end with their token.
"""

from aiohttp import web

from casd import auth
from casd.auth import Principal
from casd.web.keys import PRINCIPAL, SECRET_HASH, store_of


async def check_still_good(request: web.Request) -> None:
    """Raise Unauthenticated if the request's token opens nothing any more."""
    principal: Principal | None = request.get(PRINCIPAL)
    if principal is None:
        return
    store = store_of(request)
    secret = request.get(SECRET_HASH)  # None: by a signature
    token = await (store.catalogue.token(secret) if secret else store.catalogue.token_by_id(principal.token))
    auth.principal_of(token, store.now())
