"""What rules look at: the facts about one piece of evidence, from a verdict or from the claims that tell of one.

Only a verdict proves anything. Claims are those of a verdict of this process (a named policy is judged by them), or a
record of one (a draft is tried over them); whoever makes facts of claims from elsewhere judges fiction.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.collateral import qe_identity
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import MalformedPolicy
from ambergate.core.measurements import (
    Measurement384,
    MrEnclave,
    MrSeam,
    MrSigner,
    MrSignerSeam,
    MrTd,
    Rtmr,
    TdAttributes,
)
from ambergate.core.quote.report import EnclaveReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.core.octets import Octets
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.verdict import VerifiedQuote

_INSTANT: Final = len("2026-03-01T00:00:00Z")  # how claims tell instants
MAX_ADVISORIES: Final = 4096  # of one TCB level, as told by claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclave:
    """An enclave's identity as claims tell it."""

    mr_enclave: MrEnclave
    mr_signer: MrSigner
    isv_prod_id: int
    isv_svn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Td:
    """A TD's identity. `mr_service_td` is None where there is none, and where claims tell of none."""

    mr_td: MrTd
    rtmrs: tuple[Rtmr, ...]
    mr_seam: MrSeam
    mr_signer_seam: MrSignerSeam
    seam_svn: int  # major and minor version of the TDX module, as one number
    sept_ve_disable: bool
    mr_service_td: Measurement384 | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one piece of evidence: of an enclave, or of a TD."""

    tcb_status: TcbStatus
    tcb_date: datetime
    advisory_ids: tuple[str, ...]
    under_debug: bool
    enclave: Enclave | EnclaveReport | None
    td: Td | None
    verified: VerifiedQuote | None = None  # for what claims do not tell

    @classmethod
    def of(cls, verified: VerifiedQuote) -> Facts:
        """The facts that a verdict proves."""
        report = verified.report
        return cls(
            tcb_status=verified.tcb_status,
            tcb_date=verified.tcb_date,
            advisory_ids=verified.advisory_ids,
            # Of a TD every bit of the group TUD ("TD under debug", bits 0 to 7 of ATTRIBUTES) counts, those included
            # that no module defines yet: Intel TDX Module ABI Specification, "ATTRIBUTES".
            under_debug=report.debug if isinstance(report, EnclaveReport) else report.td_attributes.value[0] != 0,
            enclave=report if isinstance(report, EnclaveReport) else None,
            td=None if isinstance(report, EnclaveReport) else _td_of(report),
            verified=verified,
        )

    @classmethod
    def of_claims(cls, claims: Mapping[str, object]) -> Facts:
        """The facts that claims tell (`evidence_claims`).

        Raises:
            MalformedPolicy: a claim is missing or of another form. There is nothing to judge then.
        """
        try:
            return _read(claims)
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as exc:
            raise MalformedPolicy(
                "these are no claims about evidence", seen=f"{type(exc).__name__}: {exc}"[:200]
            ) from exc

    @property
    def evaluation_numbers(self) -> tuple[int, int] | None:
        """The numbers of the TCB recoveries of TCB info and QE identity; claims do not tell them."""
        if self.verified is None:
            return None
        of_qe = qe_identity.read_qe_identity(self.verified.collateral.qe_identity).evaluation_data_number
        return self.verified.tcb_evaluation_data_number, of_qe


def _td_of(report: TdReport) -> Td:
    return Td(
        mr_td=report.mr_td,
        rtmrs=report.rtmrs,
        mr_seam=report.mr_seam,
        mr_signer_seam=report.mr_signer_seam,
        seam_svn=int.from_bytes(report.tee_tcb_svn.value[:2], "little"),
        sept_ve_disable=report.sept_ve_disable,
        mr_service_td=report.mr_service_td,
    )


def _read(claims: Mapping[str, object]) -> Facts:
    sgx = {"SGX": True, "TDX": False}[_typed(claims, "attester_type", str)]
    advisories = claims.get("attester_advisory_ids", [])
    if not isinstance(advisories, list) or len(advisories) > MAX_ADVISORIES:
        msg = "attester_advisory_ids is no list"
        raise TypeError(msg)
    ids = tuple(each if isinstance(each, str) else "" for each in advisories)
    if "" in ids:
        msg = "attester_advisory_ids holds what is no id"
        raise TypeError(msg)
    return _facts(sgx, ids, *(claims[name] for name in (_OF_SGX if sgx else _OF_TDX)))


_EITHER: Final = ("attester_tcb_status", "attester_tcb_date")
_OF_SGX: Final = (*_EITHER, "sgx_is_debuggable", "sgx_mrenclave", "sgx_mrsigner", "sgx_isvprodid", "sgx_isvsvn")
_OF_TDX: Final = (
    *(*_EITHER, "tdx_is_debuggable", "tdx_td_attributes", "tdx_mrtd", "tdx_rtmr0", "tdx_rtmr1", "tdx_rtmr2"),
    *("tdx_rtmr3", "tdx_mrseam", "tdx_mrsignerseam", "tdx_seamsvn", "tdx_td_attributes_septve_disable"),
)


@functools.lru_cache(4096, typed=True)  # so many programs and levels; what one of them says anew is not among the facts
def _facts(sgx: bool, ids: tuple[str, ...], *values: object) -> Facts:  # noqa: FBT001
    claims = dict(zip(_OF_SGX if sgx else _OF_TDX, values, strict=True))
    attributes = None if sgx else _octets(claims, "tdx_td_attributes", TdAttributes)
    debug = _typed(claims, "sgx_is_debuggable" if sgx else "tdx_is_debuggable", bool)
    return Facts(
        tcb_status=TcbStatus(_typed(claims, "attester_tcb_status", str)),
        tcb_date=_instant(_typed(claims, "attester_tcb_date", str)),
        advisory_ids=ids,
        under_debug=debug or (attributes is not None and attributes.value[0] != 0),
        enclave=_enclave(claims) if sgx else None,
        td=None if sgx else _td(claims),
    )


def _instant(text: str) -> datetime:
    if len(text) != _INSTANT or text[-1] != "Z":
        msg = "attester_tcb_date is no instant"
        raise ValueError(msg)
    return datetime.fromisoformat(text).astimezone(UTC)


def _enclave(claims: Mapping[str, object]) -> Enclave:
    return Enclave(
        mr_enclave=_octets(claims, "sgx_mrenclave", MrEnclave),
        mr_signer=_octets(claims, "sgx_mrsigner", MrSigner),
        isv_prod_id=_typed(claims, "sgx_isvprodid", int),
        isv_svn=_typed(claims, "sgx_isvsvn", int),
    )


def _td(claims: Mapping[str, object]) -> Td:
    return Td(
        mr_td=_octets(claims, "tdx_mrtd", MrTd),
        rtmrs=tuple(_octets(claims, f"tdx_rtmr{index}", Rtmr) for index in range(4)),
        mr_seam=_octets(claims, "tdx_mrseam", MrSeam),
        mr_signer_seam=_octets(claims, "tdx_mrsignerseam", MrSignerSeam),
        seam_svn=_typed(claims, "tdx_seamsvn", int),
        sept_ve_disable=_typed(claims, "tdx_td_attributes_septve_disable", bool),
        mr_service_td=None,
    )


def _typed(claims: Mapping[str, object], name: str, kind: type[Any]) -> Any:  # noqa: ANN401  of the type asked for
    value = claims[name]
    if type(value) is not kind:
        msg = f"{name} is of another type"
        raise TypeError(msg)
    return value


def _octets(claims: Mapping[str, object], name: str, kind: type[Octets]) -> Any:  # noqa: ANN401  the same
    return kind.from_hex(_typed(claims, name, str))
