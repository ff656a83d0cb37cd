"""What each route of the attestation service takes and answers, for OpenAPI (`web/openapi.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ambergate.services.attestation.audit_routes import PREFIX
from ambergate.services.attestation.azure import PATH as AZURE
from ambergate.services.attestation.azure import VERSIONS, SgxEnclaveRequest
from ambergate.services.attestation.management_routes import ONE, PATH
from ambergate.services.attestation.management_wire import NONE, PolicyRequest, PolicyResponse
from ambergate.services.attestation.wire import AttestRequest, CompositeRequest, NonceWire, TokenResponse, Version
from ambergate.services.web.openapi import HEALTH, Answer, Operation, Problem, document, path_parameter, query_parameter

if TYPE_CHECKING:
    from ambergate.services.web.openapi import Schema

_KEY: Final = "api_key"
_SCHEMES: Final[dict[str, Schema]] = {
    _KEY: {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, for clients of Azure Attestation."},
}
_DER: Final = ("application/pkix-crl",)
_TEXT: Final = ("text/plain",)


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """A public key (RFC 7517) with its certificate chain."""

    kty: str
    kid: str
    alg: str
    x5c: list[str]
    n: str | msgspec.UnsetType = msgspec.UNSET
    e: str | msgspec.UnsetType = msgspec.UNSET
    crv: str | msgspec.UnsetType = msgspec.UNSET
    x: str | msgspec.UnsetType = msgspec.UNSET
    y: str | msgspec.UnsetType = msgspec.UNSET


class Jwks(msgspec.Struct, frozen=True):
    """A key set."""

    keys: list[Jwk]


class Discovery(msgspec.Struct, frozen=True):
    """Where the keys are, and who tokens about hardware say they are of."""

    issuer: str
    jwks_uri: str
    revocation_endpoint: str
    response_types_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]


class InclusionProof(msgspec.Struct, frozen=True):
    """That a record is in the audit log (docs/audit.md)."""

    index: int
    record: str
    hashes: list[str]
    checkpoint: str


class AzureError(msgspec.Struct, frozen=True):
    """An error as clients of Azure Attestation read it."""

    code: str
    message: str


class AzureProblem(msgspec.Struct, frozen=True):
    """The body of such an error."""

    error: AzureError


def _attest(words: str, *body: Any) -> Operation:  # noqa: ANN401  # types
    token = Answer(words="A token.", kind=TokenResponse, media=("application/json", "application/jwt"))
    return Operation(words=words, body=body or (AttestRequest,), answers={200: token}, security=_KEY)


def _open(
    words: str,
    kind: Any,  # noqa: ANN401
    media: tuple[str, ...] = ("application/json",),
    *,
    waits: bool = False,
) -> Operation:
    return Operation(words=words, answers={200: Answer(words=words, kind=kind, media=media)}, waits=waits)


def _asked(words: str, kind: Any, media: tuple[str, ...] = ("application/json",)) -> Operation:  # noqa: ANN401
    return Operation(words=words, answers={200: Answer(words=words, kind=kind, media=media)}, security=_KEY)


_EITHER: Final = (AttestRequest, CompositeRequest)
_POLICY_ID: Final = path_parameter("policy_id", "The policy's id.", format="uuid")
_UNKNOWN: Final = Answer(words="There is no such policy.", kind=Problem)
_LINKS: Final = {
    verb: {
        "operationId": f"{verb}_management_v1_policies_policy_id",
        "parameters": {"policy_id": "$response.body#/policy_id"},
    }
    for verb in ("get", "put", "delete")
}
_EXAMPLE: Final = {
    "policy": "default matches_sgx_policy = false\nmatches_sgx_policy = true { input.sgx_isvsvn >= 3 }\n",
    "policy_name": "at-least-three",
    "policy_type": "Appraisal policy",
    "attestation_type": "SGX Attestation",
    "service_offer_id": str(NONE),
}

OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    **HEALTH,
    ("GET", "/appraisal/v1/nonce"): _asked("A nonce, good at every endpoint.", NonceWire),
    ("GET", "/appraisal/v2/nonce"): _asked("A nonce, good at every endpoint.", NonceWire),
    ("GET", "/appraisal/v1/version"): _asked("The service's release.", Version),
    ("POST", "/appraisal/v1/attest"): _attest("Attest an enclave or a TD."),
    ("POST", "/appraisal/v1/attest/azure/tdxvm"): _attest("Attest a TD on Azure."),
    ("POST", "/appraisal/v1/appraise"): _attest("Attest by the path of 2022."),
    ("POST", "/appraisal/v2/attest"): _attest("Attest by a flat or a composite body.", *_EITHER),
    ("POST", "/appraisal/v2/attest/azure"): _attest("Attest a TD on Azure.", *_EITHER),
    ("POST", AZURE): Operation(
        words="Attest an enclave in the shape of Azure Attestation.",
        body=(SgxEnclaveRequest,),
        answers={200: Answer(words="A token.", kind=TokenResponse)},
        parameters=(query_parameter("api-version", "The shape's version.", required=True, enum=list(VERSIONS)),),
        security=_KEY,
        problem=(AzureProblem, Problem),
    ),
    ("GET", PATH): _asked("Every policy.", list[PolicyResponse]),
    ("POST", PATH): Operation(
        words="Make a policy.",
        body=(PolicyRequest,),
        example=_EXAMPLE,
        answers={201: Answer(words="The policy as it was made.", kind=PolicyResponse, links=_LINKS)},
        security=_KEY,
    ),
    ("GET", ONE): Operation(
        words="A policy as it is now.",
        answers={200: Answer(words="The policy.", kind=PolicyResponse), 404: _UNKNOWN},
        parameters=(_POLICY_ID,),
        security=_KEY,
    ),
    ("PUT", ONE): Operation(
        words="Give a policy a new version.",
        body=(PolicyRequest,),
        example={"policy": _EXAMPLE["policy"]},
        answers={200: Answer(words="The policy as it is now.", kind=PolicyResponse), 404: _UNKNOWN},
        parameters=(_POLICY_ID,),
        security=_KEY,
    ),
    ("DELETE", ONE): Operation(
        words="Delete a policy.",
        answers={204: Answer(words="It is deleted.", media=()), 404: _UNKNOWN},
        parameters=(_POLICY_ID,),
        security=_KEY,
    ),
    ("GET", f"{PREFIX}/key"): _asked("The audit log's public key.", None, _TEXT),
    ("GET", f"{PREFIX}/checkpoint"): _asked("The audit log's newest signed checkpoint.", None, _TEXT),
    ("GET", f"{PREFIX}/proofs/{{jti}}"): Operation(
        words="The proof that a token's record is in the audit log.",
        answers={
            200: Answer(words="The proof.", kind=InclusionProof),
            404: Answer(words="No record of yours.", kind=Problem),
        },
        parameters=(path_parameter("jti", "The token's id.", format="uuid"),),
        security=_KEY,
    ),
    ("GET", "/.well-known/openid-configuration"): _open("Where the keys are.", Discovery),
    ("GET", "/certs"): _open("The RSA keys that check tokens.", Jwks, waits=True),
    ("GET", "/certs/es256"): _open("The EC keys that check tokens.", Jwks, waits=True),
    ("GET", "/eat_profile.html"): _open("What tokens hold.", None, ("text/html",)),
    ("GET", "/crl/root-ca-crl.der"): _open("The root's revocation list.", None, _DER, waits=True),
    ("GET", "/crl/ats-ca-crl.der"): _open("The signing CA's revocation list.", None, _DER, waits=True),
}
DOCUMENT: Final = "ambergate attestation service"


def openapi() -> Schema:
    """The service's document."""
    return document(DOCUMENT, OPERATIONS, _SCHEMES)
