"""`POST /attest/SgxEnclave`: the shape of Microsoft Azure Attestation, for clients that were written for it.

Source: Azure Attestation's REST reference, "Attestation - Attest Sgx Enclave", API version 2022-08-01. What is bound
is what that service binds: SHA-256 of the runtime data in the first half of REPORTDATA. Its `nonce` is only repeated
in the token, and makes nothing fresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ambergate.core.errors import AmberError, Malformed, MalformedToken
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.token.jose import load_object
from ambergate.core.token.names import Profile
from ambergate.core.token.profiles import MAX_DATA_DEPTH
from ambergate.services.attestation.evidence import Evidence, Rule
from ambergate.services.attestation.routes import attested, read_json_body
from ambergate.services.attestation.wire import MAX_RUNTIME_DATA, TokenResponse, decode_base64
from ambergate.services.web.bodies import decode
from ambergate.services.web.framing import note_code
from ambergate.services.web.problems import headers_of, json_response, status_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from ambergate.services.attestation.routes import Authoriser
    from ambergate.services.attestation.usecase import Attestation

PATH: Final = "/attest/SgxEnclave"
VERSIONS: Final = ("2022-08-01", "2020-10-01")  # the same body and answer; published clients send the older one
ALGORITHM: Final = "RS256"  # what those clients check
MAX_NONCE: Final = 1024  # characters
_BEARER: Final = "bearer "


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data of an enclave, and whether it is to be read."""

    data: str | None = None
    dataType: Literal["Binary", "JSON"] | None = None  # noqa: N815  the protocol's spelling


class SgxEnclaveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body."""

    quote: str
    runtimeData: Data | None = None  # noqa: N815
    initTimeData: Data | None = None  # noqa: N815
    draftPolicyForAttestation: str | None = None  # noqa: N815
    nonce: str | None = None


def read_sgx_enclave(request: SgxEnclaveRequest) -> Evidence:
    """The request's members, decoded and bounded.

    Raises:
        Malformed: not base64, too long, runtime data that is called JSON and is not, or what this service cannot do.
    """
    if request.draftPolicyForAttestation:
        raise _bad("draft policies are not evaluated here", wanted="no draftPolicyForAttestation")
    if request.initTimeData is not None and request.initTimeData.data:
        raise _bad("data of an enclave's start cannot be checked here", wanted="no initTimeData")
    if len(request.nonce or "") > MAX_NONCE:
        raise _bad("the nonce is too long", wanted=f"at most {MAX_NONCE} characters")
    runtime = request.runtimeData or Data()
    data = decode_base64(runtime.data, "runtimeData", limit=MAX_RUNTIME_DATA) if runtime.data else None
    as_json = data is not None and runtime.dataType == "JSON"
    if as_json:
        assert data is not None
        _check_json(data)
    return Evidence(
        quote=decode_base64(request.quote, "quote", limit=MAX_QUOTE),
        nonce=None,
        runtime_data=data,
        rule=Rule.FIRST_HALF,
        policy_ids=(),
        algorithm=ALGORITHM,
        profile=Profile.AZURE,
        runtime_json=as_json,
        echo=request.nonce or None,
        by_url=True,
    )


def azure_route(attestation: Attestation, authorise: Authoriser, now: Callable[[], datetime]) -> Route:
    """`POST /attest/SgxEnclave?api-version=2022-08-01`. The API key may come as a bearer token."""

    async def answer(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        bearer = given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else None
        caller = await authorise(request, instead=bearer)
        version = request.query_params.get("api-version")
        if version not in VERSIONS:
            raise _bad("the API version is not spoken here", seen=(version or "")[:32], wanted=" or ".join(VERSIONS))
        evidence = read_sgx_enclave(decode(await read_json_body(request), SgxEnclaveRequest))
        return json_response(TokenResponse(await attested(attestation, evidence, caller, at=now())))

    async def handle(request: Request) -> Response:
        try:
            return await answer(request)
        except AmberError as error:
            status = status_of(error)
            if status == 500:
                raise
            note_code(request.scope, error.code)
            return _refusal(status, error.code, text_of(error), headers_of(error, status))
        except HTTPException as error:
            return _refusal(error.status_code, f"http-{error.status_code}", error.detail, {})

    return Route(PATH, handle, methods=["POST"])


def _refusal(status: int, code: str, text: str, headers: Mapping[str, str]) -> Response:
    """An error as those clients read it: an object, where all others read text."""
    return json_response({"error": {"code": code, "message": text}}, status=status, headers=headers)


def _check_json(data: bytes) -> None:
    try:
        load_object(data, "the runtime data", depth=MAX_DATA_DEPTH)
    except MalformedToken as exc:
        raise _bad("runtimeData is called JSON and is no JSON object", seen=exc.seen, wanted="dataType Binary") from exc


def _bad(message: str, *, seen: object = None, wanted: object = None) -> Malformed:
    return Malformed(message, code="malformed-request", seen=seen, wanted=wanted)
