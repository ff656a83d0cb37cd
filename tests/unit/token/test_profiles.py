"""Every claim of profile v1 (wire protocol 4.3) against the quote's own bytes, read here without our parser."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.token.judged import BASE_URL, ENCLAVE, REPORT_DATA, WHEN, Laboratory, issuance

from ambergate.core.collateral.tcb_info import DOCUMENTED, TcbStatus
from ambergate.core.quote.codec import encode_quote
from ambergate.core.token.profiles import MAX_DATA_DEPTH, v1_claims

if TYPE_CHECKING:
    from ambergate.core.appraise.appraisal import Appraisal

REPORT = 48  # where the report body starts in a quote: behind the header


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory.open()


@pytest.fixture(scope="module")
def appraisal(laboratory: Laboratory) -> Appraisal:
    return laboratory.appraisal(status=TcbStatus.SW_HARDENING_NEEDED)


@pytest.fixture(scope="module")
def raw(appraisal: Appraisal) -> bytes:
    return encode_quote(appraisal.verified.quote)


def test_the_enclaves_claims_are_the_quotes_bytes(appraisal: Appraisal, raw: bytes) -> None:
    """Offsets: SGX report body, table in Intel's quote library reference, appendix A."""
    claims = v1_claims(appraisal, issuance())
    assert claims["sgx_mrenclave"] == raw[REPORT + 64 : REPORT + 96].hex() == ENCLAVE.mr_enclave.hex()
    assert claims["sgx_mrsigner"] == raw[REPORT + 128 : REPORT + 160].hex() == ENCLAVE.mr_signer.hex()
    assert claims["sgx_isvprodid"] == int.from_bytes(raw[REPORT + 256 : REPORT + 258], "little") == 513
    assert claims["sgx_isvsvn"] == int.from_bytes(raw[REPORT + 258 : REPORT + 260], "little") == 65535
    assert claims["sgx_report_data"] == raw[REPORT + 320 : REPORT + 384].hex() == REPORT_DATA.hex()
    assert claims["sgx_is_debuggable"] is False
    assert claims["dbgstat"] == "disabled"
    assert type(claims["sgx_isvprodid"]) is type(claims["sgx_isvsvn"]) is int


def test_a_configuration_is_told_where_there_is_one(laboratory: Laboratory) -> None:
    claims = v1_claims(laboratory.appraisal(enclave=replace(ENCLAVE, config_id=bytes(range(64)))), issuance())
    assert claims["sgx_config_id"] == bytes(range(64)).hex()


def test_a_debug_enclave_is_called_one(laboratory: Laboratory) -> None:
    claims = v1_claims(laboratory.appraisal(debug=True), issuance())
    assert (claims["sgx_is_debuggable"], claims["dbgstat"]) == (True, "enabled")


def test_the_platforms_claims_are_the_verdicts(appraisal: Appraisal) -> None:
    info = json.loads(appraisal.verified.collateral.tcb_info)
    level = next(level for level in info["tcbLevels"] if level["tcbStatus"] == "SWHardeningNeeded")
    claims = v1_claims(appraisal, issuance())
    assert claims["attester_type"] == "SGX"
    assert claims["attester_tcb_status"] == "SWHardeningNeeded"
    assert claims["attester_tcb_date"] == level["tcbDate"]
    assert claims["attester_advisory_ids"] == level["advisoryIDs"] != []


@pytest.mark.parametrize("status", [each for each in DOCUMENTED.values() if each is not TcbStatus.REVOKED])
def test_every_status_is_told_in_intels_words(laboratory: Laboratory, status: TcbStatus) -> None:
    claims = v1_claims(laboratory.appraisal(status=status), issuance())
    assert claims["attester_tcb_status"] == status.value
    assert ("attester_advisory_ids" in claims) is (status is not TcbStatus.UP_TO_DATE)


def test_the_digests_are_of_what_the_verdict_rests_on(appraisal: Appraisal, raw: bytes) -> None:
    collateral = appraisal.verified.collateral
    digests = v1_claims(appraisal, issuance())["sgx_collateral"]
    assert isinstance(digests, dict)
    assert set(digests) == {
        *("qeidcerthash", "qeidcrlhash", "qeidhash", "quotehash", "tcbinfocerthash", "tcbinfocrlhash", "tcbinfohash")
    }
    assert digests["quotehash"] == hashlib.sha256(raw).hexdigest()
    assert digests["tcbinfocerthash"] == hashlib.sha256(collateral.tcb_info_issuer_chain.encode()).hexdigest()
    assert digests["qeidcrlhash"] == hashlib.sha256(bytes.fromhex(collateral.root_ca_crl)).hexdigest()
    published = f'{{"tcbInfo":{collateral.tcb_info},"signature":"{collateral.tcb_info_signature}"}}'
    assert digests["tcbinfohash"] == hashlib.sha256(published.encode()).hexdigest()


def test_the_issuers_claims() -> None:
    issued = int(WHEN.timestamp())
    claims = v1_claims(Laboratory.open().appraisal(), issuance())
    assert {name: claims[name] for name in ("iss", "iat", "nbf", "exp", "jti", "ver")} == {
        "iss": f"{BASE_URL}/simulated",
        "iat": issued,
        "nbf": issued,
        "exp": issued + 300,
        "jti": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        "ver": "1.0.0",
    }
    assert claims["eat_profile"] == f"{BASE_URL}/eat_profile.html"
    assert claims["intuse"] == "generic"
    assert claims["verifier_instance_ids"] == ["7c9d1f4e-8a5b-4a7e-9a37-0d3f1f1a9b11"]
    assert all(type(claims[name]) is int for name in ("iat", "nbf", "exp"))
    assert datetime.fromtimestamp(issued, WHEN.tzinfo) <= WHEN, "no reader's clock is behind the token"


def test_there_is_nothing_else(appraisal: Appraisal) -> None:
    """No `aud`, no empty or null `policy_ids_*`: deployed clients stumble over them."""
    of_the_issuer = {"iss", "iat", "nbf", "exp", "jti", "ver", "eat_profile", "intuse", "verifier_instance_ids"}
    of_the_platform = {"attester_type", "attester_tcb_status", "attester_tcb_date", "attester_advisory_ids"}
    of_the_enclave = {"dbgstat"} | {f"sgx_{name}" for name in ("mrenclave", "mrsigner", "isvprodid", "isvsvn")}
    of_the_quote = {f"sgx_{name}" for name in ("report_data", "is_debuggable", "collateral")}
    claims = v1_claims(appraisal, issuance(simulated=False))
    assert set(claims) == of_the_issuer | of_the_platform | of_the_enclave | of_the_quote
    nonce = {"val": "a", "iat": "b", "signature": "c"}
    more = v1_claims(appraisal, issuance(nonce=nonce, runtime_data=b"data"))
    assert set(more) - set(claims) == {"verifier_nonce", "attester_held_data", "tee_simulated"}
    assert more["verifier_nonce"] == nonce
    assert more["tee_simulated"] is True
    assert None not in more.values()


def test_a_token_ends_when_it_is_told_to(appraisal: Appraisal) -> None:
    ends = appraisal.verified.window.not_after
    assert v1_claims(appraisal, issuance(expires_at=ends))["exp"] == int(ends.timestamp())
    assert v1_claims(appraisal, issuance(expires_at=ends + timedelta(seconds=0.9)))["exp"] == int(ends.timestamp())


OBJECTS = ["{}", '{"type":"RSA","key":[1,2.5,true,null,{"a":"é"}]}', ' {"a" : 1}\n', '{"a":"\\u00e9\\ud83d\\ude00"}']


@pytest.mark.parametrize("text", OBJECTS)
def test_a_json_object_is_told_as_one(appraisal: Appraisal, text: str) -> None:
    claims = v1_claims(appraisal, issuance(runtime_data=text.encode()))
    assert claims["attester_runtime_data"] == json.loads(text)
    assert "attester_held_data" not in claims


NOT_OBJECTS: list[Any] = [
    *(b"plain", b"\x00\xff", b"[1]", b"1", b"null", b'"text"', b"{", b'{"a":1} {"a":1}', b'\xef\xbb\xbf{"a":1}'),
    *(b'{"a":1,"a":2}', b'{"b":{"a":1,"a":1}}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":"\\ud800"}'),
    *(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b'{"a":' + b"9" * 5000 + b"}", b'{"\\udfff":1}'),
]


@pytest.mark.parametrize("data", NOT_OBJECTS)
def test_anything_else_is_told_as_bytes(appraisal: Appraisal, data: bytes) -> None:
    """JSON that two readers could read in two ways too: a token must not say what the enclave did not."""
    claims = v1_claims(appraisal, issuance(runtime_data=data))
    assert claims["attester_held_data"] == b64encode(data).decode()
    assert "attester_runtime_data" not in claims


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_of_json_are_bytes(appraisal: Appraisal, encoding: str) -> None:
    assert "attester_held_data" in v1_claims(appraisal, issuance(runtime_data='{"a":1}'.encode(encoding)))


def test_how_deep_runtime_data_may_nest(appraisal: Appraisal) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert "attester_runtime_data" in v1_claims(appraisal, issuance(runtime_data=nested(MAX_DATA_DEPTH)))
    assert "attester_held_data" in v1_claims(appraisal, issuance(runtime_data=nested(MAX_DATA_DEPTH + 1)))


@pytest.mark.parametrize("data", [None, b""])
def test_no_data_is_no_claim(appraisal: Appraisal, data: bytes | None) -> None:
    claims = v1_claims(appraisal, issuance(runtime_data=data))
    assert not {"attester_runtime_data", "attester_held_data"} & set(claims)
