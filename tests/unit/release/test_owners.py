"""Owners and their approvals: who counts, for what, and until when."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.keybroker.forge import AT, MR_ENCLAVE

from ambergate.core.errors import Conflict, MalformedPolicy, MalformedToken, NotPermitted, TokenRejected
from ambergate.core.release.owners import (
    MAX_APPROVALS,
    MAX_OWNERS,
    Owners,
    PolicyChange,
    approve,
    approver,
    approvers,
    digest,
    read_owners,
    require_approval,
)
from ambergate.core.release.resource_policy import ResourcePolicy

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
STRANGER = ec.generate_private_key(ec.SECP256R1())
BEFORE, AFTER = '{"a":1}', '{"a":2}'
CHANGE = PolicyChange(id="c", key_id="k", before=digest(BEFORE), after=AFTER, expires_at=AT + timedelta(days=1))

ANOTHER = replace(CHANGE, id="d")


def public(key: Any, encoding: Encoding = Encoding.DER) -> str:  # noqa: ANN401
    data: bytes = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return data.decode() if encoding is Encoding.PEM else base64.b64encode(data).decode()


OWNERS = read_owners("owners", {"approvals": 2, "keys": [public(key) for key in KEYS]})


def required(
    change: PolicyChange | None, *, owners: Owners | None = OWNERS, at: datetime = AT, **other: str
) -> frozenset[str]:
    """Whether the key of `CHANGE` goes from `BEFORE` to `AFTER`, or what `other` says instead."""
    told = {"before": BEFORE, "after": AFTER, "key_id": "k", **other}
    return require_approval(owners, told["before"], told["after"], key_id=told["key_id"], change=change, at=at)


def approved(*keys: Any, change: PolicyChange = CHANGE) -> PolicyChange:  # noqa: ANN401
    return replace(change, approvals=tuple(approve(change, key) for key in keys))


def test_enough_owners_are_enough() -> None:
    assert len(required(approved(*KEYS[:2]))) == 2
    assert len(required(approved(*KEYS))) == 3
    assert required(None, owners=None) == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        None,
        approved(),
        approved(KEYS[0]),
        approved(KEYS[0], KEYS[0], KEYS[0]),
        approved(KEYS[0], STRANGER),
        replace(CHANGE, approvals=(*approved(KEYS[0]).approvals, "a.b.c", "")),
        replace(CHANGE, approvals=approved(KEYS[0]).approvals + approved(KEYS[1], change=ANOTHER).approvals),
        replace(CHANGE, approvals=("x",) * MAX_APPROVALS + approved(*KEYS).approvals),
    ],
    ids=["nothing", "nobody", "one", "one, three times", "a stranger", "junk", "of another change", "behind too many"],
)
def test_too_few_are_not(change: PolicyChange | None) -> None:
    with pytest.raises(NotPermitted) as caught:
        required(change)
    assert caught.value.code == "approval-needed"


@pytest.mark.parametrize(
    "other",
    [{"key_id": "other"}, {"before": '{"a":0}'}, {"after": '{"a":3}'}],
    ids=["key", "policy that it is under", "policy that it is to be under"],
)
def test_what_was_approved_is_what_is_done(other: dict[str, Any]) -> None:
    with pytest.raises(Conflict):
        required(approved(*KEYS), **other)


@pytest.mark.parametrize(
    "changed", [{"id": "d"}, {"key_id": "j"}, {"before": "00"}, {"after": "{}"}, {"expires_at": AT + timedelta(days=2)}]
)
def test_approvals_are_of_one_change_in_every_part(changed: dict[str, Any]) -> None:
    assert approvers(OWNERS, replace(approved(*KEYS), **changed)) == frozenset()


def test_a_change_lapses() -> None:
    assert required(approved(*KEYS), at=CHANGE.expires_at - timedelta(seconds=1))
    with pytest.raises(NotPermitted):
        required(approved(*KEYS), at=CHANGE.expires_at)


def test_who_approves_is_told() -> None:
    ids = {approver(OWNERS, CHANGE, approve(CHANGE, key)) for key in KEYS}
    assert len(ids) == 3
    with pytest.raises(TokenRejected):
        approver(OWNERS, CHANGE, approve(CHANGE, STRANGER))


@given(st.text(max_size=80))
def test_any_text_is_no_approval(text: str) -> None:
    with pytest.raises((MalformedToken, TokenRejected)):
        approver(OWNERS, CHANGE, text)


def test_keys_are_read_in_both_forms_and_kept_in_one() -> None:
    pem = read_owners("owners", {"approvals": 1, "keys": public(KEYS[0], Encoding.PEM)})
    assert pem == read_owners("owners", {"approvals": 1, "keys": [public(KEYS[0])]})
    policy = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "owners": OWNERS.to_mapping()})
    assert policy.owners == OWNERS
    assert ResourcePolicy.from_json(policy.to_json()) == policy


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    "owners",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="empty"),
        pytest.param({"approvals": 1}, id="no keys"),
        pytest.param({"keys": [public(KEYS[0])]}, id="no number"),
        pytest.param({"approvals": 1, "keys": []}, id="nobody"),
        pytest.param({"approvals": 0, "keys": [public(KEYS[0])]}, id="none of one"),
        pytest.param({"approvals": 2, "keys": [public(KEYS[0])]}, id="two of one"),
        pytest.param({"approvals": True, "keys": [public(KEYS[0])]}, id="true of one"),
        pytest.param({"approvals": 2, "keys": [public(KEYS[0]), public(KEYS[0], Encoding.PEM)]}, id="one twice"),
        pytest.param({"approvals": 1, "keys": ["AAAA"]}, id="no key"),
        pytest.param({"approvals": 1, "keys": ["%"]}, id="no base64"),
        pytest.param({"approvals": 1, "keys": [5]}, id="a number"),
        pytest.param({"approvals": 1, "keys": ["A" * 5000]}, id="too long"),
        pytest.param({"approvals": 1, "keys": [public(SMALL)]}, id="a weak key"),
        pytest.param({"approvals": 1, "keys": [public(ec.generate_private_key(ec.SECP384R1()))]}, id="another curve"),
        pytest.param({"approvals": 1, "keys": [public(ed25519.Ed25519PrivateKey.generate())]}, id="another kind"),
        pytest.param({"approvals": 1, "keys": [public(KEYS[0])], "users": ["alice"]}, id="a user"),
        pytest.param({"approvals": 1, "keys": [f"{n}" for n in range(MAX_OWNERS + 1)]}, id="too many"),
    ],
)
def test_owners_that_do_not_load(owners: object) -> None:
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "owners": owners})
    with pytest.raises(MalformedPolicy):
        ResourcePolicy.from_mapping({"any": [{"mr_enclave": MR_ENCLAVE, "owners": OWNERS.to_mapping()}]})
