"""What tokens tell of an enclave and of a TD that the tests' policies approve, as types."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from tests.integration.keybroker.forge import ABSENT, MR_ENCLAVE, MR_SIGNER, Forge

from ambergate.core.release.envelope import encode_held_key
from ambergate.core.token.claims import read_claims

if TYPE_CHECKING:
    from ambergate.core.token.claims import AttestationClaims

POLICY_ID: Final = "0b5e2f5e-59a9-4b57-8d9b-2f3f8a3f4a11"
NONCE: Final = {"val": "AAAA", "iat": "BBBB", "signature": "CCCC"}
SGX_IDENTITY: Final = {"mr_enclave": MR_ENCLAVE}
TDX_IDENTITY: Final = {"mr_td": "01" * 48}
TD: Final = {
    "tdx_mrtd": "01" * 48,
    **{f"tdx_rtmr{index}": f"1{index}" * 48 for index in range(4)},
    "tdx_mrseam": "02" * 48,
    "tdx_mrsignerseam": "00" * 48,
    "tdx_mrconfigid": "03" * 48,
    "tdx_mrowner": "04" * 48,
    "tdx_mrownerconfig": "05" * 48,
    "tdx_seamsvn": 257,
    "tdx_td_attributes": "0000001000000000",  # SEPT_VE_DISABLE
    "tdx_is_debuggable": False,
}
_OF_ENCLAVES: Final = ("sgx_mrenclave", "sgx_mrsigner", "sgx_isvprodid", "sgx_isvsvn", "sgx_report_data")


def enclave(forge: Forge, **changes: Any) -> AttestationClaims:  # noqa: ANN401
    """What is told of the enclave of MR_ENCLAVE and MR_SIGNER, product 7, version 3."""
    usual = {
        "attester_advisory_ids": ["INTEL-SA-00615"],
        "policy_ids_matched": [{"id": POLICY_ID, "version": "v1", "hash": "AA=="}],
        "verifier_nonce": NONCE,
        "attester_runtime_data": {"user": "alice", "level": 3, "deep": {"list": [1, True]}},
    }
    return read_claims(forge.claims(**{**usual, **changes}))


def td_held(forge: Forge) -> str:
    """The workload's key as a TD holds it."""
    return b64encode(encode_held_key(forge.workload_key.public_key(), tee="TDX")).decode()


def td(forge: Forge, **changes: Any) -> AttestationClaims:  # noqa: ANN401
    """What is told of a TD."""
    usual = {"attester_type": "TDX", "attester_held_data": td_held(forge), **TD, **dict.fromkeys(_OF_ENCLAVES, ABSENT)}
    return read_claims(forge.claims(sgx_is_debuggable=ABSENT, **{**usual, **changes}))


__all__ = ["MR_ENCLAVE", "MR_SIGNER", "NONCE", "POLICY_ID", "SGX_IDENTITY", "TDX_IDENTITY", "enclave", "td", "td_held"]
