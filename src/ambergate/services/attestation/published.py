"""What the service publishes to everybody: keys, revocation lists, and pages about its tokens."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from ambergate.core.token.issue import KEY_SET_PATHS
from ambergate.core.token.jose import ALGORITHMS
from ambergate.services.attestation.certificates import CA_CRL_PATH, CRL_LIFETIME, ROOT_CRL_PATH
from ambergate.services.attestation.key_plan import KEY_SET_AGE
from ambergate.services.attestation.pki import TokenPki
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ambergate.services.attestation.keyring import KeyRing
    from ambergate.services.attestation.usecase import Issuer

# A rotation rests on it: who keeps a key set for longer may refuse tokens that are good.
_KEEP: Final = {"cache-control": f"max-age={int(KEY_SET_AGE.total_seconds())}"}
_PROFILE: Final = """\
<!DOCTYPE html>
<title>EAT profile</title>
<p>Attestation tokens of this service are JWTs (RFC 7519) signed with PS384, RS256 or ES256. With the flat claims of
<code>ver</code> 1.0.0: <code>attester_*</code>, <code>sgx_*</code>, <code>tdx_*</code>, <code>verifier_*</code>. With
<code>ver</code> 2.0.0 the same names, those about the evidence inside <code>sgx</code> or <code>tdx</code>. With
<code>ver</code> 1.0 the names of 2022, <code>amber_*</code>. Whatever the form, a token about a software platform says
<code>"tee_simulated": true</code>, and names another issuer unless its operator chose otherwise.</p>
"""


def published_routes(keys: KeyRing, issuer: Issuer, now: Callable[[], datetime]) -> list[Route]:
    """All of it. Open to all, whatever they accept."""
    return [*certs_routes(keys), discovery_route(issuer), profile_route(), *crl_routes(keys, now)]


def discovery_route(issuer: Issuer) -> Route:
    """`GET /.well-known/openid-configuration`: where the keys are, and who tokens about hardware say they are of."""
    told = {
        "issuer": issuer.name_for(simulated=False),
        "jwks_uri": issuer.base_url + KEY_SET_PATHS["PS384"],
        "revocation_endpoint": issuer.base_url + CA_CRL_PATH,
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        # The keys at `jwks_uri`; that of the third algorithm stands apart.
        "id_token_signing_alg_values_supported": [a for a in ALGORITHMS if KEY_SET_PATHS[a] == KEY_SET_PATHS["PS384"]],
    }

    async def handle(request: Request) -> Response:
        del request
        return json_response(told, headers=_KEEP)

    return Route("/.well-known/openid-configuration", handle, methods=["GET"])


def certs_routes(keys: KeyRing) -> list[Route]:
    """`GET /certs` and `/certs/es256`: the key sets that check tokens. Open to all."""
    return [
        _certs_route(KEY_SET_PATHS["PS384"], keys, TokenPki.key_set),
        _certs_route(KEY_SET_PATHS["ES256"], keys, TokenPki.ec_key_set),
    ]


def _certs_route(path: str, keys: KeyRing, key_set: Callable[[TokenPki], dict[str, object]]) -> Route:
    async def handle(request: Request) -> Response:
        del request
        return json_response(key_set(await keys.published()), headers=_KEEP)

    return Route(path, handle, methods=["GET"])


def profile_route() -> Route:
    """`GET /eat_profile.html`: what the claim `eat_profile` points to (RFC 9711, 4.3.2). Open to all."""

    async def handle(request: Request) -> Response:
        del request
        return Response(_PROFILE, media_type="text/html")

    return Route("/eat_profile.html", handle, methods=["GET"])


def crl_routes(keys: KeyRing, now: Callable[[], datetime]) -> list[Route]:
    """`GET /crl/root-ca-crl.der` and `/crl/ats-ca-crl.der`. Open to all, whatever they accept."""
    return [
        _crl_route(ROOT_CRL_PATH, keys, TokenPki.root_crl, now),
        _crl_route(CA_CRL_PATH, keys, TokenPki.ca_crl, now),
    ]


def _crl_route(
    path: str, keys: KeyRing, make: Callable[[TokenPki, datetime], bytes], now: Callable[[], datetime]
) -> Route:
    crl = _FreshCrl(make)

    async def handle(request: Request) -> Response:
        del request
        pki = await keys.published()
        return Response(await run_in_threadpool(crl.get, pki, now()), media_type="application/pkix-crl")

    return Route(path, handle, methods=["GET"])


class _FreshCrl:
    """A revocation list, signed again when half of its time is over, or something else is revoked."""

    def __init__(self, make: Callable[[TokenPki, datetime], bytes]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._held: tuple[datetime, frozenset[str], bytes] | None = None

    def get(self, pki: TokenPki, at: datetime) -> bytes:
        """The list, good for another `CRL_LIFETIME / 2` at least."""
        with self._lock:
            held = self._held
            if held is None or held[1] != pki.revoked or not timedelta(0) <= at - held[0] < CRL_LIFETIME / 2:
                held = self._held = (at, pki.revoked, self._make(pki, at))
            return held[2]
