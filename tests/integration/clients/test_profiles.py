"""Tokens of every profile, algorithm and kind of evidence, by code that shares nothing with the issuer.

The key comes from the key set that the token's header names, its chain from `x5c`, revocation from the addresses in
the certificates; PyJWT decodes; the claims are compared with a table made from the quote's bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.integration.attestation.scene import AT, BASE_URL, ENCLAVE, ISSUER, bound
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.clients import chain

if TYPE_CHECKING:
    from tests.integration.attestation.scene import Service
    from tests.integration.clients.network import Network

DATA: Final = b"\x00\xffheld"
ALGORITHMS: Final = ("PS384", "RS256", "ES256")
PROFILES: Final = ("v1", "v2", "amber-2022", "slim")
SECOND: Final = int(AT.timestamp())


def fetched(network: Network, url: str) -> Any:  # noqa: ANN401
    return network.exchange("GET", url, [("Accept", "*/*")])


def believed(network: Network, token: str, alg: str) -> dict[str, Any]:
    """The claims, once signature, chain and lists hold."""
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == (alg, "JWT")
    keys = fetched(network, header["jku"]).object()["keys"]
    entry = next(key for key in keys if (key["kid"], key["alg"]) == (header["kid"], alg))
    leaf, intermediate, root = chain.by_name(chain.certificates(entry))
    for certificate, issuer in ((leaf, intermediate), (intermediate, root)):
        chain.signed_by(certificate, issuer)
        der = fetched(network, chain.list_address(certificate)).body
        chain.not_revoked(certificate, issuer, der, AT)
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey if alg == "ES256" else rsa.RSAPublicKey)
    listed = jwt.PyJWK(entry, alg).key
    assert listed == key, "the numbers beside the chain are the leaf's"
    claims = chain.decoded(token, key, [alg])
    assert SECOND < claims["exp"] <= SECOND + 300
    assert claims["iat"] == SECOND
    return claims


def sgx_table(quote: bytes) -> dict[str, Any]:
    """Offsets of an SGX report, Intel's quote library reference, appendix A."""
    body = quote[48:432]
    return {
        "sgx_mrenclave": body[64:96].hex(),
        "sgx_mrsigner": body[128:160].hex(),
        "sgx_isvprodid": int.from_bytes(body[256:258], "little"),
        "sgx_isvsvn": int.from_bytes(body[258:260], "little"),
        "sgx_report_data": body[320:384].hex(),
        "sgx_is_debuggable": bool(body[48] & 2),
    }


def tdx_table(quote: bytes) -> dict[str, Any]:
    """Offsets of a TD report 1.0, Intel's TDX quoting library reference, appendix A.3.2."""
    body = quote[48:632]
    offsets = {"mrseam": (16, 48), "mrsignerseam": (64, 48), "mrtd": (136, 48), "report_data": (520, 64)}
    offsets |= {f"rtmr{i}": (328 + 48 * i, 48) for i in range(4)}
    offsets |= {"tee_tcb_svn": (0, 16), "seam_attributes": (112, 8), "td_attributes": (120, 8), "xfam": (128, 8)}
    offsets |= {"mrconfigid": (184, 48), "mrowner": (232, 48), "mrownerconfig": (280, 48)}
    return {
        **{f"tdx_{name}": body[begin : begin + size].hex() for name, (begin, size) in offsets.items()},
        "tdx_seamsvn": int.from_bytes(body[:2], "little"),
        "tdx_is_debuggable": bool(body[120] & 1),
    }


def evidence(service: Service, kind: str) -> tuple[bytes, dict[str, Any]]:
    nonce = service.nonce()
    quote = (
        service.platform.quote(ENCLAVE, bound(nonce, DATA))
        if kind == "SGX"
        else service.platform.td_quote(TD, td_bound(nonce, DATA))
    )
    body = {"quote": b64encode(quote).decode(), "verifier_nonce": nonce, "runtime_data": b64encode(DATA).decode()}
    return quote, body


@pytest.mark.parametrize("kind", ["SGX", "TDX"])
@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_token_says(service: Service, network: Network, profile: str, alg: str, kind: str) -> None:
    quote, body = evidence(service, kind)
    answer = service.attest({**body, "token_profile": profile, "token_signing_alg": alg})
    claims = believed(network, answer.json()["token"], alg)
    assert (claims["iss"], claims["tee_simulated"]) == (ISSUER, True)
    told = sgx_table(quote) if kind == "SGX" else tdx_table(quote)
    held = b64encode(DATA).decode()
    if profile == "amber-2022":
        shared = ("mrenclave", "mrsigner", "isvprodid", "isvsvn", "mrseam", "mrsignerseam", "mrtd", "seamsvn")
        for name in (f"{kind.lower()}_{each}" for each in (*shared, "rtmr0", "rtmr1", "rtmr2", "rtmr3")):
            assert claims.get(f"amber_{name}") == told.get(name)
        assert claims["amber_report_data"] == told[f"{kind.lower()}_report_data"]
        assert (claims["amber_evidence_type"], claims["amber_tcb_status"]) == (kind, "OK")
        assert (claims["amber_tee_held_data"], claims["amber_signed_nonce"]) == (held, True)
        assert claims["amber_tee_is_debuggable"] is False
        return
    about = claims[kind.lower()] if profile == "v2" else claims
    assert {name: about[name] for name in told} == told
    assert (about["attester_type"], about["attester_tcb_status"]) == (kind, "UpToDate")
    assert (about["attester_held_data"], about["dbgstat"]) == (held, "disabled")
    assert claims["verifier_nonce"] == body["verifier_nonce"]
    assert claims["nbf"] == claims["iat"]
    assert claims["ver"] == ("2.0.0" if profile == "v2" else "1.0.0")


@pytest.mark.parametrize("kind", ["SGX", "TDX"])
def test_digests_are_of_what_the_operator_has(service: Service, network: Network, kind: str) -> None:
    """Computed anew from the collateral on the operator's disk, and from the quote that was sent."""
    quote, body = evidence(service, kind)
    claims = believed(network, service.attest(body).json()["token"], "PS384")
    (file,) = (service.folder / "collateral").glob(f"{kind.lower()}-*.json")
    kept = json.loads(file.read_text())
    digests = claims[f"{kind.lower()}_collateral"]
    assert digests["quotehash"] == hashlib.sha256(quote).hexdigest()
    for name, chain_of in (("tcbinfocerthash", "tcb_info_issuer_chain"), ("qeidcerthash", "qe_identity_issuer_chain")):
        assert digests[name] == hashlib.sha256(kept[chain_of].encode()).hexdigest()
    for name, member, inner in (("tcbinfohash", "tcb_info", "tcbInfo"), ("qeidhash", "qe_identity", "enclaveIdentity")):
        text = f'{{"{inner}":{kept[member]},"signature":"{kept[member + "_signature"]}"}}'
        assert digests[name] == hashlib.sha256(text.encode()).hexdigest()
    crl = hashlib.sha256(bytes.fromhex(kept["root_ca_crl"])).hexdigest()
    assert digests["tcbinfocrlhash"] == digests["qeidcrlhash"] == crl


def test_the_public_name_is_in_all_addresses(service: Service, network: Network) -> None:
    for path in ("/certs", "/certs/es256"):
        for entry in fetched(network, f"{BASE_URL}{path}").object()["keys"]:
            leaf, intermediate, _ = chain.by_name(chain.certificates(entry))
            for certificate in (leaf, intermediate):
                assert chain.list_address(certificate).startswith(f"{BASE_URL}/crl/")
    told = fetched(network, f"{BASE_URL}/.well-known/openid-configuration").object()
    assert told["jwks_uri"] == f"{BASE_URL}/certs"
    assert b64decode(service.api_key, validate=True)
