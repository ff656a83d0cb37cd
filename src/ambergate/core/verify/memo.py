"""`Verifier`: `verify_quote` with a memory of what it has proven.

Three kinds of fact, each remembered under the exact bytes that it was proven from:

- a CA's certificate, read: by its DER.
- endorsements: all that one collateral bundle proves under one root and intermediate. A new platform under known
  collateral then costs three signatures: its PCK certificate's, its QE report's, the quote's.
- a platform: that the holder of this attestation key is a quoting enclave of Intel's on a platform of this TCB. The
  next quote of the same platform costs one signature, the quote's own, and that is always checked.

Soundness: the digest that a platform is found by covers the certification data, the QE report, its signature, the
attestation key, the header's fixed fields and, for a TD, the parts of its report that the TCB status depends on; the
collateral (revocation lists among it) is part of every key, byte for byte, so that a new list is a new fact. Every
fact has its window, and holds at `at` or is not used. Whatever is not found, or does not hold, is verified from
nothing by `verify_quote`, which also words every refusal: this module can accept, it never refuses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.errors import NotGenuine
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.chain import check_pck_revocation, prove_issuers, prove_lists, prove_pck
from ambergate.core.verify.recent import Recent
from ambergate.core.verify.signatures import is_signed_raw
from ambergate.core.verify.statements import Endorsements, prove_statements
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import VerifiedQuote, Window, common_window
from ambergate.core.verify.verifier import judge, pck_dates, read_claim, read_platform, verify_quote

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.verify.verdict import Dated, TcbVerdict

MAX_PLATFORMS: Final = 100_000  # facts; each takes below 4 KiB
MAX_ENDORSEMENTS: Final = 256  # families under one CA; each takes about 100 KiB
MAX_CERTIFICATES: Final = 64  # Intel has published two roots and two intermediates

# First eight bytes of the header (version, attestation key type, TEE type) -> where the report begins and ends.
_SHAPES: Final = {
    bytes.fromhex("0300020000000000"): (48, 432),
    bytes.fromhex("0400020000000000"): (48, 432),
    bytes.fromhex("0400020081000000"): (48, 632),
    bytes.fromhex("0500020000000000"): (54, 438),
    bytes.fromhex("0500020081000000"): (54, None),  # the body's descriptor says
}


class _Parts(NamedTuple):
    """A quote cut into what is always checked and the digest of what may be remembered."""

    signed: bytes
    signature: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Known:
    """Endorsements, and the window in which all of them hold."""

    endorsements: Endorsements
    window: Window


@dataclass(frozen=True, slots=True)
class _Fact:
    """That the holder of this key is a quoting enclave of Intel's on this platform, while both windows hold."""

    attestation_key: EllipticCurvePublicKey
    tcb: TcbVerdict
    platform: PckExtension
    pck: Dated
    known: _Known

    def holds(self, at: datetime) -> bool:
        """Whether everything that the fact was proven from holds at `at`."""
        return _within(self.known.window, at) and _within(self.pck.window, at)


class Verifier:
    """Verifies quotes under one trust anchor, and remembers what it has proven. Safe to share between threads.

    Args:
        anchor: the root that vouches; Intel's when not given.
        max_platforms: how many platforms are remembered; the one used longest ago is forgotten first.
    """

    def __init__(self, *, anchor: TrustAnchor | None = None, max_platforms: int = MAX_PLATFORMS) -> None:
        self.anchor = anchor or TrustAnchor.intel()
        self._platforms: Recent[tuple[bytes, Collateral], _Fact] = Recent(max_platforms)
        self._endorsements: Recent[tuple[bytes, bytes, Collateral], _Known] = Recent(MAX_ENDORSEMENTS)
        self._certificates: Recent[bytes, Certificate] = Recent(MAX_CERTIFICATES)

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
        if at.tzinfo is None:
            msg = "`at` must say its time zone"
            raise ValueError(msg)
        raw = bytes(raw)
        parts = _cut(raw)
        if parts is not None:
            fact = self._platforms.get((parts.digest, collateral))
            if (
                fact is not None
                and fact.holds(at)
                and is_signed_raw(fact.attestation_key, parts.signature, parts.signed)
            ):
                return _Recalled.of(raw, fact, collateral, self.anchor, at)
            fact = self._prove(raw, collateral, at)
            if fact is not None:
                self._platforms.put((parts.digest, collateral), fact)
                return _Recalled.of(raw, fact, collateral, self.anchor, at)
        return verify_quote(parse_quote(raw), collateral, at=at, anchor=self.anchor)

    def get(self, der: bytes) -> Certificate | None:
        """A CA's certificate that was read before, by its DER."""
        return self.anchor.get(der) or self._certificates.get(der)

    def _prove(self, raw: bytes, collateral: Collateral, at: datetime) -> _Fact | None:
        """The steps of `verify_quote`, those that depend on the collateral alone at most once. None: one failed."""
        trail = Trail()
        try:
            claim = read_claim(trail, parse_quote(raw), self)
            prove_pck(trail, claim.pck, claim.intermediate)
            known = self._endorsed(trail, claim.root, claim.intermediate, collateral)
            check_pck_revocation(trail, claim.pck, known.endorsements.pck_crl)
            platform = read_platform(trail, claim.pck)
            pck = pck_dates(claim.pck)
            if not (_within(known.window, at) and _within(pck.window, at)):
                return None
            tcb = judge(trail, claim, platform, known.endorsements)
        except NotGenuine:
            return None
        return _Fact(claim.attestation_key, tcb, platform, pck, known)

    def _endorsed(self, trail: Trail, root: Certificate, intermediate: Certificate, collateral: Collateral) -> _Known:
        key = (root.der, intermediate.der, collateral)
        known = self._endorsements.get(key)
        if known is None:
            prove_issuers(trail, root, intermediate, self.anchor)
            lists = prove_lists(trail, root, intermediate, collateral.root_ca_crl, collateral.pck_crl)
            endorsements = prove_statements(trail, collateral, root, lists, self.anchor)
            known = _Known(endorsements, common_window(endorsements.dates))
            self._endorsements.put(key, known)
            self._certificates.put(intermediate.der, intermediate)
        return known


class _Recalled(VerifiedQuote):
    """A verdict that rests on memory. Its quote is parsed, and its steps are taken again, when somebody asks."""

    __slots__ = ("_fact", "_raw")

    _raw: bytes
    _fact: _Fact

    @classmethod
    def of(cls, raw: bytes, fact: _Fact, collateral: Collateral, anchor: TrustAnchor, at: datetime) -> VerifiedQuote:
        self = cls.__new__(cls)
        put = object.__setattr__  # the class is frozen for everybody else
        put(self, "_raw", raw)
        put(self, "at", at)
        put(self, "anchor", anchor)
        put(self, "tcb", fact.tcb)
        put(self, "platform", fact.platform)
        put(self, "collateral", collateral)
        put(self, "_fact", fact)
        return self

    def __getattr__(self, name: str) -> object:
        """`quote`, `dates` and `notes`, which are made at first use."""
        if name == "quote":
            value: object = parse_quote(self._raw)
        elif name == "dates":
            value = self._fact.known.endorsements.dates_with(self._fact.pck)
        elif name == "notes":
            value = verify_quote(self.quote, self.collateral, at=self.at, anchor=self.anchor).notes
        else:
            raise AttributeError(name)
        object.__setattr__(self, name, value)
        return value


def _within(window: Window, at: datetime) -> bool:
    return window.not_before <= at <= window.not_after


def _cut(raw: bytes) -> _Parts | None:
    """The quote cut up; None where its shape is not plain, which the parser then judges."""
    begins, ends = _SHAPES.get(raw[:8], (0, None))
    if begins == 54:
        ends = 54 + int.from_bytes(raw[50:54], "little")
    if ends is None or len(raw) > MAX_QUOTE:
        return None
    data = ends + 4
    stops = data + int.from_bytes(raw[ends:data], "little")
    if not data + 128 <= stops <= len(raw) <= stops + MAX_TRAILING:
        return None
    # What the verdict depends on besides the signature: header (but for user data and its reserved bytes), descriptor,
    # and, for a TD, SVNs, module signer and module attributes (report bytes 0-15, 64-119, 584-599).
    depends = raw[:8] + raw[12:28] + raw[48:begins]
    if raw[4] == 0x81:
        report = raw[begins:ends]
        depends += report[:16] + report[64:120] + report[584:600]
    digest = hashlib.sha256(raw[data + 64 : stops])
    digest.update(depends)
    return _Parts(raw[:ends], raw[data : data + 64], digest.digest())
