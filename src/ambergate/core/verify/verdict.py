"""What a verification proves, as types that only the verifier makes."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from ambergate.core.collateral.crl import crl_der
from ambergate.core.quote.codec import encode_quote

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.collateral.qe_identity import QeLevel
    from ambergate.core.collateral.tcb_info import TcbLevel, TcbStatus, TdxModuleLevel
    from ambergate.core.quote.layout import Quote, TeeType
    from ambergate.core.quote.report import EnclaveReport
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.anchors import TrustAnchor


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One step of a verification: its stable id, whether it held, and what was looked at."""

    id: str
    ok: bool
    detail: str


# A step that held: its id, a template of what was looked at, and what fills it. Most are never read.
Note = tuple[str, str, tuple[object, ...]]


def records_of(notes: Iterable[Note]) -> list[CheckRecord]:
    """The notes as records, in words; instants in ISO 8601."""
    return [
        CheckRecord(step, ok=True, detail=template.format(*map(worded, values))) for step, template, values in notes
    ]


def worded(value: object) -> object:
    """A value as it stands in a record: instants in ISO 8601, octets in hex, anything else as it is."""
    if isinstance(value, date):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


class Window(NamedTuple):
    """A stretch of time, both ends included."""

    not_before: datetime
    not_after: datetime


class Dated(NamedTuple):
    """Something proven that holds for a stretch of time only, and the step that looks at the time."""

    step: str
    what: str
    window: Window


def common_window(dated: Sequence[Dated]) -> Window:
    """The stretch in which all of them hold; it may be empty (`not_after < not_before`)."""
    return Window(max(d.window.not_before for d in dated), min(d.window.not_after for d in dated))


def first_to_end(dated: Sequence[Dated]) -> Dated:
    """The one that ends first; of several that end together, the first of them."""
    return min(dated, key=lambda each: each.window.not_after)


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


class TcbVerdict(NamedTuple):
    """What Intel says of this platform and its quoting enclave together."""

    status: TcbStatus
    date: datetime  # of the matched platform level
    advisory_ids: tuple[str, ...]  # of platform level, TDX module level and quoting enclave level, each once
    evaluation_data_number: int
    level: TcbLevel  # the platform's; its status is one of those that `status` was merged from
    qe_level: QeLevel
    module_level: TdxModuleLevel | None  # None: no TD, or a TDX module of version 0, which has no levels


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
    tcb: TcbVerdict
    platform: PckExtension
    collateral: Collateral
    dates: tuple[Dated, ...]  # everything that the verdict rests on and that holds for a stretch of time only
    notes: tuple[Note, ...] = field(repr=False)

    @property
    def checks(self) -> tuple[CheckRecord, ...]:
        """The record of every step, in their order."""
        return tuple(records_of(self.notes))

    @property
    def window(self) -> Window:
        """The stretch in which everything that the verdict rests on holds."""
        return common_window(self.dates)

    @property
    def earliest_expiry(self) -> Dated:
        """What ends first of all that the verdict rests on: no token may outlive it."""
        return first_to_end(self.dates)

    @property
    def tcb_status(self) -> TcbStatus:
        """What Intel says of the platform and its quoting enclave."""
        return self.tcb.status

    @property
    def tcb_date(self) -> datetime:
        """When the matched TCB level was set."""
        return self.tcb.date

    @property
    def advisory_ids(self) -> tuple[str, ...]:
        """Intel's security advisories that concern this TCB level."""
        return self.tcb.advisory_ids

    @property
    def tcb_evaluation_data_number(self) -> int:
        """The number of the TCB recovery that the TCB info belongs to."""
        return self.tcb.evaluation_data_number

    @property
    def digests(self) -> CollateralDigests:
        """SHA-256 of the quote and of every statement that the verdict rests on."""
        return replace(digests_of(self.collateral), quote=self.quote_digest)

    @property
    def quote_digest(self) -> bytes:
        """SHA-256 of the quote as it came."""
        return hashlib.sha256(encode_quote(self.quote)).digest()

    @property
    def tee(self) -> TeeType:
        """The proven kind of environment."""
        return self.quote.header.tee

    @property
    def report(self) -> EnclaveReport | TdReport:
        """The proven report of the enclave or TD."""
        return self.quote.body

    @property
    def report_data(self) -> bytes:
        """The proven REPORTDATA: 64 bytes of the enclave's or TD's choice."""
        return self.report.report_data.value

    @property
    def kind(self) -> Hashable | None:
        """What this verdict has in common with others of its kind; None: nothing is known of others.

        Verdicts of one kind differ in their instant, the window in which they hold, what identifies the machine, the
        quote's digest and REPORTDATA, and in nothing else that is proven. A name within one process.
        """
        return None

    @property
    def enclave(self) -> EnclaveReport:
        """The proven report of an SGX enclave.

        Raises:
            ValueError: what was proven is a TD.
        """
        return self.quote.enclave


@functools.lru_cache(64)  # bundles; one is some 30 kB and stays the same for weeks
def digests_of(c: Collateral) -> CollateralDigests:
    """SHA-256 of a bundle's statements; that of the quote is left empty."""
    crl = hashlib.sha256(crl_der(c.root_ca_crl)).digest()
    return CollateralDigests(
        qe_identity_chain=_sha256(c.qe_identity_issuer_chain),
        qe_identity_crl=crl,
        qe_identity=_sha256(f'{{"enclaveIdentity":{c.qe_identity},"signature":"{c.qe_identity_signature}"}}'),
        quote=b"",
        tcb_info_chain=_sha256(c.tcb_info_issuer_chain),
        tcb_info_crl=crl,
        tcb_info=_sha256(f'{{"tcbInfo":{c.tcb_info},"signature":"{c.tcb_info_signature}"}}'),
    )


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
