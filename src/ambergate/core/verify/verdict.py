"""What a verification proves, as types that only the verifier makes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.quote.layout import Quote, TeeType
    from ambergate.core.quote.report import EnclaveReport
    from ambergate.core.verify.anchors import TrustAnchor


class TcbStatus(enum.Enum):
    """What Intel says of the platform's trusted computing base; the values are Intel's words."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One step of a verification: its stable id, whether it held, and what was looked at."""

    id: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, both ends included."""

    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralDigests:
    """SHA-256 of what the verdict rests on, for the token's `sgx_collateral` claim."""

    qe_identity_chain: bytes
    qe_identity_crl: bytes
    qe_identity: bytes
    quote: bytes
    tcb_info_chain: bytes
    tcb_info_crl: bytes
    tcb_info: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedQuote:
    """A quote that was proven genuine at the instant `at`, under `anchor`. Made by the verifier only.

    Proves: at `at`, a platform whose key the anchor's holder certified, and whose certificate was not revoked, ran an
    enclave that is what `report` says; `tcb_status` is what the anchor's holder says of that platform. Does not say
    whether debug, an old TCB, or this very enclave is welcome: that is appraisal.
    """

    quote: Quote
    at: datetime
    anchor: TrustAnchor
    tcb_status: TcbStatus
    tcb_date: datetime
    advisory_ids: tuple[str, ...]
    tcb_evaluation_data_number: int
    platform: PckExtension
    window: Window
    digests: CollateralDigests
    checks: tuple[CheckRecord, ...]

    @property
    def tee(self) -> TeeType:
        """The proven kind of environment."""
        return self.quote.header.tee

    @property
    def report(self) -> EnclaveReport:
        """The proven report of the enclave."""
        return self.quote.body
