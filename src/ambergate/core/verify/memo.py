"""`Verifier`: `verify_quote` with a memory of what it has proven.

Two kinds of fact, each remembered under the exact bytes that it was proven from:

- endorsements: all that one collateral bundle proves under one root and intermediate, by the text of these two as it
  stands behind the PCK certificate. A new platform under known collateral then costs three signatures: its PCK
  certificate's, its QE report's, the quote's.
- a platform: that the holder of this attestation key is a quoting enclave of Intel's on a platform of this TCB. The
  next quote of the same platform costs one signature, the quote's own, and that is always checked.

Soundness: the digest that a platform is found by covers the certification data, the QE report, its signature, the
attestation key, the header's fixed fields and, for a TD, the parts of its report that the TCB status depends on; the
collateral (revocation lists among it) is compared with that of the fact, byte for byte, so that a new list asks for a
new proof. Every fact has its window, and holds at `at` or is not used. Whatever is not found, or does not hold, is
verified from nothing by `verify_quote`, which also words every refusal: this module can accept, it never refuses.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard

from ambergate.core.collateral.certificates import END_OF_CERTIFICATE
from ambergate.core.errors import NotGenuine
from ambergate.core.measurements import Ppid
from ambergate.core.quote.codec import encode_quote, parse_quote
from ambergate.core.quote.layout import PCK_CERT_CHAIN
from ambergate.core.quote.parts import cut_quote
from ambergate.core.quote.report import REPORT_DATA
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.chain import check_pck_revocation, prove_issuers, prove_lists, prove_pck, read_pck
from ambergate.core.verify.cut import Cut, cut_for_memory, judged_of
from ambergate.core.verify.qe import prove_qe_report
from ambergate.core.verify.recent import Recent
from ambergate.core.verify.signatures import is_signed_raw
from ambergate.core.verify.statements import prove_statements
from ambergate.core.verify.trail import Unread
from ambergate.core.verify.verdict import VerifiedQuote, Window, common_window
from ambergate.core.verify.verifier import (
    Claim,
    judge,
    pck_dates,
    prove_signature,
    read_attestation_key,
    read_claim,
    read_platform,
    verify_quote,
)

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.collateral.pck import PckExtension, RawPlatform
    from ambergate.core.quote.layout import TeeType
    from ambergate.core.quote.parts import QuoteParts
    from ambergate.core.quote.report import EnclaveReport
    from ambergate.core.quote.td_report import TdReport
    from ambergate.core.verify.statements import Endorsements
    from ambergate.core.verify.trail import Trail
    from ambergate.core.verify.verdict import Dated, TcbVerdict

MAX_PLATFORMS: Final = 100_000  # facts; each takes below 4 KiB
MAX_KINDS: Final = 4096  # kinds of platforms under one bundle
MAX_KNOWN: Final = 256  # bundles under one CA; each takes about 100 KiB

_NOBODY: Final = bytes(Ppid.WIDTH)


class _Kind:
    """What was judged of a kind of platforms under one bundle. Its identity is the kind's name: no other is equal."""

    __slots__ = ("platform", "tcb")

    def __init__(self, tcb: TcbVerdict, platform: RawPlatform) -> None:
        self.tcb = tcb
        self.platform = platform  # without what identifies the machine


class _Known(NamedTuple):
    """All that a bundle proves under a root and an intermediate, and the window in which all of it holds."""

    anchor: TrustAnchor
    root: Certificate
    intermediate: Certificate
    endorsements: Endorsements
    window: Window
    kinds: dict[Hashable, _Kind]  # of platforms, each judged once

    def judge(self, trail: Trail, claim: Claim, platform: RawPlatform) -> _Kind:
        """What `judge` says of a platform, and the platform without what identifies the machine.

        Signatures are always checked. All else that is judged depends on the platform's kind, the QE report and, for a
        TD, on parts of its report: for the same of these it was judged before. A family has few kinds of platforms.

        Raises:
            NotGenuine: a step failed.
        """
        parts = claim.parts
        kind = platform._replace(ppid=_NOBODY, platform_instance_id=None)
        key = (kind, parts.kind, parts.qe_report[: REPORT_DATA.start], judged_of(parts.header, parts.body))
        judged = self.kinds.get(key)
        if judged is not None:
            prove_qe_report(trail, parts, claim.pck)
            prove_signature(trail, claim)
            return judged
        if len(self.kinds) > MAX_KINDS:
            self.kinds.clear()
        return self.kinds.setdefault(key, _Kind(judge(trail, claim, platform, self.endorsements), kind))


class _Fact(NamedTuple):
    """That the holder of this key is a quoting enclave of Intel's on this platform, while the window holds."""

    attestation_key: EllipticCurvePublicKey
    collateral: Collateral
    not_before: datetime
    not_after: datetime
    kind: _Kind
    machine: tuple[bytes, bytes | None]  # that: PPID, and platform instance id where there is one
    pck: Dated
    known: _Known

    @property
    def platform(self) -> PckExtension:
        """The platform as its PCK certificate describes it."""
        ppid, instance = self.machine
        return self.kind.platform._replace(ppid=ppid, platform_instance_id=instance).typed()

    @property
    def tcb(self) -> TcbVerdict:
        """What Intel says of it."""
        return self.kind.tcb


class Recognised(NamedTuple):
    """A quote, not proven, and what is known of its platform at an instant. Made by `Verifier.known` only."""

    cut: Cut
    fact: _Fact
    at: datetime


class Verifier:
    """Verifies quotes under one trust anchor, and remembers what it has proven. Safe to share between threads.

    Args:
        anchor: the root that vouches; Intel's when not given.
        max_platforms: how many platforms are remembered; the one used longest ago is forgotten first.
    """

    def __init__(self, *, anchor: TrustAnchor | None = None, max_platforms: int = MAX_PLATFORMS) -> None:
        self.anchor = anchor or TrustAnchor.intel()
        self._platforms: Recent[bytes, _Fact] = Recent(max_platforms)
        self._known: Recent[tuple[bytes, Collateral], _Known] = Recent(MAX_KNOWN)

    def verify(self, raw: bytes, collateral: Collateral, *, at: datetime) -> VerifiedQuote:
        """Parse a quote and prove it, as `verify_quote` does; see there.

        Args:
            raw: the quote's bytes.
            collateral: Intel's statements.
            at: the instant, aware.

        Raises:
            MalformedEvidence: the bytes are not a quote.
            NotGenuine: with the failing step.
            ValueError: `at` has no time zone.
        """
        _check_zone(at)
        raw = bytes(raw)
        cut = cut_for_memory(raw)
        if cut is None:
            return verify_quote(parse_quote(raw), collateral, at=at, anchor=self.anchor)
        return self._verify(cut, collateral, at)

    def known(self, cut: Cut, collateral: Collateral, *, at: datetime) -> Recognised | None:
        """The quote, if its platform is known by these statements at this instant: one signature is left."""
        _check_zone(at)
        fact = self._platforms.get(cut.digest)
        return Recognised(cut, fact, at) if _holds(fact, collateral, at) else None

    def verify_known(self, found: Recognised) -> VerifiedQuote:
        """As `verify`, for the collateral and the instant that `known` was asked for."""
        cut, fact, at = found
        if is_signed_raw(fact.attestation_key, cut.signature, cut.signed):
            return _Recalled.of(cut, fact, at)
        return self._verify_anew(cut, fact.collateral, at)

    def _verify(self, cut: Cut, collateral: Collateral, at: datetime) -> VerifiedQuote:
        found = self.known(cut, collateral, at=at)
        return self._verify_anew(cut, collateral, at) if found is None else self.verify_known(found)

    def _verify_anew(self, cut: Cut, collateral: Collateral, at: datetime) -> VerifiedQuote:
        fact = self._prove(cut.raw, collateral, at)
        if fact is not None:
            self._platforms.put(cut.digest, fact)
            return _Recalled.of(cut, fact, at)
        return verify_quote(parse_quote(cut.raw), collateral, at=at, anchor=self.anchor)

    def _prove(self, raw: bytes, collateral: Collateral, at: datetime) -> _Fact | None:
        """The steps of `verify_quote`, those that depend on the collateral alone at most once. None: one failed."""
        trail = Unread()
        try:
            claim, known = self._claim(trail, cut_quote(raw), collateral)
            prove_pck(trail, claim.pck, claim.intermediate)
            check_pck_revocation(trail, claim.pck, known.endorsements.pck_crl)
            platform = read_platform(trail, claim.pck)
            pck = pck_dates(claim.pck)
            not_before = max(known.window.not_before, pck.window.not_before)
            not_after = min(known.window.not_after, pck.window.not_after)
            if not not_before <= at <= not_after:
                return None
            kind = known.judge(trail, claim, platform)
        except NotGenuine:
            return None
        machine = platform.ppid, platform.platform_instance_id
        return _Fact(claim.attestation_key, collateral, not_before, not_after, kind, machine, pck, known)

    def _claim(self, trail: Trail, parts: QuoteParts, collateral: Collateral) -> tuple[Claim, _Known]:
        """The quote's certificates, and what is known under the two that certify platforms.

        Those two are recognised by the very text that stands behind the PCK certificate; they are not read again.
        """
        pem, mark, rest = parts.certification_data.partition(END_OF_CERTIFICATE)
        key = (rest, collateral)
        known = self._known.get(key)
        if known is not None and parts.certification_kind == PCK_CERT_CHAIN:
            attestation_key = read_attestation_key(trail, parts.attestation_key)
            pck = read_pck(trail, pem + mark)
            return Claim(parts, attestation_key, known.root, known.intermediate, pck, pck_leads=True), known
        claim = read_claim(trail, parts, self.anchor)
        prove_issuers(trail, claim.root, claim.intermediate, self.anchor)
        lists = prove_lists(trail, claim.root, claim.intermediate, collateral.root_ca_crl, collateral.pck_crl)
        endorsements = prove_statements(trail, collateral, claim.root, lists, self.anchor)
        window = common_window(endorsements.dates)
        known = _Known(self.anchor, claim.root, claim.intermediate, endorsements, window, {})
        if claim.pck_leads:
            self._known.put(key, known)
        return claim, known


def _check_zone(at: datetime) -> None:
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)


def _holds(fact: _Fact | None, collateral: Collateral, at: datetime) -> TypeGuard[_Fact]:
    """Whether a fact says anything of this collateral at this instant."""
    return (
        fact is not None
        and (fact.collateral is collateral or fact.collateral == collateral)
        and fact.not_before <= at <= fact.not_after
    )


class _Recalled(VerifiedQuote):
    """A verdict that rests on memory. Its quote is parsed, and its steps are taken again, when somebody asks."""

    __slots__ = ("_cut", "_digest", "_fact", "_report")

    _cut: Cut | None  # None, like the fact: somebody made this of another verdict, with other values
    _digest: bytes
    _fact: _Fact
    _report: EnclaveReport | TdReport

    @classmethod
    def of(cls, cut: Cut, fact: _Fact, at: datetime) -> VerifiedQuote:
        self = cls.__new__(cls)
        _put_cut(self, cut)  # the class is frozen for everybody else
        _put_fact(self, fact)
        _put_at(self, at)
        return self

    @property
    def tee(self) -> TeeType:
        """As `VerifiedQuote.tee`."""
        return self.quote.header.tee if self._cut is None else self._cut.tee

    @property
    def report(self) -> EnclaveReport | TdReport:
        """As `VerifiedQuote.report`; nothing else of the quote is parsed."""
        return self._report

    @property
    def report_data(self) -> bytes:
        """As `VerifiedQuote.report_data`; nothing is parsed."""
        return self.report.report_data.value if self._cut is None else self._cut.report_data

    @property
    def kind(self) -> Hashable | None:
        """As `VerifiedQuote.kind`: the kind of platform under its bundle, and the report but for REPORTDATA."""
        return None if self._cut is None else (self._fact.kind, self._cut.rest)

    @property
    def window(self) -> Window:
        """As `VerifiedQuote.window`: that of the fact is made of the same dates."""
        return common_window(self.dates) if self._cut is None else Window(self._fact.not_before, self._fact.not_after)

    @property
    def quote_digest(self) -> bytes:
        """As `VerifiedQuote.quote_digest`: what is encoded again is what came."""
        return self._digest

    def __getattr__(self, name: str) -> object:
        """Everything else, which is made at first use."""
        value: object
        match name:
            case "_report":
                value = self.quote.body if self._cut is None else self._cut.read_report()
            case "_digest":
                value = hashlib.sha256(encode_quote(self.quote) if self._cut is None else self._cut.raw).digest()
            case "_cut":
                value = None
            case "quote" if self._cut is not None:
                value = parse_quote(self._cut.raw)
            case "tcb" | "platform" | "collateral":
                value = getattr(self._fact, name)
            case "anchor":
                value = self._fact.known.anchor
            case "dates":
                value = self._fact.known.endorsements.dates_with(self._fact.pck)
            case "notes":
                value = verify_quote(self.quote, self.collateral, at=self.at, anchor=self.anchor).notes
            case _:
                raise AttributeError(name)
        object.__setattr__(self, name, value)
        return value


# How the frozen class is filled: by its slots.
_put_cut, _put_fact = (_Recalled.__dict__[slot].__set__ for slot in ("_cut", "_fact"))
_put_at = VerifiedQuote.__dict__["at"].__set__
