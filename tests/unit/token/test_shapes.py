"""Every profile against a table of claims, of an enclave and of a TD; and what no profile may lose."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.token.judged import (
    BASE_URL,
    ENCLAVE,
    REPORT_DATA,
    TD,
    WHEN,
    Laboratory,
    issuance,
    outcome,
    service_keys,
)

from ambergate.core.appraise.appraisal import Appraisal
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import NotWelcome, TooLarge
from ambergate.core.token.check import KeySet, check_token
from ambergate.core.token.issue import issue_token
from ambergate.core.token.names import AMBER_NAMES, AMBER_STATUSES, OFFERED, Profile
from ambergate.core.token.shapes import MAX_SLIM, claims_of

if TYPE_CHECKING:
    from ambergate.services.attestation.pki import TokenPki

NONCE = {"val": "dmFs", "iat": "aWF0", "signature": "c2ln"}
ISSUED = int(WHEN.timestamp())
JTI = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
INSTANCE = "7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"
ISSUER = f"{BASE_URL}/simulated"


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory.open()


@pytest.fixture(scope="module")
def enclave(laboratory: Laboratory) -> Appraisal:
    return laboratory.appraisal(status=TcbStatus.SW_HARDENING_NEEDED)


@pytest.fixture(scope="module")
def td(laboratory: Laboratory) -> Appraisal:
    return laboratory.td_appraisal()


@pytest.fixture(scope="module")
def pki() -> TokenPki:
    return service_keys()


def of(profile: Profile, appraisal: Appraisal, **changes: object) -> dict[str, Any]:
    """The claims as JSON gives them back."""
    made = claims_of(profile, appraisal, issuance(**changes))
    return dict(json.loads(json.dumps(made, allow_nan=False)))


SGX = {
    "attester_type": "SGX",
    "attester_tcb_status": "SWHardeningNeeded",
    "sgx_mrenclave": ENCLAVE.mr_enclave.hex(),
    "sgx_mrsigner": ENCLAVE.mr_signer.hex(),
    "sgx_isvprodid": 513,
    "sgx_isvsvn": 65535,
    "sgx_report_data": REPORT_DATA.hex(),
    "sgx_is_debuggable": False,
}


def test_v2_nests_what_is_about_the_evidence(enclave: Appraisal) -> None:
    claims = of(Profile.V2, enclave, nonce=NONCE, runtime_data=b"held")
    about = claims.pop("sgx")
    assert claims == {
        "iss": ISSUER,
        "iat": ISSUED,
        "nbf": ISSUED,
        "exp": ISSUED + 300,
        "jti": JTI,
        "ver": "2.0.0",
        "appraisal": {"method": "default", "ver": 2},
        "eat_profile": f"{BASE_URL}/eat_profile.html",
        "intuse": "generic",
        "verifier_instance_ids": [INSTANCE],
        "verifier_nonce": NONCE,
        "tee_simulated": True,
    }
    digests = about.pop("sgx_collateral")
    assert set(map(len, digests.values())) == {64}
    assert about.pop("attester_advisory_ids") == list(enclave.verified.advisory_ids) != []
    assert about.pop("attester_tcb_date").endswith("Z")
    assert about == {
        **SGX,
        "dbgstat": "disabled",
        "pce_svn": enclave.verified.platform.pce_svn,
        "attester_held_data": b64encode(b"held").decode(),
    }


def test_v2_of_a_td_on_azure(td: Appraisal) -> None:
    data, user = b'{"user-data":"00"}', b'{"a":1}'
    claims = of(Profile.V2, td, runtime_data=data, user_data=user, azure=True)
    assert claims["appraisal"] == {"method": "azure", "ver": 2}
    assert "sgx" not in claims
    about = claims["tdx"]
    assert (about["attester_type"], about["tdx_mrtd"]) == ("TDX", TD.mr_td.hex())
    assert (about["attester_runtime_data"], about["attester_user_data"]) == ({"user-data": "00"}, {"a": 1})
    assert "attester_held_data" not in about
    assert of(Profile.V2, td, runtime_data=data, user_data=b"x")["tdx"]["attester_held_data"] == "eA=="


def test_2022_has_the_names_of_its_time(enclave: Appraisal) -> None:
    claims = of(Profile.AMBER_2022, enclave, nonce=NONCE, runtime_data=b"held")
    assert claims.pop("amber_advisory_ids") == list(enclave.verified.advisory_ids)
    assert claims == {
        "iss": ISSUER,
        "iat": ISSUED,
        "exp": ISSUED + 300,
        "jti": JTI,
        "ver": "1.0",
        "amber_trust_score": 10,
        "amber_report_data": REPORT_DATA.hex(),
        "amber_tee_held_data": b64encode(b"held").decode(),
        "amber_sgx_mrenclave": ENCLAVE.mr_enclave.hex(),
        "amber_sgx_mrsigner": ENCLAVE.mr_signer.hex(),
        "amber_sgx_isvprodid": 513,
        "amber_sgx_isvsvn": 65535,
        "amber_sgx_is_debuggable": False,
        "amber_tee_is_debuggable": False,
        "amber_matched_policy_ids": [],
        "amber_unmatched_policy_ids": [],
        "amber-faithful-service-ids": [INSTANCE],
        "amber_tcb_status": "SW_HARDENING_NEEDED",
        "amber_evidence_type": "SGX",
        "amber_signed_nonce": True,
        "amber_client_nonce": False,
        "amber_custom_policy": {},
        "tee_simulated": True,
    }


def test_2022_of_a_td(td: Appraisal) -> None:
    claims = of(Profile.AMBER_2022, td, runtime_data=b'{"key":1}')
    flat = of(Profile.V1, td)
    for name in ("mrseam", "mrsignerseam", "mrtd", "seamsvn", "rtmr0", "rtmr1", "rtmr2", "rtmr3"):
        assert claims[f"amber_tdx_{name}"] == flat[f"tdx_{name}"]
    assert (claims["amber_runtime"], claims["amber_evidence_type"]) == ({"key": 1}, "TDX")
    assert (claims["amber_tcb_status"], claims["amber_signed_nonce"]) == ("OK", False)


@pytest.mark.parametrize(("status", "score"), [("UpToDate", 10), ("OutOfDate", 0), ("ConfigurationNeeded", 10)])
def test_the_score_of_2022(laboratory: Laboratory, status: str, score: int) -> None:
    claims = of(Profile.AMBER_2022, laboratory.appraisal(status=TcbStatus(status)))
    assert (claims["amber_trust_score"], claims["amber_tcb_status"]) == (score, AMBER_STATUSES[status])
    assert of(Profile.AMBER_2022, laboratory.appraisal(debug=True))["amber_trust_score"] == 0


def test_slim_is_v1_without_what_nobody_decides_by(enclave: Appraisal, td: Appraisal) -> None:
    left_out = {"eat_profile", "intuse", "verifier_instance_ids"}
    changes: dict[str, object] = {"nonce": NONCE, "runtime_data": b"held"}
    flat, slim = (of(profile, enclave, **changes) for profile in (Profile.V1, Profile.SLIM))
    assert slim == {name: value for name, value in flat.items() if name not in {*left_out, "sgx_collateral"}}
    flat, slim = (of(profile, td, **changes) for profile in (Profile.V1, Profile.SLIM))
    bits = {name for name in flat if name.startswith("tdx_td_attributes_")}
    assert len(bits) == 6
    assert slim == {name: flat[name] for name in set(flat) - bits - left_out - {"tdx_collateral"}}


def test_azure_has_microsofts_names(enclave: Appraisal) -> None:
    claims = of(Profile.AZURE, enclave, runtime_data=b"\xfb\xff\xbe\x01", echo="their nonce")
    assert {
        name: value for name, value in claims.items() if name.startswith("x-ms-sgx") and "collateral" not in name
    } == {
        "x-ms-sgx-is-debuggable": False,
        "x-ms-sgx-mrenclave": ENCLAVE.mr_enclave.hex(),
        "x-ms-sgx-mrsigner": ENCLAVE.mr_signer.hex(),
        "x-ms-sgx-product-id": 513,
        "x-ms-sgx-svn": 65535,
        "x-ms-sgx-report-data": REPORT_DATA.hex(),
        "x-ms-sgx-config-id": "00" * 64,
        "x-ms-sgx-config-svn": 0,
        "x-ms-sgx-isv-extended-product-id": "00" * 16,
        "x-ms-sgx-isv-family-id": "00" * 16,
        "x-ms-sgx-ehd": "-_--AQ",
    }
    assert urlsafe_b64decode(claims["maa-ehd"] + "==") == urlsafe_b64decode(claims["aas-ehd"] + "==")
    assert (claims["tee"], claims["product-id"], claims["svn"], claims["is-debuggable"]) == ("sgx", 513, 65535, False)
    assert (claims["sgx-mrenclave"], claims["sgx-mrsigner"]) == (ENCLAVE.mr_enclave.hex(), ENCLAVE.mr_signer.hex())
    assert (claims["x-ms-attestation-type"], claims["x-ms-ver"], claims["nonce"]) == ("sgx", "1.0", "their nonce")
    assert claims["tee_simulated"] is True
    digests = of(Profile.V1, enclave)["sgx_collateral"]
    told = claims["x-ms-sgx-collateral"]
    assert (told["quotehash"], told["qeidcertshash"]) == (digests["quotehash"], digests["qeidcerthash"])
    assert claims["maa-attestationcollateral"] == told
    assert claims["attester_tcb_status"] == "SWHardeningNeeded"


def test_azure_tells_json_as_json(enclave: Appraisal) -> None:
    claims = of(Profile.AZURE, enclave, runtime_data=b'{"jwk":{}}', runtime_json=True)
    assert claims["x-ms-runtime"] == {"jwk": {}}
    assert not {"x-ms-sgx-ehd", "maa-ehd", "aas-ehd"} & set(claims)
    assert "x-ms-runtime" not in of(Profile.AZURE, enclave, runtime_data=b'{"jwk":{}}')


def test_azure_is_about_enclaves(td: Appraisal) -> None:
    with pytest.raises(ValueError, match="enclaves"):
        claims_of(Profile.AZURE, td, issuance())


POLICIES = (outcome(1, matched=True, team="red"), outcome(2, matched=False), outcome(3, matched=True, floor=3))


@pytest.mark.parametrize("profile", [Profile.V1, Profile.V2])
def test_policies_are_told(enclave: Appraisal, profile: Profile) -> None:
    claims = of(profile, enclave, policies=POLICIES)
    assert [(each["id"], each["version"]) for each in claims["policy_ids_matched"]] == [
        ("00000000-0000-0000-0000-000000000001", "v1"),
        ("00000000-0000-0000-0000-000000000003", "v3"),
    ]
    (unmatched,) = claims["policy_ids_unmatched"]
    assert unmatched["id"] == "00000000-0000-0000-0000-000000000002"
    assert b64decode(b64decode(unmatched["hash"])) == hashlib.sha384(b"the text of 2").digest(), "twice, as in samples"
    assert claims["policy_defined_claims"] == {"team": "red", "floor": 3}


def test_policies_in_the_other_profiles(enclave: Appraisal) -> None:
    slim = of(Profile.SLIM, enclave, policies=POLICIES)
    assert slim["policy_ids_unmatched"] == [{"id": "00000000-0000-0000-0000-000000000002", "version": "v2"}]
    old = of(Profile.AMBER_2022, enclave, policies=POLICIES)
    assert old["amber_unmatched_policy_ids"] == ["00000000-0000-0000-0000-000000000002"]
    assert len(old["amber_matched_policy_ids"]) == 2
    assert old["amber_custom_policy"] == {"team": "red", "floor": 3}
    azure = of(Profile.AZURE, enclave, policies=POLICIES)
    assert (azure["x-ms-policy"], len(azure["policy_ids_unmatched"])) == ({"team": "red", "floor": 3}, 1)


def test_what_no_policy_said_is_not_there_at_all(enclave: Appraisal) -> None:
    """Deployed clients refuse null, and refuse an empty array of unmatched policies."""
    claims = of(Profile.V1, enclave, policies=POLICIES[:1])
    assert "policy_ids_unmatched" not in claims
    assert not [name for name in of(Profile.V1, enclave) if name.startswith("policy")]


def test_two_policies_do_not_share_a_name(enclave: Appraisal) -> None:
    two = (outcome(1, matched=True, team="red"), outcome(2, matched=True, team="blue"))
    with pytest.raises(NotWelcome) as caught:
        of(Profile.V1, enclave, policies=two)
    assert caught.value.code == "policy-conflict"
    assert caught.value.mismatches == ({"rule": "policy_defined_claims.team", "seen": "blue", "wanted": "red"},)
    same = (outcome(1, matched=True, team="red"), outcome(2, matched=True, team="red"))
    assert of(Profile.V1, enclave, policies=same)["policy_defined_claims"] == {"team": "red"}


@pytest.mark.parametrize("profile", Profile)
def test_no_profile_has_what_clients_stumble_over(enclave: Appraisal, profile: Profile) -> None:
    claims = of(profile, enclave, nonce=NONCE, runtime_data=b"held", policies=POLICIES)
    assert "aud" not in claims
    assert None not in claims.values()
    assert claims["tee_simulated"] is True
    assert "tee_simulated" not in of(profile, enclave, simulated=False)


@pytest.mark.parametrize("profile", OFFERED)
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("kind", ["SGX", "TDX"])
def test_our_relying_party_reads_them_alike(
    laboratory: Laboratory, pki: TokenPki, profile: Profile, kind: str, *, debug: bool
) -> None:
    """Whatever the form: the same verdict, debug when it is debug, and simulated when it is simulated."""
    made = laboratory.appraisal if kind == "SGX" else laboratory.td_appraisal
    appraisal = made(status=TcbStatus.SW_HARDENING_NEEDED, debug=debug)
    token = issue_token(appraisal, issuance(runtime_data=b"held"), pki.rsa, "PS384", profile=profile)
    keys = KeySet.from_json(json.dumps(pki.key_set()))
    claims = check_token(token, keys, issuer=ISSUER, at=WHEN, accept_simulated=True)
    assert (claims.attester_type, claims.tcb_status) == (kind, "SWHardeningNeeded")
    assert (claims.debug, claims.simulated, claims.held_data) == (debug, True, b"held")
    assert claims.advisory_ids == appraisal.verified.advisory_ids != ()
    measured = (ENCLAVE.mr_enclave.hex(), ENCLAVE.mr_signer.hex(), 513, 65535)
    assert (claims.mr_enclave, claims.mr_signer, claims.isv_prod_id, claims.isv_svn) == (
        measured if kind == "SGX" else (None,) * 4
    )


def test_a_slim_token_fits_where_it_has_to(laboratory: Laboratory, pki: TokenPki) -> None:
    """With an RSA-3072 signature, a nonce, a public key, advisories and ten policies, of an enclave."""
    policies = tuple(outcome(number, matched=number % 2 == 0) for number in range(1, 11))
    nonce = {"val": "x" * 120, "iat": "y" * 40, "signature": "z" * 44}
    old = laboratory.appraisal(status=TcbStatus.OUT_OF_DATE)
    more = issuance(nonce=nonce, runtime_data=b"k" * 91, policies=policies)
    token = issue_token(old, more, pki.rsa, "PS384", profile=Profile.SLIM)
    assert len(json.dumps({"token": token}, separators=(",", ":"))) <= 4095
    flat = issue_token(old, more, pki.rsa, "PS384")
    assert len(flat) > MAX_SLIM, "or nobody would need the slim one"


def test_a_slim_token_that_would_not_fit_is_not_cut(td: Appraisal, pki: TokenPki) -> None:
    token = issue_token(td, issuance(runtime_data=b"k" * 91), pki.rsa, "PS384", profile=Profile.SLIM)
    assert len(token) <= MAX_SLIM
    with pytest.raises(TooLarge, match="too long"):
        issue_token(td, issuance(runtime_data=b"k" * 3000), pki.rsa, "PS384", profile=Profile.SLIM)
    issue_token(td, issuance(runtime_data=b"k" * 3000), pki.rsa, "PS384")


def test_old_names_are_one_to_one() -> None:
    assert len(set(AMBER_NAMES.values())) == len(AMBER_NAMES)
    younger = {TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED}
    assert set(AMBER_STATUSES) == {each.value for each in set(TcbStatus) - younger}


@pytest.mark.parametrize("status", [each for each in TcbStatus if each is not TcbStatus.REVOKED])
def test_every_status_is_told_in_words_that_come_back(td: Appraisal, pki: TokenPki, status: TcbStatus) -> None:
    verified = replace(td.verified, tcb=td.verified.tcb._replace(status=status))
    proven = Appraisal(verified=verified, policy=td.policy)
    token = issue_token(proven, issuance(), pki.rsa, "RS256", profile=Profile.AMBER_2022)
    keys = KeySet.from_json(json.dumps(pki.key_set()))
    assert check_token(token, keys, issuer=ISSUER, at=WHEN, accept_simulated=True).tcb_status == status.value
