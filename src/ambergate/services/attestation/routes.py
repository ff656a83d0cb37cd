"""The attestation service's HTTP surface: reading requests, writing answers. Judgement is the use case's."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

import ambergate
from ambergate.core.token.issue import KEY_SET_PATHS
from ambergate.services.attestation.pki import CA_CRL_PATH, CRL_LIFETIME, ROOT_CRL_PATH
from ambergate.services.attestation.ports import ANYBODY
from ambergate.services.attestation.wire import AttestRequest, NonceWire, TokenResponse, Version, read_request
from ambergate.services.web.bodies import decode, read_body
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ambergate.services.attestation.nonces import Nonces
    from ambergate.services.attestation.pki import TokenPki
    from ambergate.services.attestation.ports import Authorisation, Caller
    from ambergate.services.attestation.usecase import Attestation

_JSON: Final = "application/json"
_OLD_TOKEN: Final = "application/jwt"  # noqa: S105  a media type; before December 2022 the body was the bare token
_MEDIA: Final = frozenset({_JSON, _OLD_TOKEN, "application/*", "*/*", ""})


_PROFILE: Final = """\
<!DOCTYPE html>
<title>EAT profile</title>
<p>Attestation tokens of this service are JWTs (RFC 7519) signed with PS384, RS256 or ES256, with the flat claims of
version 1.0.0: <code>attester_*</code>, <code>sgx_*</code>, <code>tdx_*</code>, <code>verifier_*</code>. A token about a
software platform says <code>"tee_simulated": true</code> and names another issuer.</p>
"""


class Authoriser:
    """Lets a request pass whose `x-api-key` is good. Looks it up in a thread: a database is asked.

    Args:
        keys: who may ask.
        anonymous: whether a request without the header passes too.
    """

    def __init__(self, keys: Authorisation, *, anonymous: bool) -> None:
        self._keys = keys
        self._anonymous = anonymous

    async def __call__(self, request: Request) -> Caller:
        """Who asks; raises `NotAuthorised`."""
        given = request.headers.get("x-api-key")
        if given is None and self._anonymous:
            return ANYBODY
        return await run_in_threadpool(self._keys.authorise, given or "")


def nonce_route(nonces: Nonces, authorise: Authoriser, now: Callable[[], datetime]) -> Route:
    """`GET /appraisal/v1/nonce`."""

    async def handle(request: Request) -> Response:
        await authorise(request)
        nonce = nonces.make(now())
        return json_response(NonceWire(nonce.val, nonce.iat, nonce.signature))

    return Route("/appraisal/v1/nonce", handle, methods=["GET"])


def attest_route(attestation: Attestation, authorise: Authoriser, now: Callable[[], datetime]) -> Route:
    """`POST /appraisal/v1/attest`.

    Verification and signing take milliseconds of CPU, most of it in OpenSSL without the interpreter's lock: they run
    in the thread pool, so that other requests, /healthz among them, are answered meanwhile.
    """

    async def handle(request: Request) -> Response:
        caller = await authorise(request)
        accepted = _accepted(request)
        body = await read_body(request)
        if request.headers.get("content-type", _JSON).partition(";")[0].strip().lower() != _JSON:
            raise HTTPException(415, "this reads application/json only; say so in Content-Type")
        evidence = read_request(decode(body, AttestRequest))
        token = await run_in_threadpool(attestation.attest, evidence, caller, at=now())
        if _OLD_TOKEN in accepted and _JSON not in accepted:
            return Response(token, media_type=_OLD_TOKEN)
        return json_response(TokenResponse(token))

    return Route("/appraisal/v1/attest", handle, methods=["POST"])


def version_route(authorise: Authoriser) -> Route:
    """`GET /appraisal/v1/version`."""
    version = Version(name="ambergate", version=ambergate.__version__, commit="", buildDate="")

    async def handle(request: Request) -> Response:
        await authorise(request)
        return json_response(version)

    return Route("/appraisal/v1/version", handle, methods=["GET"])


def certs_routes(pki: TokenPki) -> list[Route]:
    """`GET /certs` and `/certs/es256`: the key sets that check tokens. Open to all."""
    return [
        _certs_route(KEY_SET_PATHS["PS384"], pki.key_set()),
        _certs_route(KEY_SET_PATHS["ES256"], pki.ec_key_set()),
    ]


def _certs_route(path: str, key_set: dict[str, object]) -> Route:
    async def handle(request: Request) -> Response:
        del request
        return json_response(key_set, headers={"cache-control": "max-age=300"})

    return Route(path, handle, methods=["GET"])


def profile_route() -> Route:
    """`GET /eat_profile.html`: what the claim `eat_profile` points to (RFC 9711, 4.3.2). Open to all."""

    async def handle(request: Request) -> Response:
        del request
        return Response(_PROFILE, media_type="text/html")

    return Route("/eat_profile.html", handle, methods=["GET"])


def crl_routes(pki: TokenPki, now: Callable[[], datetime]) -> list[Route]:
    """`GET /crl/root-ca-crl.der` and `/crl/ats-ca-crl.der`. Open to all, whatever they accept."""
    return [_crl_route(ROOT_CRL_PATH, pki.root_crl, now), _crl_route(CA_CRL_PATH, pki.ca_crl, now)]


def _crl_route(path: str, make: Callable[[datetime], bytes], now: Callable[[], datetime]) -> Route:
    crl = _FreshCrl(make)

    async def handle(request: Request) -> Response:
        del request
        return Response(await run_in_threadpool(crl.get, now()), media_type="application/pkix-crl")

    return Route(path, handle, methods=["GET"])


class _FreshCrl:
    """A revocation list, signed again when half of its time is over."""

    def __init__(self, make: Callable[[datetime], bytes]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._held: tuple[datetime, bytes] | None = None

    def get(self, at: datetime) -> bytes:
        """The list, good for another `CRL_LIFETIME / 2` at least."""
        with self._lock:
            if self._held is None or not timedelta(0) <= at - self._held[0] < CRL_LIFETIME / 2:
                self._held = (at, self._make(at))
            return self._held[1]


def _accepted(request: Request) -> set[str]:
    ranges = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    if not _MEDIA & ranges:
        raise HTTPException(415, "this answers application/json only; say so in Accept")
    return ranges
