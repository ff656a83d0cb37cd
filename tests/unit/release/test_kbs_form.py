"""Key transfer policies of Intel's Key Broker Service mean what its documentation says, and nothing looser."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.keybroker.forge import AT, MR_ENCLAVE, MR_SIGNER, Forge
from tests.unit.release.told import POLICY_ID, enclave, td

from ambergate.core.errors import MalformedPolicy, ReleaseRefused
from ambergate.core.release.decision import Grant, decide
from ambergate.core.release.kbs_form import from_kbs, to_kbs
from ambergate.core.release.resource_policy import TCB_STATUSES, ResourcePolicy

OTHER, OTHER_TD = "11" * 32, "aa" * 48
OTHER_ID = "34568456-2398-3875-7453-395766152ed6"  # of no version: ids are compared, not judged
SGX: dict[str, Any] = {"mrsigner": [MR_SIGNER], "isvprodid": [7, 12]}
TDX: dict[str, Any] = {"mrsignerseam": ["00" * 48], "mrseam": ["02" * 48], "mrtd": ["01" * 48]}


def sgx(policy_ids: list[str] | None = None, **attributes: object) -> dict[str, Any]:
    return {"attestation_type": "SGX", "sgx": {"attributes": {**SGX, **attributes}, "policy_ids": policy_ids}}


def tdx(**attributes: object) -> dict[str, Any]:
    return {"attestation_type": ["TDX"], "tdx": {"attributes": {**TDX, **attributes}}}


def refusing(document: dict[str, Any], forge: Forge, **claims: Any) -> list[str]:  # noqa: ANN401
    kind = td if "tdx" in document else enclave
    try:
        grant = decide(kind(forge, **claims), from_kbs(document), AT)
    except ReleaseRefused as refused:
        return [each["rule"] for each in refused.mismatches]
    assert isinstance(grant, Grant)
    return []


# A document, claims that differ, and the rules that refuse.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "good": (sgx(), {}, []),
    "type in a list": ({**sgx(), "attestation_type": ["SGX"]}, {}, []),
    "mrsigner": (sgx(mrsigner=[OTHER]), {}, ["mr_signer"]),
    "mrsigner in upper case": (sgx(mrsigner=[MR_SIGNER.upper()]), {}, []),
    "isvprodid": (sgx(isvprodid=[8]), {}, ["isv_prod_id"]),
    "mrenclave": (sgx(mrenclave=[OTHER]), {}, ["mr_enclave"]),
    "mrenclave, one of two": (sgx(mrenclave=[OTHER, MR_ENCLAVE]), {}, []),
    "mrenclave empty": (sgx(mrenclave=[]), {}, []),
    "isvsvn is a minimum": (sgx(isvsvn=2), {}, []),
    "isvsvn too old": (sgx(isvsvn=4), {}, ["isv_svn"]),
    "status enforced": (sgx(enforce_tcb_upto_date=True), {"attester_tcb_status": "SWHardeningNeeded"}, ["tcb_status"]),
    "status by default": (sgx(), {"attester_tcb_status": "OutOfDate"}, ["tcb_status"]),
    "status not enforced": (sgx(enforce_tcb_upto_date=False), {"attester_tcb_status": "OutOfDate"}, []),
    "revoked": (sgx(enforce_tcb_upto_date=False), {"attester_tcb_status": "Revoked"}, ["tcb_status"]),
    "debug": (sgx(), {"sgx_is_debuggable": True}, ["debug"]),
    "simulated": (sgx(), {"tee_simulated": True}, ["simulated"]),
    "policy matched": (sgx([OTHER_ID, POLICY_ID]), {}, []),
    "policy not matched": (sgx([OTHER_ID]), {}, ["policy_ids_matched"]),
    "policy matched, another signer": (sgx([POLICY_ID], mrsigner=[OTHER]), {}, ["mr_signer"]),
    "policy alone": ({"attestation_type": "SGX", "sgx": {"policy_ids": [POLICY_ID]}}, {}, []),
    "policy alone, debug": (
        {"attestation_type": "SGX", "sgx": {"policy_ids": [POLICY_ID]}},
        {"sgx_is_debuggable": True},
        ["debug"],
    ),
    "TD": (tdx(), {}, []),
    "mrtd": (tdx(mrtd=[OTHER_TD]), {}, ["mr_td"]),
    "mrseam": (tdx(mrseam=[OTHER_TD]), {}, ["mr_seam"]),
    "mrsignerseam": (tdx(mrsignerseam=[OTHER_TD]), {}, ["mr_signer_seam"]),
    **{f"rtmr{n}": (tdx(**{f"rtmr{n}": OTHER_TD}), {}, [f"rtmr{n}"]) for n in range(4)},
    "rtmr1 good": (tdx(rtmr1="11" * 48), {}, []),
    "seamsvn is a minimum": (tdx(seamsvn=3), {}, []),
    "seamsvn too old": (tdx(seamsvn=255), {"tdx_seamsvn": 254}, ["seam_svn"]),
    "ours": ({"release_policy": {"mr_enclave": MR_ENCLAVE}}, {}, []),
    "ours, refused": ({"release_policy": {"mr_enclave": OTHER}}, {}, ["mr_enclave"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_document_means(forge: Forge, name: str) -> None:
    document, claims, rules = CASES[name]
    assert refusing(document, forge, **claims) == rules


@pytest.mark.parametrize("name", CASES)
def test_what_was_stored_is_given_back_in_their_words(name: str) -> None:
    """And means the same; `id` and `created_at` may stand beside it."""
    policy = from_kbs(CASES[name][0])
    back = to_kbs(policy)
    assert from_kbs({**back, "id": OTHER_ID, "created_at": "2021-08-20T06:30:35.085644391Z"}) == policy
    assert ("release_policy" in back) == name.startswith("ours")


def test_the_documented_example_is_given_back_member_by_member() -> None:
    digits = "b90abd43736381b12fc9b038924c73e31c8371674905e7fcb7941d69fe59d30eda3adb9e41b878151e756fb05ad13d14"
    document = tdx(rtmr0=digits, seamsvn=0, enforce_tcb_upto_date=False)
    assert to_kbs(from_kbs(document)) == {**document, "attestation_type": "TDX"}


def test_what_they_cannot_say_is_told_in_ours() -> None:
    typed = ResourcePolicy.from_mapping({"any": [{"mr_enclave": MR_ENCLAVE}, {"mr_td": "01" * 48}], "max_releases": 2})
    assert to_kbs(typed) == {"release_policy": typed.to_mapping()}
    some = ResourcePolicy.from_mapping({**from_kbs(sgx()).to_mapping(), "tcb_statuses": TCB_STATUSES[:2]})
    assert to_kbs(some)["release_policy"] == some.to_mapping()
    assert from_kbs(to_kbs(some)) == some


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"attestation_type": "SGX"}, id="no part"),
        pytest.param({"attestation_type": "SEV", "sev": {}}, id="another kind"),
        pytest.param({"attestation_type": ["SGX", "TDX"], "sgx": {"attributes": SGX}}, id="two kinds"),
        pytest.param({"attestation_type": "SGX", "tdx": {"attributes": TDX}}, id="the other part"),
        pytest.param({**sgx(), "tdx": {"attributes": TDX}}, id="both parts"),
        pytest.param({**sgx(), "more": 1}, id="an unknown member"),
        pytest.param({"attestation_type": "SGX", "sgx": {}}, id="an empty part"),
        pytest.param({"attestation_type": "SGX", "sgx": {"attributes": {}, "policy_ids": []}}, id="nothing asked"),
        pytest.param({"attestation_type": "SGX", "sgx": {"attributes": SGX, "policies": []}}, id="unknown inside"),
        pytest.param({"attestation_type": "SGX", "sgx": {"attributes": {"mrsigner": [OTHER]}}}, id="no product"),
        pytest.param({"attestation_type": "SGX", "sgx": {"attributes": {"isvprodid": [1]}}}, id="no signer"),
        pytest.param({"attestation_type": "SGX", "sgx": {"attributes": {"mrenclave": [OTHER]}}}, id="an enclave alone"),
        pytest.param(sgx(isvsvn=-1), id="a version below zero"),
        pytest.param(sgx(isvsvn="3"), id="a version in words"),
        pytest.param(sgx(isvprodid=[65536]), id="a product too large"),
        pytest.param(sgx(mrsigner=["zz" * 32]), id="no hex"),
        pytest.param(sgx(enforce_tcb_upto_date="no"), id="no truth"),
        pytest.param(sgx(client_permissions=["nginx"]), id="permissions, which no token tells"),
        pytest.param(sgx(mrseam=[OTHER_TD]), id="an attribute of TDs"),
        pytest.param(sgx(["not-an-id"]), id="no policy id"),
        pytest.param({"attestation_type": "TDX", "tdx": {"attributes": {**TDX, "mrtd": []}}}, id="any TD"),
        pytest.param({"attestation_type": "TDX", "tdx": {"attributes": {"mrtd": ["01" * 48]}}}, id="no module"),
        pytest.param({"release_policy": {"mr_enclave": OTHER}, "sgx": {"attributes": SGX}}, id="ours and theirs"),
        pytest.param({"release_policy": {"mr_enclave": OTHER}, "attestation_type": "TDX"}, id="ours, another kind"),
        pytest.param({"release_policy": "anybody"}, id="ours in words"),
        pytest.param({"release_policy": {}}, id="ours, empty"),
    ],
)
def test_what_is_not_taken(document: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicy):
        from_kbs(document)


NAMES = ("attestation_type", "sgx", "tdx", "attributes", "policy_ids", "release_policy", "mr_enclave", *SGX, *TDX)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["SGX", "TDX", OTHER, OTHER_TD, OTHER_ID]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_any_object_gives_a_policy_or_malformed_policy(document: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedPolicy):
        policy = from_kbs(document)
        assert from_kbs(to_kbs(policy)) == policy
