"""Changes of a quote's bytes that know at most where its fields are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz.draft import Mutator
from fuzz.layout import fields_of

from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING

if TYPE_CHECKING:
    from random import Random

    from fuzz.draft import Draft

# What the small enumerations may hold, right or wrong.
_NUMBERS: Final = {
    "header.version": (0, 1, 2, 3, 4, 5, 6, 0xFFFF),
    "header.key_type": (0, 1, 2, 3, 0xFFFF),
    "header.tee": (0, 1, 0x80, 0x81, 0x82, 0x8100, 0xFFFFFFFF),
    "body.type": (0, 1, 2, 3, 4, 0xFFFF),
    "outer.type": (0, 1, 2, 3, 4, 5, 6, 7, 0xFFFF),
    "certification.type": (0, 1, 2, 3, 4, 5, 6, 7, 0xFFFF),
}
_SIZES: Final = ("body.size", "signature_data.size", "outer.size", "auth.size", "certification.size")


def flip_bit(rng: Random, draft: Draft) -> str | None:
    """One bit, anywhere."""
    if not draft.raw:
        return None
    place = rng.randrange(len(draft.raw))
    draft.raw = _put(draft.raw, place, bytes((draft.raw[place] ^ 1 << rng.randrange(8),)))
    return f"byte {place}"


def damage(rng: Random, draft: Draft) -> str | None:
    """Some bytes overwritten, put in, or taken out."""
    place, size = rng.randrange(len(draft.raw) + 1), rng.randrange(1, 20)
    extra = rng.choice((rng.randbytes(size), bytes(size), b"\xff" * size))
    way = rng.choice(("overwritten", "put in", "taken out"))
    keep = place if way == "put in" else place + size
    draft.raw = draft.raw[:place] + (b"" if way == "taken out" else extra) + draft.raw[keep:]
    return f"{size} bytes {way} at {place}"


def cut(rng: Random, draft: Draft) -> str | None:
    """The quote ends early, at a field's edge or anywhere."""
    fields = list(fields_of(draft.raw).values())
    edge = rng.choice(fields).start if fields and rng.random() < 0.5 else rng.randrange(len(draft.raw) + 1)
    draft.raw = draft.raw[:edge]
    return f"to {edge} bytes"


def append(rng: Random, draft: Draft) -> str | None:
    """Bytes behind the quote: a few, up to the bound, one more, far beyond."""
    size = rng.choice((1, 16, rng.randrange(2000), MAX_TRAILING, MAX_TRAILING + 1, MAX_QUOTE))
    kind = rng.choice(("zeros", "noise", "itself"))
    extra = {"zeros": bytes(size), "noise": rng.randbytes(size), "itself": draft.raw}[kind]
    draft.raw += extra
    return f"{len(extra)} bytes of {kind}"


def number(rng: Random, draft: Draft) -> str | None:
    """Another value in one of the enumerations."""
    fields = fields_of(draft.raw)
    present = [name for name in _NUMBERS if name in fields]
    if not present:
        return None
    name = rng.choice(present)
    place, value = fields[name], rng.choice(_NUMBERS[name])
    draft.raw = _put(draft.raw, place.start, value.to_bytes(len(place), "little"))
    return f"{name} = {value}"


def size(rng: Random, draft: Draft) -> str | None:
    """Another value in one of the sizes, with or without the bytes to fill it."""
    fields = fields_of(draft.raw)
    present = [name for name in _SIZES if name in fields]
    if not present:
        return None
    name = rng.choice(present)
    place = fields[name]
    limit = 1 << 8 * len(place)
    now = int.from_bytes(draft.raw[place.start : place.stop], "little")
    value = rng.choice((now + 1, now - 1, now + 8, now + 100, now // 2, 0, 1, limit // 2, limit - 1, now + 0x10000))
    draft.raw = _put(draft.raw, place.start, (value % limit).to_bytes(len(place), "little"))
    filled = now < value < now + 200 and rng.random() < 0.5
    draft.raw += bytes(value - now) if filled else b""
    return f"{name} {now} -> {value % limit}{', filled' if filled else ''}"


def field(rng: Random, draft: Draft) -> str | None:
    """One field: zeros, ones, noise, one off, or what another quote has there."""
    fields = {name: place for name, place in fields_of(draft.raw).items() if len(place)}
    if not fields:
        return None
    name = rng.choice(sorted(fields))
    place = fields[name]
    now, width = draft.raw[place.start : place.stop], len(place)
    other = rng.choice(draft.others).raw
    theirs = fields_of(other).get(name, range(0))
    one_up = (int.from_bytes(now, "little") + 1) % (1 << 8 * width)
    value = rng.choice(
        (
            bytes(width),
            b"\xff" * width,
            rng.randbytes(width),
            one_up.to_bytes(width, "little"),
            other[theirs.start : theirs.stop] or now[::-1],
        )
    )
    draft.raw = draft.raw[: place.start] + value + draft.raw[place.stop :]
    return name


def splice(rng: Random, draft: Draft) -> str | None:
    """The head of one quote, the tail of another, cut at the same field."""
    other = rng.choice(draft.others)
    ours, theirs = fields_of(draft.raw), fields_of(other.raw)
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None
    name = rng.choice(shared)
    draft.raw = draft.raw[: ours[name].start] + other.raw[theirs[name].start :]
    return f"{other.name} from {name} on"


def _put(raw: bytes, place: int, octets: bytes) -> bytes:
    return raw[:place] + octets + raw[place + len(octets) :]


MUTATORS: Final = (
    Mutator("quote-bit", 8, flip_bit),
    Mutator("quote-damage", 4, damage),
    Mutator("quote-cut", 2, cut),
    Mutator("quote-append", 3, append),
    Mutator("quote-number", 5, number),
    Mutator("quote-size", 5, size),
    Mutator("quote-field", 6, field),
    Mutator("quote-splice", 3, splice),
)
