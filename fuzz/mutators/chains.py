"""Changes of a certificate chain in PEM: order, number, spelling, and the DER inside."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Change = Callable[[Random, bytes, bytes], bytes | None]

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s*(.*?)\s*-----END CERTIFICATE-----[\r\n]*", re.DOTALL)
_ANY_BLOCK: Final = re.compile(rb"-----BEGIN[^-]*-----(.*?)-----END[^-]*-----", re.DOTALL)
_TEXTS: Final = (b"garbage\n", b"# comment\n", b"\n\n", b"\r\n", b" ", b"\t", b"\0", b"\xff\xfe", b"-----", b"=")


def mutate_chain(rng: Random, text: bytes, other: bytes) -> tuple[str, bytes] | None:
    """What was done to the chain, and the chain. `other` is a chain to take certificates from."""
    name = rng.choice(sorted(_CHANGES))
    changed = _CHANGES[name](rng, text, other)
    return None if changed is None else (name, changed)


def blocks_of(text: bytes) -> list[bytes]:
    """The whole PEM blocks, each with the line breaks behind it."""
    return [match.group(0) for match in _BLOCK.finditer(text)]


def ders_of(text: bytes) -> list[bytes]:
    """What the whole PEM blocks hold, whatever their label, headers and white space; without what is not base64."""
    ders = []
    for match in _ANY_BLOCK.finditer(text):
        body = re.sub(rb"^.*:.*$", b"", match.group(1), flags=re.MULTILINE)
        try:
            ders.append(base64.b64decode(b"".join(body.split()), validate=True))
        except ValueError:
            continue
    return ders


def armour(der: bytes, *, width: int = 64, newline: bytes = b"\n") -> bytes:
    """DER as one PEM block."""
    body = base64.b64encode(der)
    lines = [body[start : start + width] for start in range(0, len(body), width)]
    return newline.join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def _shuffled(rng: Random, text: bytes, _: bytes) -> bytes | None:
    blocks = blocks_of(text)
    rng.shuffle(blocks)
    return b"".join(blocks)


def _without_one(rng: Random, text: bytes, _: bytes) -> bytes | None:
    blocks = blocks_of(text)
    if blocks:
        del blocks[rng.randrange(len(blocks))]
    return b"".join(blocks)


def _one_twice(rng: Random, text: bytes, _: bytes) -> bytes | None:
    blocks = blocks_of(text)
    if not blocks:
        return None
    blocks.insert(rng.randrange(len(blocks) + 1), rng.choice(blocks))
    return b"".join(blocks)


def _many_times(rng: Random, text: bytes, _: bytes) -> bytes | None:
    blocks = blocks_of(text)
    return b"".join([blocks[0]] * rng.choice((5, 9, 30)) + blocks) if blocks else None


def _with_strangers(rng: Random, text: bytes, other: bytes) -> bytes | None:
    """A certificate of another chain beside ours."""
    blocks, strangers = blocks_of(text), blocks_of(other)
    if not strangers:
        return None
    blocks.insert(rng.randrange(len(blocks) + 1), rng.choice(strangers))
    return b"".join(blocks)


def _exchanged(rng: Random, text: bytes, other: bytes) -> bytes | None:
    """A certificate of another chain in the place of ours."""
    blocks, strangers = blocks_of(text), blocks_of(other)
    if not blocks or not strangers:
        return None
    place = rng.randrange(len(blocks))
    blocks[place] = strangers[min(place, len(strangers) - 1)]
    return b"".join(blocks)


def _text_around(rng: Random, text: bytes, _: bytes) -> bytes | None:
    pieces = blocks_of(text)
    pieces.insert(rng.randrange(len(pieces) + 1), rng.choice(_TEXTS))
    return b"".join(pieces)


def _spacing(rng: Random, text: bytes, _: bytes) -> bytes | None:
    """Other white space where lines break."""
    way = rng.choice((b"\r\n", b"\r", b"\n\n", b"\n ", b" \n", b"\t\n", b"\v", b"\f", b"", b" "))
    blocks = blocks_of(text)
    if not blocks:
        return None
    place = rng.randrange(len(blocks))
    if rng.random() < 0.5:
        blocks = [block.replace(b"\n", way) for block in blocks]
    else:
        at = rng.randrange(len(blocks[place]))
        blocks[place] = blocks[place][:at] + way + blocks[place][at:]
    return b"".join(blocks)


def _lines(rng: Random, text: bytes, _: bytes) -> bytes | None:
    """Lines of another length."""
    return _with_der(rng, text, lambda der: armour(der, width=rng.choice((1, 60, 65, 76, 5000))))


def _marker(rng: Random, text: bytes, _: bytes) -> bytes | None:
    """Another marker: case, dashes, label, headers."""
    old, new = rng.choice(
        (
            (b"BEGIN CERTIFICATE", b"begin certificate"),
            (b"CERTIFICATE-----", b"X509 CERTIFICATE-----"),
            (b"CERTIFICATE-----", b"TRUSTED CERTIFICATE-----"),
            (b"-----BEGIN", b"------BEGIN"),
            (b"-----BEGIN", b"----BEGIN"),
            (b"-----END CERTIFICATE-----", b"-----END CERTIFICATE----"),
            (b"-----END CERTIFICATE-----", b""),
            (b"-----BEGIN CERTIFICATE-----", b""),
            (b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\nProc-Type: 4\n\n"),
            (b"BEGIN CERTIFICATE", b"BEGIN  CERTIFICATE"),
            (b"-----BEGIN CERTIFICATE-----", b" -----BEGIN CERTIFICATE-----"),
        )
    )
    return text.replace(old, new, 1 if rng.random() < 0.5 else -1)


def _base64(rng: Random, text: bytes, _: bytes) -> bytes | None:
    """Another character, padding, or spelling of the base64."""
    blocks = blocks_of(text)
    if not blocks:
        return None
    place = rng.randrange(len(blocks))
    block = blocks[place]
    at = rng.randrange(28, max(29, len(block) - 27))
    spare = block.replace(b"A=", b"B=").replace(b"Q=", b"R=").replace(b"g=", b"h=").replace(b"w=", b"x=")
    piece = bytes((rng.choice(b"AZaz09+/-_=*\x80"),))
    blocks[place] = rng.choice(
        (
            block[:at] + piece + block[at + 1 :],
            block[:at] + piece + block[at:],
            block.replace(b"=", b""),
            block.replace(b"\n-----END", b"=\n-----END"),
            block.replace(b"+", b"-").replace(b"/", b"_"),
            spare,
        )
    )
    return b"".join(blocks)


def _der(rng: Random, text: bytes, _: bytes) -> bytes | None:
    """A byte of the DER: length octets, tags, contents; or bytes behind it, or an end that comes early."""
    return _with_der(rng, text, lambda der: mutate_der(rng, der))


def mutate_der(rng: Random, der: bytes) -> bytes:
    """DER with one thing changed."""
    way = rng.randrange(6)
    heads = [place for place in range(len(der) - 1) if der[place] in (0x30, 0x31, 0x03, 0x02, 0x04, 0x06, 0xA3)]
    place = rng.choice(heads) if heads else 0
    changes = (
        lambda: _flipped(rng, der, rng.randrange(len(der))),
        lambda: _flipped(rng, der, place),
        lambda: der[: place + 1] + bytes((rng.choice((0, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF)),)) + der[place + 2 :],
        lambda: der[: place + 1] + b"\x81" + der[place + 1 :],  # a length that is not minimal
        lambda: der + rng.choice((b"\0", b"\n", der[:5])),
        lambda: der[: rng.randrange(len(der))],
    )
    return changes[way]()


def _flipped(rng: Random, data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1 << rng.randrange(8),)) + data[place + 1 :]


def _with_der(rng: Random, text: bytes, change: Callable[[bytes], bytes]) -> bytes | None:
    blocks = blocks_of(text)
    if not blocks:
        return None
    place = rng.randrange(len(blocks))
    ders = ders_of(blocks[place])
    if not ders or not ders[0]:
        return None
    changed = change(ders[0])
    blocks[place] = changed if changed.startswith(b"-----") else armour(changed)
    return b"".join(blocks)


_CHANGES: Final[dict[str, Change]] = {
    "shuffled": _shuffled,
    "one missing": _without_one,
    "one twice": _one_twice,
    "one many times": _many_times,
    "a stranger": _with_strangers,
    "one exchanged": _exchanged,
    "another chain": lambda _rng, _text, other: other,
    "empty": lambda _rng, _text, _other: b"",
    "text around": _text_around,
    "spacing": _spacing,
    "line length": _lines,
    "marker": _marker,
    "base64": _base64,
    "DER": _der,
    "DER, again": _der,
}
