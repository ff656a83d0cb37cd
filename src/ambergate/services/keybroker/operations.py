"""What each route of the key broker takes and answers, for OpenAPI (`web/openapi.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ambergate.services.keybroker.key_wire import KeyRequest, KeyUpdate, OwnKeyRequest, StateRequest, VersionRequest
from ambergate.services.keybroker.requests import JWT, PEM
from ambergate.services.keybroker.user_wire import PasswordRequest, TokenRequest, UserRequest, UserResponse
from ambergate.services.keybroker.wire import (
    UUID_PATTERN,
    KeyWrapResponse,
    NonceWire,
    TransferRequest,
    TransferResponse,
    Version,
)
from ambergate.services.web.openapi import (
    HEALTH,
    Answer,
    Operation,
    Problem,
    document,
    path_parameter,
    query_parameter,
)

if TYPE_CHECKING:
    from ambergate.services.web.openapi import Schema

_USER: Final = "user"
_SCHEMES: Final[dict[str, Schema]] = {_USER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
_REFUSED: Final = Answer(words="The token proves nothing here, or the key's policy refuses it.", kind=Problem)
_HASTY: Final = Answer(words="Too often: see Retry-After.", kind=Problem)
_NOTHING: Final = Answer(words="There is nothing of this id.", kind=Problem)
_DONE: Final = Answer(words="It is done.", media=())


def _links(what: str) -> dict[str, Schema]:
    """From what was made to what can be done with it."""
    verbs = ("get", "delete") if what == "key_transfer_policies" else ("get", "put", "delete")
    parameters = {"id": "$response.body#/id"}
    return {verb: {"operationId": f"{verb}_kbs_v1_{what}_id", "parameters": parameters} for verb in verbs}


class Made(msgspec.Struct, frozen=True):
    """A release policy: its id, when it was made, and its members as they came."""

    id: str
    created_at: str


_USERS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/kbs/v1/token"): Operation(
        words="Log in: a bearer token for a name and a password.",
        body=(TokenRequest,),
        answers={
            200: Answer(words="The bare token.", media=(JWT,)),
            401: Answer(words="No such name, or another password.", kind=Problem),
            429: _HASTY,
        },
    ),
    ("POST", "/kbs/v1/users"): Operation(
        words="Make a user.",
        body=(UserRequest,),
        answers={201: Answer(words="The user.", kind=UserResponse, links=_links("users"))},
        security=_USER,
    ),
    ("GET", "/kbs/v1/users"): Operation(
        words="Every user, or the one of a name.",
        parameters=(query_parameter("username", "A user's name."),),
        answers={200: Answer(words="Users.", kind=list[UserResponse])},
        security=_USER,
    ),
    ("GET", "/kbs/v1/users/{id}"): Operation(
        words="A user.",
        parameters=(path_parameter("id", "The user's id.", format="uuid"),),
        answers={200: Answer(words="The user.", kind=UserResponse), 404: _NOTHING},
        security=_USER,
    ),
    ("PUT", "/kbs/v1/users/{id}"): Operation(
        words="Change a user: what is empty or not there stays as it is.",
        parameters=(path_parameter("id", "The user's id.", format="uuid"),),
        body=(UserRequest,),
        answers={201: Answer(words="The user.", kind=UserResponse), 404: _NOTHING},
        security=_USER,
    ),
    ("DELETE", "/kbs/v1/users/{id}"): Operation(
        words="Forget a user, and end their tokens.",
        parameters=(path_parameter("id", "The user's id.", format="uuid"),),
        answers={204: _DONE, 404: _NOTHING},
        security=_USER,
    ),
    ("PUT", "/broker/v1/password"): Operation(
        words="Set one's own password.", body=(PasswordRequest,), answers={204: _DONE}, security=_USER
    ),
    ("DELETE", "/broker/v1/tokens"): Operation(
        words="End all of one's own tokens.", answers={204: _DONE}, security=_USER
    ),
}


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is."""

    algorithm: str
    key_length: int | msgspec.UnsetType = msgspec.UNSET
    curve_type: str | msgspec.UnsetType = msgspec.UNSET


class KeyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A key as told: never the key itself."""

    id: str
    key_info: KeyInfo
    transfer_policy_id: str
    transfer_link: str
    created_at: str


class WrappedKey(msgspec.Struct, frozen=True):
    """A key, wrapped for the public key that was sent."""

    wrapped_key: str


# A parameter that says nothing is left out.
_ID_OR_NOTHING: Final = f"^({UUID_PATTERN.pattern})?$"
_KEY_ID: Final = path_parameter("id", "The key's id.", format="uuid")
_POLICY_ID: Final = path_parameter("id", "The policy's id.", format="uuid")
_PAGE: Final = (
    query_parameter("after", "The last id of the page before.", pattern=_ID_OR_NOTHING),
    query_parameter("limit", "So many at most.", pattern="^([1-9][0-9]{0,3})?$"),
)
_SEARCH: Final = (
    query_parameter("algorithm", "`AES`, `RSA`, `EC`, `OPAQUE`."),
    query_parameter("keyLength", "Bits.", pattern="^[0-9]{0,5}$"),
    query_parameter("curveType", "Of an EC key."),
    query_parameter("transferPolicyId", "The policy's id.", pattern=_ID_OR_NOTHING),
    *_PAGE,
)
_KEYS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/kbs/v1/keys"): Operation(
        words="Make a key, or keep one.",
        body=(KeyRequest,),
        answers={201: Answer(words="The key.", kind=KeyResponse, links=_links("keys"))},
        security=_USER,
    ),
    ("GET", "/kbs/v1/keys"): Operation(
        words="Keys, by what they are and by whose policy decides.",
        parameters=_SEARCH,
        answers={200: Answer(words="Keys.", kind=list[KeyResponse])},
        security=_USER,
    ),
    ("GET", "/kbs/v1/keys/{id}"): Operation(
        words="A key.",
        parameters=(_KEY_ID,),
        answers={200: Answer(words="The key.", kind=KeyResponse), 404: _NOTHING},
        security=_USER,
    ),
    ("PUT", "/kbs/v1/keys/{id}"): Operation(
        words="Put a key under another policy.",
        parameters=(_KEY_ID,),
        body=(KeyUpdate,),
        answers={201: Answer(words="The key.", kind=KeyResponse), 404: _NOTHING},
        security=_USER,
    ),
    ("DELETE", "/kbs/v1/keys/{id}"): Operation(
        words="Forget a key.", parameters=(_KEY_ID,), answers={204: _DONE, 404: _NOTHING}, security=_USER
    ),
    ("POST", "/kbs/v1/keys/{id}"): Operation(
        words="Have a key without attestation, wrapped for a public key, where the operator dangerously allows it.",
        parameters=(_KEY_ID,),
        text=PEM,
        answers={200: Answer(words="The wrapped key.", kind=WrappedKey), 404: _NOTHING},
        security=_USER,
    ),
    ("POST", "/kbs/v1/key-transfer-policies"): Operation(
        words="Make a release policy.",
        body=(dict[str, Any],),
        answers={201: Answer(words="The policy with its id.", kind=Made, links=_links("key_transfer_policies"))},
        security=_USER,
    ),
    ("GET", "/kbs/v1/key-transfer-policies"): Operation(
        words="Release policies.",
        parameters=_PAGE,
        answers={200: Answer(words="Policies.", kind=list[Made])},
        security=_USER,
    ),
    ("GET", "/kbs/v1/key-transfer-policies/{id}"): Operation(
        words="A release policy.",
        parameters=(_POLICY_ID,),
        answers={200: Answer(words="The policy.", kind=Made), 404: _NOTHING},
        security=_USER,
    ),
    ("DELETE", "/kbs/v1/key-transfer-policies/{id}"): Operation(
        words="Forget a release policy that no key is under.",
        parameters=(_POLICY_ID,),
        answers={204: _DONE, 404: _NOTHING},
        security=_USER,
    ),
}


class OwnKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as we tell it: never the key itself."""

    id: str
    label: str
    algorithm: str
    bits: int | None
    curve: str | None
    manager: str
    version: int
    state: str
    policy_id: str | None
    created_at: str


class KeyVersion(msgspec.Struct, frozen=True):
    """A version of a key."""

    version: int
    state: str


class WholeKey(OwnKey, frozen=True, kw_only=True):
    """A key, its versions, and the policy that decides."""

    versions: list[KeyVersion]
    policy: dict[str, Any] | None


_OWN_KEY: Final = Answer(words="The key and its versions.", kind=WholeKey)
_OWN: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/broker/v1/keys"): Operation(
        words="Make a key or keep a secret, with a label and in a key manager.",
        body=(OwnKeyRequest,),
        answers={201: Answer(words="The key.", kind=OwnKey)},
        security=_USER,
    ),
    ("GET", "/broker/v1/keys"): Operation(
        words="Keys, by what they are and by whose policy decides.",
        parameters=_SEARCH,
        answers={200: Answer(words="Keys.", kind=list[OwnKey])},
        security=_USER,
    ),
    ("GET", "/broker/v1/keys/{id}"): Operation(
        words="A key and its versions.", parameters=(_KEY_ID,), answers={200: _OWN_KEY, 404: _NOTHING}, security=_USER
    ),
    ("POST", "/broker/v1/keys/{id}/versions"): Operation(
        words="Give a key a new version, made or given.",
        parameters=(_KEY_ID,),
        body=(VersionRequest,),
        answers={201: _OWN_KEY, 404: _NOTHING},
        security=_USER,
    ),
    ("PUT", "/broker/v1/keys/{id}/state"): Operation(
        words="Disable a key or one of its versions, or enable it again.",
        parameters=(_KEY_ID,),
        body=(StateRequest,),
        answers={200: _OWN_KEY, 404: _NOTHING},
        security=_USER,
    ),
    ("DELETE", "/broker/v1/keys/{id}/versions/{number}"): Operation(
        words="Destroy a version of a key.",
        parameters=(_KEY_ID, path_parameter("number", "The version's.", pattern="^[0-9]{1,9}$")),
        answers={204: _DONE, 404: _NOTHING},
        security=_USER,
    ),
}
OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    **HEALTH,
    **_USERS,
    **_KEYS,
    **_OWN,
    ("GET", "/kbs/v1/version"): Operation(
        words="The broker's release.", answers={200: Answer(words="It.", kind=Version)}, waits=False
    ),
    ("POST", "/kbs/v1/keys/{id}/transfer"): Operation(
        words="Have a key, sealed for the enclave that an attestation token speaks of.",
        parameters=(
            path_parameter("id", "The key's id.", format="uuid"),
            query_parameter("version", "Of the key; the latest when not given.", pattern="^[1-9][0-9]{0,8}$"),
        ),
        body=(TransferRequest,),
        answers={
            200: Answer(
                words="The sealed key; with the header amber-wrapping: key-wrap, a token's key as it wrapped that; "
                "with Accept: application/jose, a JWE. Without a body, the nonce of a background check.",
                kind=(TransferResponse, NonceWire, KeyWrapResponse),
            ),
            401: _REFUSED,
            404: _NOTHING,
            429: _HASTY,
        },
    ),
}


def openapi() -> Schema:
    """The broker's document."""
    return document("ambergate key broker", OPERATIONS, _SCHEMES)
