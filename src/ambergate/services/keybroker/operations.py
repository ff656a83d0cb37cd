"""What each route of the key broker takes and answers, for OpenAPI (`web/openapi.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.services.keybroker.managed_operations import DONE, MANAGED, NOTHING, USER, links, managed
from ambergate.services.keybroker.requests import JWT
from ambergate.services.keybroker.user_wire import PasswordRequest, TokenRequest, UserRequest, UserResponse
from ambergate.services.keybroker.wire import (
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

_SCHEMES: Final[dict[str, Schema]] = {USER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
_REFUSED: Final = Answer(words="The token proves nothing here, or the key's policy refuses it.", kind=Problem)
_HASTY: Final = Answer(words="Too often: see Retry-After.", kind=Problem)
_USER_ID: Final = path_parameter("id", "The user's id.", format="uuid")

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
    ("POST", "/kbs/v1/users"): managed(
        "Make a user.", {201: Answer(words="The user.", kind=UserResponse, links=links("users"))}, body=UserRequest
    ),
    ("GET", "/kbs/v1/users"): managed(
        "Every user, or the one of a name.",
        {200: Answer(words="Users.", kind=list[UserResponse])},
        query_parameter("username", "A user's name."),
    ),
    ("GET", "/kbs/v1/users/{id}"): managed("A user.", {200: Answer(words="The user.", kind=UserResponse)}, _USER_ID),
    ("PUT", "/kbs/v1/users/{id}"): managed(
        "Change a user: what is empty or not there stays as it is.",
        {201: Answer(words="The user.", kind=UserResponse)},
        _USER_ID,
        body=UserRequest,
    ),
    ("DELETE", "/kbs/v1/users/{id}"): managed("Forget a user, and end their tokens.", {204: DONE}, _USER_ID),
    ("PUT", "/broker/v1/password"): managed("Set one's own password.", {204: DONE}, body=PasswordRequest),
    ("DELETE", "/broker/v1/tokens"): managed("End all of one's own tokens.", {204: DONE}),
}
OPERATIONS: Final[dict[tuple[str, str], Operation]] = {
    **HEALTH,
    **_USERS,
    **MANAGED,
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
            404: NOTHING,
            429: _HASTY,
        },
    ),
}


def openapi() -> Schema:
    """The broker's document."""
    return document("ambergate key broker", OPERATIONS, _SCHEMES)
