"""Tokens of other forms are read as strictly as flat ones: what is there twice, or twice of a kind, proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.keybroker.forge import AT, ISSUER, MR_ENCLAVE, Forge

from ambergate.core.token.check import KeySet, check_token

if TYPE_CHECKING:
    from tests.unit.token.types import Refuses

    from ambergate.core.token.claims import AttestationClaims

Members = dict[str, Any]


def nested(forge: Forge, inner: Members | None = None, **outer: object) -> Members:
    """A v2 token's claims; `inner` changes what is under `sgx`, `outer` what is beside it."""
    flat = forge.claims(ver="2.0.0")
    about = {n: flat.pop(n) for n in list(flat) if n.startswith(("attester_", "sgx_", "dbgstat"))}
    return {**flat, "sgx": {**about, **(inner or {})}, **outer}


def amber(forge: Forge, **more: object) -> Members:
    flat = forge.claims(ver="1.0")
    kept = {n: flat[n] for n in ("iss", "iat", "exp", "jti", "ver")}
    return {
        **kept,
        "amber_evidence_type": "SGX",
        "amber_tcb_status": "OK",
        "amber_sgx_mrenclave": MR_ENCLAVE,
        "amber_sgx_is_debuggable": False,
        **more,
    }


def read(forge: Forge, keys: KeySet, members: Members, **options: Any) -> AttestationClaims:  # noqa: ANN401
    return check_token(forge.token(claims=members), keys, issuer=ISSUER, at=AT, **options)


def test_good_ones_are_believed(forge: Forge, keys: KeySet) -> None:
    """Without this, a reader that refuses everything would pass the tests below."""
    two, old = read(forge, keys, nested(forge)), read(forge, keys, amber(forge))
    assert (two.mr_enclave, two.tcb_status, two.debug, two.simulated) == (MR_ENCLAVE, "UpToDate", False, False)
    assert (old.mr_enclave, old.tcb_status, old.debug, old.simulated) == (MR_ENCLAVE, "UpToDate", False, False)
    assert two.raw == nested(forge), "as it was signed"


@pytest.mark.parametrize("name", ["sgx_is_debuggable", "tdx_is_debuggable", "tdx_td_attributes_debug"])
@pytest.mark.parametrize("place", ["inside", "beside"])
def test_debug_counts_wherever_it_stands(forge: Forge, keys: KeySet, name: str, place: str) -> None:
    members = nested(forge)
    members["sgx"].pop("sgx_is_debuggable")
    (members["sgx"] if place == "inside" else members)[name] = True
    assert read(forge, keys, members).debug


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_dbgstat_counts_wherever_it_stands(forge: Forge, keys: KeySet, place: str) -> None:
    members = nested(forge)
    members["sgx"].pop("dbgstat")
    (members["sgx"] if place == "inside" else members)["dbgstat"] = "enabled"
    assert read(forge, keys, members).debug


def test_silence_about_debug_is_debug(forge: Forge, keys: KeySet) -> None:
    members = nested(forge)
    for name in ("sgx_is_debuggable", "dbgstat"):
        members["sgx"].pop(name)
    assert read(forge, keys, members).debug
    old = amber(forge)
    old.pop("amber_sgx_is_debuggable")
    assert read(forge, keys, old).debug


@pytest.mark.parametrize(
    "more",
    [
        {"amber_sgx_is_debuggable": True},
        {"amber_tee_is_debuggable": True},
        {"tdx_is_debuggable": True},
        {"dbgstat": "enabled"},
    ],
)
def test_debug_of_2022_by_any_name(forge: Forge, keys: KeySet, more: Members) -> None:
    assert read(forge, keys, amber(forge, **more)).debug


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_simulated_counts_wherever_it_stands(forge: Forge, keys: KeySet, refuses: Refuses, place: str) -> None:
    members = nested(forge)
    (members["sgx"] if place == "inside" else members)["tee_simulated"] = True
    assert refuses(forge.token(claims=members)) == "simulated"
    assert read(forge, keys, members, accept_simulated=True).simulated


def test_simulated_of_2022(forge: Forge, refuses: Refuses) -> None:
    assert refuses(forge.token(claims=amber(forge, tee_simulated=True))) == "simulated"


TWICE: dict[str, tuple[Members, Members]] = {
    "measurement": ({}, {"sgx_mrenclave": MR_ENCLAVE}),
    "debug": ({}, {"sgx_is_debuggable": False}),
    "status": ({}, {"attester_tcb_status": "UpToDate"}),
    "issuer": ({"iss": ISSUER}, {}),
    "end": ({"exp": 4_000_000_000}, {}),
    "simulated": ({"tee_simulated": False}, {"tee_simulated": True}),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_claim_inside_and_beside_is_no_claim(forge: Forge, refuses: Refuses, name: str) -> None:
    inner, outer = TWICE[name]
    assert refuses(forge.token(claims=nested(forge, inner, **outer))) in {"bad-claim", "simulated"}


@pytest.mark.parametrize("name", ["sgx_mrenclave", "attester_tcb_status", "sgx_is_debuggable"])
def test_a_claim_by_both_its_names_is_no_claim(forge: Forge, refuses: Refuses, name: str) -> None:
    assert refuses(forge.token(claims=amber(forge, **{name: forge.claims()[name]}))) == "bad-claim"


@pytest.mark.parametrize("inner", ["text", [1], 1, True])
def test_evidence_of_another_type(forge: Forge, refuses: Refuses, inner: object) -> None:
    assert refuses(forge.token(claims=nested(forge, sgx=inner))) == "bad-claim"


def test_two_evidences_or_none(forge: Forge, refuses: Refuses) -> None:
    both = nested(forge, tdx={"attester_type": "TDX"})
    assert refuses(forge.token(claims=both)) == "bad-claim"
    assert refuses(forge.token(claims=forge.claims(ver="2.0.0"))) == "bad-claim", "flat claims, and the other version"
    neither = nested(forge)
    neither["nvgpu"] = neither.pop("sgx")
    assert refuses(forge.token(claims=neither)) == "bad-claim"


def test_nested_claims_in_a_flat_token_are_not_read(forge: Forge, refuses: Refuses) -> None:
    assert refuses(forge.token(claims=nested(forge, ver="1.0.0"))) == "missing-claim"


@pytest.mark.parametrize("word", ["UpToDate!", "ok", "", "WHATEVER"])
def test_an_unknown_status_is_told_as_it_is(forge: Forge, keys: KeySet, word: str) -> None:
    """It matches no policy then."""
    assert read(forge, keys, amber(forge, amber_tcb_status=word)).tcb_status == word


def test_types_are_looked_at_by_old_names_too(forge: Forge, refuses: Refuses) -> None:
    for more in ({"amber_tcb_status": 1}, {"amber_tee_is_debuggable": "no"}, {"amber_sgx_isvsvn": "3"}):
        assert refuses(forge.token(claims=amber(forge, **more))) == "bad-claim"


def test_requirements_are_of_the_claims_as_they_were_signed(forge: Forge, keys: KeySet, refuses: Refuses) -> None:
    """A caller who requires a flat claim of a nested token is refused, not misread."""
    token = forge.token(claims=nested(forge))
    assert refuses(token, require={"sgx_mrenclave": MR_ENCLAVE}) == "claim-mismatch"
    check_token(token, keys, issuer=ISSUER, at=AT, require={"sgx": nested(forge)["sgx"]})
