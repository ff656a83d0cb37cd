"""What each route of keys, policies and policy changes takes and answers, for OpenAPI (`operations.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ambergate.services.keybroker.change_wire import ApprovalRequest, ChangeRequest
from ambergate.services.keybroker.key_wire import KeyRequest, KeyUpdate, OwnKeyRequest, StateRequest, VersionRequest
from ambergate.services.keybroker.requests import PEM
from ambergate.services.keybroker.wire import UUID_PATTERN
from ambergate.services.web.openapi import Answer, Operation, Problem, path_parameter, query_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.services.web.openapi import Schema

USER: Final = "user"
NOTHING: Final = Answer(words="There is nothing of this id.", kind=Problem)
DONE: Final = Answer(words="It is done.", media=())

# A parameter that says nothing is left out.
_ID_OR_NOTHING: Final = f"^({UUID_PATTERN.pattern})?$"
_KEY: Final = path_parameter("id", "The key's id.", format="uuid")
_POLICY: Final = path_parameter("id", "The policy's id.", format="uuid")
_CHANGE: Final = path_parameter("id", "The change's id.", format="uuid")
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


class Made(msgspec.Struct, frozen=True):
    """A release policy: its id, when it was made, and its members as they came."""

    id: str
    created_at: str


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


class ListedChange(msgspec.Struct, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """A change that waits: policies by SHA-256 of their stored form, approvals by how many were handed in."""

    id: str
    key_id: str
    before: str
    after: str
    approvals: int
    proposed_by: str
    proposed_at: str
    expires_at: str


class StandingChange(msgspec.Struct, frozen=True, kw_only=True):
    """How a change stands: owners by SHA-256 of their public keys."""

    id: str
    approved_by: list[str]
    needed: int
    in_force: bool


class WholeChange(StandingChange, frozen=True, kw_only=True):
    """A change as its owners sign it, and how it stands."""

    key_id: str
    before: dict[str, Any]
    after: dict[str, Any]
    expires_at: str
    proposed_by: str
    proposed_at: str


def links(what: str) -> dict[str, Schema]:
    """From what was made to what can be done with it."""
    verbs = ("get", "delete") if what == "key_transfer_policies" else ("get", "put", "delete")
    parameters = {"id": "$response.body#/id"}
    return {verb: {"operationId": f"{verb}_kbs_v1_{what}_id", "parameters": parameters} for verb in verbs}


def managed(
    words: str,
    answers: Mapping[int, Answer],
    *parameters: Schema,
    body: type[Any] | None = None,
    text: str | None = None,
) -> Operation:
    """An operation for users; one whose path names something answers 404 where there is nothing of this name."""
    named = any(each["in"] == "path" for each in parameters)
    return Operation(
        words=words,
        parameters=parameters,
        body=() if body is None else (body,),
        text=text,
        answers={**answers, **({404: NOTHING} if named else {})},
        security=USER,
    )


def _told(words: str, kind: Any, status: int = 200, what: str | None = None) -> dict[int, Answer]:  # noqa: ANN401
    """An answer that tells something, and what can be done with it."""
    return {status: Answer(words=words, kind=kind, links={} if what is None else links(what))}


_GONE: Final = {204: DONE}
_KEYS: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/kbs/v1/keys"): managed(
        "Make a key, or keep one.", _told("The key.", KeyResponse, 201, "keys"), body=KeyRequest
    ),
    ("GET", "/kbs/v1/keys"): managed(
        "Keys, by what they are and by whose policy decides.", _told("Keys.", list[KeyResponse]), *_SEARCH
    ),
    ("GET", "/kbs/v1/keys/{id}"): managed("A key.", _told("The key.", KeyResponse), _KEY),
    ("PUT", "/kbs/v1/keys/{id}"): managed(
        "Put a key under another policy.", _told("The key.", KeyResponse, 201), _KEY, body=KeyUpdate
    ),
    ("DELETE", "/kbs/v1/keys/{id}"): managed("Forget a key.", _GONE, _KEY),
    ("POST", "/kbs/v1/keys/{id}"): managed(
        "Have a key without attestation, wrapped for a public key, where the operator dangerously allows it.",
        _told("The wrapped key.", WrappedKey),
        _KEY,
        text=PEM,
    ),
}
_POLICIES: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/kbs/v1/key-transfer-policies"): managed(
        "Make a release policy.",
        _told("The policy with its id.", Made, 201, "key_transfer_policies"),
        body=dict[str, Any],
    ),
    ("GET", "/kbs/v1/key-transfer-policies"): managed("Release policies.", _told("Policies.", list[Made]), *_PAGE),
    ("GET", "/kbs/v1/key-transfer-policies/{id}"): managed("A release policy.", _told("The policy.", Made), _POLICY),
    ("DELETE", "/kbs/v1/key-transfer-policies/{id}"): managed(
        "Forget a release policy that no key is under.", _GONE, _POLICY
    ),
}
_OWN: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/broker/v1/keys"): managed(
        "Make a key or keep a secret, with a label and in a key manager.",
        _told("The key.", OwnKey, 201),
        body=OwnKeyRequest,
    ),
    ("GET", "/broker/v1/keys"): managed(
        "Keys, by what they are and by whose policy decides.", _told("Keys.", list[OwnKey]), *_SEARCH
    ),
    ("GET", "/broker/v1/keys/{id}"): managed(
        "A key and its versions.", _told("The key and its versions.", WholeKey), _KEY
    ),
    ("POST", "/broker/v1/keys/{id}/versions"): managed(
        "Give a key a new version, made or given.",
        _told("The key and its versions.", WholeKey, 201),
        _KEY,
        body=VersionRequest,
    ),
    ("PUT", "/broker/v1/keys/{id}/state"): managed(
        "Disable a key or one of its versions, or enable it again.",
        _told("The key and its versions.", WholeKey),
        _KEY,
        body=StateRequest,
    ),
    ("DELETE", "/broker/v1/keys/{id}/versions/{number}"): managed(
        "Destroy a version of a key.",
        _GONE,
        _KEY,
        path_parameter("number", "The version's.", pattern="^[0-9]{1,9}$"),
    ),
}
_CHANGES: Final[dict[tuple[str, str], Operation]] = {
    ("POST", "/broker/v1/policy-changes"): managed(
        "Propose another policy for a key whose owners must approve.",
        _told("The change, as its owners sign it.", WholeChange, 201),
        body=ChangeRequest,
    ),
    ("GET", "/broker/v1/policy-changes"): managed(
        "Policy changes that wait.", _told("Changes.", list[ListedChange]), *_PAGE
    ),
    ("GET", "/broker/v1/policy-changes/{id}"): managed(
        "A policy change, as its owners sign it, and who approved.", _told("The change.", WholeChange), _CHANGE
    ),
    ("DELETE", "/broker/v1/policy-changes/{id}"): managed("Withdraw a policy change.", _GONE, _CHANGE),
    ("POST", "/broker/v1/policy-changes/{id}/approvals"): managed(
        "Hand in what an owner signed. With the last approval that is needed the change is in force.",
        _told("How the change stands.", StandingChange),
        _CHANGE,
        body=ApprovalRequest,
    ),
}
MANAGED: Final = {**_KEYS, **_POLICIES, **_OWN, **_CHANGES}
