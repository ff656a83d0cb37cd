"""`Verifier`: `verify_quote` with a memory of what it has proven.

On a platform seen before, everything but the quote's own signature is a fact already: the chain, the collateral, the
quoting enclave's binding of the attestation key, the TCB status. Each such fact is remembered under a digest of the
exact bytes that it was proven from, together with the window of time in which all of it holds. What is new in the
next quote is one signature over header and report, and that is always checked.

Soundness: the digest covers the certification data, the QE report, its signature, the attestation key, the header's
fixed fields and, for a TD, the parts of its report that the TCB status depends on; the collateral (revocation lists
among it) is part of the key, byte for byte. Whatever is not found, or does not hold, is verified from nothing by
`verify_quote`, which also words every refusal: this module can accept, it never refuses.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.signatures import is_signed_raw, point_key
from ambergate.core.verify.verdict import VerifiedQuote
from ambergate.core.verify.verifier import verify_quote

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.pck import PckExtension
    from ambergate.core.verify.verdict import Dated, TcbVerdict, Window

MAX_PLATFORMS: Final = 100_000  # facts; each takes below 4 KiB

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
class _Fact:
    """That the holder of this key is a quoting enclave of Intel's on this platform, while the window holds."""

    attestation_key: EllipticCurvePublicKey
    tcb: TcbVerdict
    platform: PckExtension
    dates: tuple[Dated, ...]
    window: Window


class Verifier:
    """Verifies quotes under one trust anchor, and remembers proven platforms. Safe to share between threads.

    Args:
        anchor: the root that vouches; Intel's when not given.
        max_platforms: how many facts are remembered; the one used longest ago is forgotten first.
    """

    def __init__(self, *, anchor: TrustAnchor | None = None, max_platforms: int = MAX_PLATFORMS) -> None:
        self.anchor = anchor or TrustAnchor.intel()
        self._max_platforms = max_platforms
        self._facts: OrderedDict[tuple[bytes, Collateral], _Fact] = OrderedDict()
        self._lock = threading.Lock()

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
        fact = None if parts is None else self._recall(parts.digest, collateral)
        if (
            parts is not None
            and fact is not None
            and fact.window.not_before <= at <= fact.window.not_after
            and is_signed_raw(fact.attestation_key, parts.signature, parts.signed)
        ):
            return _Recalled.of(raw, fact, collateral, self.anchor, at)
        verified = verify_quote(parse_quote(raw), collateral, at=at, anchor=self.anchor)
        if parts is not None:
            key = point_key(verified.quote.attestation_key)
            self._remember(
                parts.digest, collateral, _Fact(key, verified.tcb, verified.platform, verified.dates, verified.window)
            )
        return verified

    def _recall(self, digest: bytes, collateral: Collateral) -> _Fact | None:
        key = (digest, collateral)
        with self._lock:
            fact = self._facts.get(key)
            if fact is not None:
                self._facts.move_to_end(key)
            return fact

    def _remember(self, digest: bytes, collateral: Collateral, fact: _Fact) -> None:
        with self._lock:
            self._facts[digest, collateral] = fact
            while len(self._facts) > self._max_platforms:
                self._facts.popitem(last=False)


class _Recalled(VerifiedQuote):
    """A verdict from memory. Its quote is parsed, and its checks are made again, when somebody asks for them."""

    __slots__ = ("_raw",)

    _raw: bytes

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
        put(self, "dates", fact.dates)
        return self

    def __getattr__(self, name: str) -> object:
        """`quote` and `checks`, which are made at first use."""
        if name == "quote":
            value: object = parse_quote(self._raw)
        elif name == "checks":
            value = verify_quote(self.quote, self.collateral, at=self.at, anchor=self.anchor).checks
        else:
            raise AttributeError(name)
        object.__setattr__(self, name, value)
        return value


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
