"""Every check of `check_token` refuses the token that differs from a good one in that point alone."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.keybroker.forge import ABSENT, AT, ISSUER, MR_ENCLAVE, MR_SIGNER, Forge, jwk, rsa_key
from tests.integration.keybroker.hostile import WORTHLESS, own_certificate, own_jwk

from ambergate.core.errors import TokenRejected
from ambergate.core.token.check import KeySet, check_token

if TYPE_CHECKING:
    from tests.unit.token.types import Refuses

NOW = int(AT.timestamp())


def test_a_good_token_is_believed_and_typed(forge: Forge, keys: KeySet) -> None:
    """Without this, a check that refuses everything would pass the tests below."""
    nonce = {"val": "dg==", "iat": "aQ==", "signature": "cw=="}
    members = forge.claims(verifier_nonce=nonce, attester_advisory_ids=["INTEL-SA-00001"])
    claims = check_token(forge.token(claims=members), keys, issuer=ISSUER, at=AT)
    assert (claims.issuer, claims.attester_type, claims.tcb_status) == (ISSUER, "SGX", "UpToDate")
    assert (claims.issued_at, claims.expires_at) == (AT - timedelta(seconds=10), AT + timedelta(seconds=290))
    assert (claims.mr_enclave, claims.mr_signer) == (MR_ENCLAVE, MR_SIGNER)
    assert (claims.isv_prod_id, claims.isv_svn) == (7, 3)
    assert claims.advisory_ids == ("INTEL-SA-00001",)
    assert (claims.debug, claims.simulated) == (False, False)
    assert claims.held_data == forge.held()
    assert claims.runtime_data is None
    assert claims.nonce == nonce
    assert claims.raw == members


@pytest.mark.parametrize(("alg", "is_rsa"), [("PS384", True), ("RS256", True), ("ES256", False)])
def test_the_three_algorithms_are_taken(forge: Forge, keys: KeySet, alg: str, *, is_rsa: bool) -> None:
    key, kid = (forge.issuer_key, forge.kid) if is_rsa else (forge.ec_key, forge.ec_kid)
    check_token(forge.token(alg=alg, key=key, header={"kid": kid}), keys, issuer=ISSUER, at=AT)


@pytest.mark.parametrize("name", [name for name in WORTHLESS if name != "another trusted issuer's name"])
def test_what_a_forger_tries_proves_nothing(forge: Forge, refuses: Refuses, name: str) -> None:
    refuses(WORTHLESS[name](forge))


@pytest.mark.parametrize(
    "alg", ["none", "HS256", "HS384", "RS384", "RS512", "PS256", "PS512", "ES384", "ps384", "", None]
)
def test_other_algorithms_are_refused_by_name(forge: Forge, refuses: Refuses, alg: str | None) -> None:
    assert refuses(forge.token(header={"alg": alg})) == "bad-algorithm"


def test_the_public_key_is_no_shared_secret(forge: Forge, refuses: Refuses) -> None:
    for name in ("HS256 under the public PEM", "HS256 under the public DER", "HS256 under the modulus"):
        assert refuses(WORTHLESS[name](forge)) == "bad-algorithm"


def test_a_key_signs_with_its_own_algorithms_only(forge: Forge, refuses: Refuses) -> None:
    es256 = forge.token(alg="ES256", key=ec.generate_private_key(ec.SECP256R1()))
    assert refuses(es256) == "unknown-signing-key"
    assert refuses(forge.token(header={"kid": forge.ec_kid})) == "unknown-signing-key"


def test_a_key_listed_for_one_algorithm_is_not_used_for_another(forge: Forge) -> None:
    keys = KeySet.from_json(json.dumps({"keys": [jwk(forge.issuer_key.public_key(), forge.kid, "PS384")]}))
    with pytest.raises(TokenRejected) as caught:
        check_token(forge.token(alg="RS256"), keys, issuer=ISSUER, at=AT)
    assert caught.value.code == "unknown-signing-key"


@pytest.mark.parametrize("kid", ["00" * 48, "", None, 1, ["a"], "a1" * 47])
def test_the_key_must_be_named_and_known(forge: Forge, refuses: Refuses, kid: object) -> None:
    assert refuses(forge.token(header={"kid": kid})) == "unknown-signing-key"
    assert refuses(forge.token(header={"kid": ABSENT})) == "unknown-signing-key"


def test_what_the_header_offers_is_not_followed(forge: Forge, refuses: Refuses) -> None:
    """A stranger's key in jwk or x5c, or at an address: the signature is still judged by the key set."""
    offers: dict[str, Any] = {
        "jwk": own_jwk(forge),
        "x5c": own_certificate(forge),
        "jku": "https://127.0.0.1:1/certs",
        "x5u": "https://127.0.0.1:1/cert.pem",
    }
    for name, value in offers.items():
        assert refuses(forge.token(key=forge.other_key, header={name: value})) == "bad-signature"


def test_what_the_header_offers_does_not_matter_under_a_good_signature(forge: Forge, keys: KeySet) -> None:
    offers = {"jwk": own_jwk(forge), "x5c": own_certificate(forge), "x5u": "https://127.0.0.1:1/", "foo": {"bar": 1}}
    for name, value in offers.items():
        check_token(forge.token(header={name: value}), keys, issuer=ISSUER, at=AT)


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": NOW + 300}, {"crit": []}, {"b64": True}, {"b64": False}])
def test_critical_headers_are_refused(forge: Forge, refuses: Refuses, header: dict[str, Any]) -> None:
    assert refuses(forge.token(header=header)) == "critical-header"


@pytest.mark.parametrize("typ", ["JOSE", "at+jwt", "", 1, None, ["JWT"]])
def test_tokens_of_another_type_are_refused(forge: Forge, refuses: Refuses, typ: object) -> None:
    assert refuses(forge.token(header={"typ": typ})) == "bad-type"


def test_the_type_may_be_left_out(forge: Forge, keys: KeySet) -> None:
    check_token(forge.token(header={"typ": ABSENT}), keys, issuer=ISSUER, at=AT)


def test_a_signature_by_anybody_else_is_refused(forge: Forge, refuses: Refuses) -> None:
    assert refuses(forge.token(key=forge.other_key)) == "bad-signature"
    assert refuses(forge.token(key=rsa_key(2048))) == "bad-signature"
    header, payload, signature = forge.token().split(".")
    assert refuses(f"{header}.{payload}.{signature[:-4]}") == "bad-signature"
    assert refuses(f"{header}.{payload}.") == "bad-signature"


def test_the_instant_of_expiry_is_too_late(forge: Forge, keys: KeySet, refuses: Refuses) -> None:
    ends = AT + timedelta(seconds=290)
    token = forge.token()
    check_token(token, keys, issuer=ISSUER, at=ends - timedelta(microseconds=1))
    assert refuses(token, at=ends) == "expired"
    assert refuses(token, at=ends + timedelta(days=365)) == "expired"


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_no_leeway_before_the_beginning(forge: Forge, keys: KeySet, refuses: Refuses, name: str) -> None:
    token = forge.token(claims=forge.claims(**{name: NOW}))
    check_token(token, keys, issuer=ISSUER, at=AT)
    assert refuses(token, at=AT - timedelta(microseconds=1)) == "not-yet-valid"


def test_the_instant_counts_and_not_its_time_zone(forge: Forge, keys: KeySet) -> None:
    there = AT.astimezone(timezone(timedelta(hours=14)))
    check_token(forge.token(), keys, issuer=ISSUER, at=there)


def test_an_instant_without_time_zone_is_our_own_mistake(forge: Forge, keys: KeySet) -> None:
    with pytest.raises(ValueError, match="time zone"):
        check_token(forge.token(), keys, issuer=ISSUER, at=AT.replace(tzinfo=None))


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_times_are_required(forge: Forge, refuses: Refuses, name: str) -> None:
    assert refuses(forge.token(claims=forge.claims(**{name: ABSENT}))) == "missing-claim"
    assert refuses(forge.token(claims=forge.claims(**{name: None}))) == "missing-claim"


def test_not_before_may_be_absent(forge: Forge, keys: KeySet) -> None:
    """The tokens of 2022 had none."""
    check_token(forge.token(claims=forge.claims(nbf=ABSENT)), keys, issuer=ISSUER, at=AT)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1", 1.5, True, -1, 10**18, [1], {}])
def test_a_time_that_is_none(forge: Forge, refuses: Refuses, name: str, value: object) -> None:
    assert refuses(forge.token(claims=forge.claims(**{name: value}))) == "bad-claim"


def test_the_earliest_time_there_is(forge: Forge, refuses: Refuses) -> None:
    assert refuses(forge.token(claims=forge.claims(exp=0))) == "expired"


def test_the_latest_time_there_is(forge: Forge, keys: KeySet) -> None:
    claims = check_token(forge.token(claims=forge.claims(exp=253402300799)), keys, issuer=ISSUER, at=AT)
    assert claims.expires_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", f"{ISSUER}/", ISSUER.upper(), "", None, 1, [ISSUER], ABSENT]
)
def test_the_issuer_is_compared_exactly(forge: Forge, refuses: Refuses, issuer: object) -> None:
    assert refuses(forge.token(claims=forge.claims(iss=issuer))) == "bad-issuer"


@pytest.mark.parametrize("audience", ["me", ["me"], "", None])
def test_a_token_for_an_audience_is_refused(forge: Forge, refuses: Refuses, audience: object) -> None:
    assert refuses(forge.token(claims=forge.claims(aud=audience))) == "bad-audience"


def test_software_platforms_are_refused_unless_told(forge: Forge, keys: KeySet, refuses: Refuses) -> None:
    token = forge.token(claims=forge.claims(tee_simulated=True))
    assert refuses(token) == "simulated"
    assert check_token(token, keys, issuer=ISSUER, at=AT, accept_simulated=True).simulated
    honest = forge.token(claims=forge.claims(tee_simulated=False))
    assert not check_token(honest, keys, issuer=ISSUER, at=AT).simulated


@pytest.mark.parametrize("value", ["true", "false", 0, 1, None, [], {}])
def test_a_simulation_is_said_in_a_boolean(forge: Forge, refuses: Refuses, value: object) -> None:
    token = forge.token(claims=forge.claims(tee_simulated=value))
    assert refuses(token) == "bad-claim"
    assert refuses(token, accept_simulated=True) == "bad-claim"


@pytest.mark.parametrize("name", ["attester_type", "attester_tcb_status"])
def test_claims_that_nothing_can_be_judged_without(forge: Forge, refuses: Refuses, name: str) -> None:
    for value in (ABSENT, None):
        assert refuses(forge.token(claims=forge.claims(**{name: value}))) == "missing-claim"


WRONG: dict[str, list[object]] = {
    "attester_type": [1, True, ["SGX"], {}],
    "attester_tcb_status": [1, True, ["UpToDate"], {}],
    "sgx_mrenclave": [1, ["5a" * 32], {}, False],
    "sgx_mrsigner": [1, ["5a" * 32], {}, False],
    "sgx_isvprodid": ["7", 7.0, True, [7]],
    "sgx_isvsvn": ["3", 3.0, True, [3]],
    "sgx_is_debuggable": ["false", 0, []],
    "tdx_is_debuggable": ["false", 0, []],
    "dbgstat": [0, False, ["disabled"]],
    "attester_advisory_ids": ["INTEL-SA-1", [1], {"a": 1}, [["a"]]],
    "attester_held_data": [1, ["QQ=="], "QQ", "Q*==", "QQ==\n", "_-==", "é"],
    "attester_runtime_data": ["{}", [1], 1],
    "verifier_nonce": ["nonce", ["a"], 1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_claim_of_another_type(forge: Forge, refuses: Refuses, name: str, value: object) -> None:
    assert refuses(forge.token(claims=forge.claims(**{name: value}))) == "bad-claim"


DEBUG = [
    ({"dbgstat": "disabled", "sgx_is_debuggable": False}, False),
    ({"dbgstat": "disabled", "sgx_is_debuggable": ABSENT}, False),
    ({"dbgstat": ABSENT, "sgx_is_debuggable": False}, False),
    ({"dbgstat": "enabled", "sgx_is_debuggable": False}, True),
    ({"dbgstat": "disabled", "sgx_is_debuggable": True}, True),
    ({"dbgstat": "disabled", "sgx_is_debuggable": ABSENT, "tdx_is_debuggable": True}, True),
    ({"dbgstat": "disabled", "sgx_is_debuggable": False, "tdx_td_attributes_debug": True}, True),
    ({"dbgstat": ABSENT, "sgx_is_debuggable": ABSENT, "tdx_is_debuggable": False}, False),
    ({"dbgstat": ABSENT, "sgx_is_debuggable": ABSENT}, True),
    ({"dbgstat": "Disabled", "sgx_is_debuggable": False}, True),
    ({"dbgstat": None, "sgx_is_debuggable": None}, True),
]


@pytest.mark.parametrize(("members", "debug"), DEBUG)
def test_debug_is_believed_closed_only_when_all_say_so(
    forge: Forge, keys: KeySet, members: dict[str, Any], *, debug: bool
) -> None:
    token = forge.token(claims=forge.claims(**members))
    assert check_token(token, keys, issuer=ISSUER, at=AT).debug is debug


def test_runtime_data_is_given_as_it_is(forge: Forge, keys: KeySet) -> None:
    data = {"key": {"kty": "RSA"}, "list": [1, None]}
    claims = forge.claims(attester_held_data=ABSENT, attester_runtime_data=data)
    checked = check_token(forge.token(claims=claims), keys, issuer=ISSUER, at=AT)
    assert (checked.runtime_data, checked.held_data) == (data, None)
    empty = check_token(forge.token(claims=forge.claims(attester_held_data="")), keys, issuer=ISSUER, at=AT)
    assert empty.held_data == b""


def test_required_claims_that_fit(forge: Forge, keys: KeySet) -> None:
    required: dict[str, Any] = {
        "sgx_mrenclave": MR_ENCLAVE,
        "sgx_isvsvn": 3,
        "sgx_is_debuggable": False,
        "attester_held_data": b64encode(forge.held()).decode(),
        "verifier_instance_ids": ["7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"],
    }
    check_token(forge.token(), keys, issuer=ISSUER, at=AT, require=required)


MISMATCHES = [
    ("sgx_mrenclave", "5b" * 32),
    ("sgx_mrenclave", MR_ENCLAVE.upper()),
    ("sgx_isvsvn", 4),
    ("sgx_isvsvn", "3"),
    ("sgx_isvsvn", 3.0),
    ("one", True),
    ("yes", 1),
    ("zero", False),
    ("no", 0),
    ("nothing", None),
    ("null", False),
    ("ones", [True]),
    ("ones", [1, 1]),
    ("ones", {"0": 1}),
    ("deep", {"a": [{"b": True}]}),
    ("deep", {"a": [{"b": 1.0}]}),
    ("deep", {"a": [{"b": 1}], "c": None}),
    ("deep", {"a": [{"c": 1}]}),
]


@pytest.mark.parametrize(("name", "wanted"), MISMATCHES)
def test_required_claims_that_do_not_fit(forge: Forge, refuses: Refuses, name: str, wanted: object) -> None:
    """Compared as JSON is: true is not 1, at any depth, and absent is not null."""
    more = {"one": 1, "yes": True, "zero": 0, "no": False, "null": None, "ones": [1], "deep": {"a": [{"b": 1}]}}
    token = forge.token(claims=forge.claims(**more))
    assert refuses(token, require={name: wanted}) == "claim-mismatch"


def test_a_required_null_is_a_null(forge: Forge, keys: KeySet) -> None:
    token = forge.token(claims=forge.claims(null=None, deep={"a": [{"b": 1}]}))
    check_token(token, keys, issuer=ISSUER, at=AT, require={"null": None, "deep": {"a": [{"b": 1}]}})


def test_every_requirement_counts(forge: Forge, refuses: Refuses) -> None:
    required = {"sgx_isvsvn": 3, "sgx_isvprodid": 7, "sgx_mrsigner": "00" * 32}
    assert refuses(forge.token(), require=required) == "claim-mismatch"


def test_a_token_of_a_simulated_issuer_is_simulated_even_if_it_does_not_say_so(forge: Forge, keys: KeySet) -> None:
    issuer = f"{ISSUER}/simulated"
    token = forge.token(claims=forge.claims(iss=issuer))
    with pytest.raises(TokenRejected) as refusal:
        check_token(token, keys, issuer=issuer, at=AT)
    assert refusal.value.code == "simulated"
    assert check_token(token, keys, issuer=issuer, at=AT, accept_simulated=True).simulated
