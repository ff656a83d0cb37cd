"""Every single bit of a quote, flipped: what may still be accepted is listed here, and nothing else is.

Header and body are signed by the attestation key; that key and the authentication data are named by the QE report;
the QE report is signed by the PCK; the certificates are signed up to the root. Signatures, sizes and types leave no
single bit open either. What remains is how the chain is spelled, two bits of DER that no signature covers, and
padding. A flip that is accepted and not listed fails, and so does a listed one that is refused.
"""

from __future__ import annotations

import binascii
import re
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Final

from fuzz.judges import ours, quietly
from fuzz.layout import fields_of
from fuzz.platforms import plain_specimens
from fuzz.specimens import genuine_specimens
from fuzz.triple import Triple

from ambergate.core.collateral import der

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fuzz.specimens import Specimen

PADDING: Final = 16  # bytes put behind each quote, so that padding is flipped too
CHUNK: Final = 800  # flips that one process does at a time
_SPACE: Final = b" \t\n\r\v\f"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class Allowance:
    """A kind of bit whose flip is accepted, and why that is harmless."""

    name: str
    reason: str
    bits: Callable[[bytes], Iterator[int]]  # of a whole quote: which; bit n is bit n % 8 of byte n // 8


@dataclass(slots=True)
class Flips:
    """What came of flipping bits of one quote."""

    origin: str
    flipped: int = 0
    accepted: dict[str, int] = field(default_factory=dict)  # by allowance
    unlisted: list[int] = field(default_factory=list)  # accepted, and on no list
    refused: list[int] = field(default_factory=list)  # on a list, and refused
    stray: list[tuple[int, str]] = field(default_factory=list)  # refused by an error that is not ours

    def merge(self, other: Flips) -> None:
        """Add what came of other bits of the same quote."""
        self.flipped += other.flipped
        for name, count in other.accepted.items():
            self.accepted[name] = self.accepted.get(name, 0) + count
        self.unlisted += other.unlisted
        self.refused += other.refused
        self.stray += other.stray

    @property
    def clean(self) -> bool:
        """Whether exactly the listed flips were accepted."""
        return not (self.unlisted or self.refused or self.stray)


def flip_triples() -> tuple[Triple, Triple]:
    """A quote of an enclave and one of a TD: genuine ones where there are any, simulated ones otherwise."""
    simulated = plain_specimens(Random("flips"))
    return tuple(_padded(_first(kind) or each) for kind, each in zip(("sgx3", "tdx4"), simulated, strict=True))  # type: ignore[return-value]


def flipped(triple: Triple, bit: int) -> Triple:
    """The case with one bit of the quote flipped."""
    raw = bytearray(triple.raw)
    raw[bit // 8] ^= 1 << bit % 8
    return replace(triple, raw=bytes(raw))


def listed_bits(raw: bytes) -> dict[int, str]:
    """The bits of this quote whose flips are accepted -> the allowance's name."""
    return {bit: allowance.name for allowance in ALLOWANCES for bit in allowance.bits(raw)}


def flip_some(triple: Triple, bits: Iterable[int]) -> Flips:
    """Flip these bits, one at a time, and compare with the list."""
    listed = listed_bits(triple.raw)
    result = Flips(triple.origin)
    with quietly():
        for bit in bits:
            outcome = ours(flipped(triple, bit))
            result.flipped += 1
            if outcome.stray:
                result.stray.append((bit, outcome.why))
            if outcome.accepted and bit in listed:
                result.accepted[listed[bit]] = result.accepted.get(listed[bit], 0) + 1
            elif outcome.accepted:
                result.unlisted.append(bit)
            elif bit in listed:
                result.refused.append(bit)
    return result


def flip_all(triple: Triple, *, workers: int | None = None) -> Iterator[Flips]:
    """Flip every bit, in processes; results come in piece by piece."""
    end = 8 * len(triple.raw)
    with ProcessPoolExecutor(max_workers=workers) as pool:
        pieces = [range(start, min(end, start + CHUNK)) for start in range(0, end, CHUNK)]
        for future in as_completed([pool.submit(flip_some, triple, piece) for piece in pieces]):
            yield future.result()


def _first(prefix: str) -> Specimen | None:
    """The first genuine vector of a kind that is accepted as it is."""
    found = (each for each in genuine_specimens() if each.name.startswith(prefix))
    return next((each for each in found if ours(_padded(each)).accepted), None)


def _padded(specimen: Specimen) -> Triple:
    return Triple(
        raw=specimen.raw + bytes(PADDING),
        bundle=specimen.collateral.to_json(),
        at=specimen.at,
        root_der=specimen.root_der,
        origin=specimen.name,
        mutations=(),
    )


# --- Which bits --------------------------------------------------------------------------------------------------


def _padding(raw: bytes) -> Iterator[int]:
    for place in fields_of(raw)["trailing"]:
        yield from range(8 * place, 8 * place + 8)


def _around_blocks(raw: bytes) -> Iterator[int]:
    chain = fields_of(raw)["certification"]
    inside = {place for match in _blocks(raw) for place in range(match.start(), match.end())}
    for place in chain:
        if place - chain.start not in inside:
            yield from range(8 * place, 8 * place + 8)


def _line_breaks(raw: bytes) -> Iterator[int]:
    """White space that stays white space."""
    return _in_bodies(raw, lambda old, new, _: old in _SPACE and new in _SPACE)


def _spare_bits(raw: bytes) -> Iterator[int]:
    """The last character before the base64 padding holds two or four bits that are part of no octet."""

    def spare(old: int, new: int, behind: bytes) -> bool:
        fill = behind[:2].count(b"=")
        known = old in _BASE64 and new in _BASE64 and behind.startswith(b"=")
        return known and _BASE64.index(old) >> 2 * fill == _BASE64.index(new) >> 2 * fill

    return _in_bodies(raw, spare)


def _in_bodies(raw: bytes, accepted: Callable[[int, int, bytes], bool]) -> Iterator[int]:
    start = fields_of(raw)["certification"].start
    for match in _blocks(raw):
        for place in range(start + match.start(1), start + match.end(1)):
            for bit in range(8):
                if accepted(raw[place], raw[place] ^ 1 << bit, raw[place + 1 : place + 3]):
                    yield 8 * place + bit


def _unused_bits(raw: bytes) -> Iterator[int]:
    """Flips of base64 that change one thing: how many bits of the signature's BIT STRING are said to be unused.

    DER lets that be as many as there are zeros at the end of the last octet.
    """
    start = fields_of(raw)["certification"].start
    for match in _blocks(raw):
        body = match.group(1)
        data = binascii.a2b_base64(body)
        octet = _signature_octet(data)
        for place, bit in ((place, bit) for place in range(len(body)) for bit in range(8)):
            if body[place] in _BASE64 and body[place] ^ 1 << bit in _BASE64:
                changed = binascii.a2b_base64(body[:place] + bytes((body[place] ^ 1 << bit,)) + body[place + 1 :])
                unused = changed[octet]
                same = changed[:octet] + b"\0" + changed[octet + 1 :] == data
                if same and 0 < unused < 8 and not data[-1] & ((1 << unused) - 1):
                    yield 8 * (start + match.start(1) + place) + bit


def _signature_octet(data: bytes) -> int:
    """Where a certificate's signature says how many bits are unused: third element of the whole (RFC 5280, 4.1)."""
    begin, end = der.whole(data, der.SEQUENCE, "a certificate")
    *_, (_, _, content, _) = der.children(data, begin, end)
    return content


def _blocks(raw: bytes) -> list[re.Match[bytes]]:
    chain = fields_of(raw)["certification"]
    return list(_BLOCK.finditer(raw[chain.start : chain.stop]))


ALLOWANCES: Final = (
    Allowance(
        "padding", "bytes behind the signature data are the container's; nothing reads them (ADR 0009)", _padding
    ),
    Allowance(
        "around-pem-blocks",
        "text before, between and behind PEM blocks is tolerated, as in Intel's library, unless it holds a marker",
        _around_blocks,
    ),
    Allowance(
        "pem-line-breaks",
        "white space within base64 is whatever white space it is: a line feed and a vertical tab are one bit apart",
        _line_breaks,
    ),
    Allowance(
        "base64-spare-bits",
        "bits of the last character before the padding belong to no octet: the certificate's bytes are the same",
        _spare_bits,
    ),
    Allowance(
        "signature-unused-bits",
        "a certificate's signature is a BIT STRING that says how many bits at its end are unused; no signature covers "
        "that octet, and the signature that is verified is the same",
        _unused_bits,
    ),
)
