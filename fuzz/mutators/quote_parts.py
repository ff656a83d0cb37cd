"""Changes of a quote's parts, with every size put right: chain, signatures, keys, authentication data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fuzz.draft import Mutator
from fuzz.mutators.chains import mutate_chain

from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote import Quote, encode_quote, parse_quote
from ambergate.simulator.keys import P256_ORDER

if TYPE_CHECKING:
    from random import Random

    from fuzz.draft import Draft

# The prime of P-256's field: SEC 2, section 2.4.2 (secp256r1), value p.
_P256_PRIME: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def chain(rng: Random, draft: Draft) -> str | None:
    """The PCK certificate chain."""
    quote, other = _quote(draft.raw), _quote(rng.choice(draft.others).raw)
    if quote is None or other is None:
        return None
    changed = mutate_chain(rng, quote.certification.data, other.certification.data)
    if changed is None:
        return None
    name, data = changed
    draft.raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
    return name


def chain_size(rng: Random, draft: Draft) -> str | None:
    """The chain a byte or more longer or shorter, the sizes agreeing."""
    quote = _quote(draft.raw)
    if quote is None:
        return None
    data, by = quote.certification.data, rng.choice((1, 2, 3, 500))
    data = data[:-by] if rng.random() < 0.5 else data + rng.choice((bytes(by), b"\n" * by, rng.randbytes(by)))
    draft.raw = encode_quote(replace(quote, certification=replace(quote.certification, data=data)))
    return f"{len(data)} bytes"


def signature(rng: Random, draft: Draft) -> str | None:
    """One of the two signatures: its other spelling, zeros, out of range, halves exchanged, somebody else's."""
    quote, other = _quote(draft.raw), _quote(rng.choice(draft.others).raw)
    if quote is None or other is None:
        return None
    if rng.random() < 0.1:
        swapped = replace(quote, signature=quote.qe_report_signature, qe_report_signature=quote.signature)
        draft.raw = encode_quote(swapped)
        return "the two exchanged"
    if rng.random() < 0.5:
        name, value = mutate_signature(rng, quote.signature, other.signature)
        draft.raw = encode_quote(replace(quote, signature=value))
        return f"the quote's: {name}"
    name, value = mutate_signature(rng, quote.qe_report_signature, other.qe_report_signature)
    draft.raw = encode_quote(replace(quote, qe_report_signature=value))
    return f"the QE report's: {name}"


def mutate_signature(rng: Random, signature: bytes, other: bytes) -> tuple[str, bytes]:
    """What was done to `r || s`, and the signature."""
    r, s = signature[:32], signature[32:]
    order, low = P256_ORDER.to_bytes(32, "big"), int.from_bytes(s, "big") % P256_ORDER
    ways = {
        "n - s": r + (P256_ORDER - low).to_bytes(32, "big") if low else signature,
        "r = 0": bytes(32) + s,
        "s = 0": r + bytes(32),
        "zero": bytes(64),
        "ones": b"\xff" * 64,
        "r = n": order + s,
        "s = n": r + order,
        "s = 1": r + (1).to_bytes(32, "big"),
        "exchanged": s + r,
        "little-endian": r[::-1] + s[::-1],
        "another's": other,
    }
    name = rng.choice(sorted(ways))
    return name, ways[name]


def key(rng: Random, draft: Draft) -> str | None:
    """The attestation key: its mirror image, no point, nothing, somebody else's."""
    quote, other = _quote(draft.raw), _quote(rng.choice(draft.others).raw)
    if quote is None or other is None:
        return None
    x, y = quote.attestation_key[:32], quote.attestation_key[32:]
    mirrored = (_P256_PRIME - int.from_bytes(y, "big")) % _P256_PRIME
    ways = {
        "mirrored": x + mirrored.to_bytes(32, "big"),
        "exchanged": y + x,
        "zero": bytes(64),
        "ones": b"\xff" * 64,
        "x = p": _P256_PRIME.to_bytes(32, "big") + y,
        "another's": other.attestation_key,
    }
    name = rng.choice(sorted(ways))
    draft.raw = encode_quote(replace(quote, attestation_key=ways[name]))
    return name


def auth_data(rng: Random, draft: Draft) -> str | None:
    """The QE authentication data, longer, shorter, or other."""
    quote = _quote(draft.raw)
    if quote is None:
        return None
    now = quote.qe_auth_data
    value = rng.choice((b"", now[:-1], now + b"\0", rng.randbytes(32), bytes(32), b"A" * 4096, b"A" * 65535))
    draft.raw = encode_quote(replace(quote, qe_auth_data=value))
    return f"{len(value)} bytes"


def _quote(raw: bytes) -> Quote | None:
    try:
        return parse_quote(raw)
    except MalformedEvidence:
        return None


MUTATORS: Final = (
    Mutator("chain", 14, chain),
    Mutator("chain-size", 2, chain_size),
    Mutator("signature", 6, signature),
    Mutator("attestation-key", 2, key),
    Mutator("auth-data", 2, auth_data),
)
