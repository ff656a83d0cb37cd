"""Changes of a JSON text that keep everything else as it was spelled: space, order, duplicates, numbers, strings.

A text is taken apart into `Members` (an object, its members in order), lists, and scalars; `Raw` is a piece of text
that is written as it stands, so that what no JSON writer would write can be written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random


@dataclass(slots=True)
class Members:
    """A JSON object: members in order, names may repeat."""

    pairs: list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Raw:
    """Text that is written as it stands."""

    text: str


_NUMBERS: Final = (
    "0", "-0", "-1", "1", "2", "3", "255", "256", "65535", "65536", "4294967295", "4294967296", "17.0", "1.7e1", "17e0",
    "1e999", "-1e999", "017", "+17", "0x11", "17.", ".5", "NaN", "Infinity", "-Infinity", "9" * 30, "9" * 5000,
    '"17"', "true", "false", "null", "[]", "{}", '""', "[17]",
)  # fmt: skip
_STRINGS: Final = (
    "", "UpToDate", "uptodate", "OutOfDate", "Revoked", "TDRelaunchAdvised", "SGX", "TDX", "QE", "TD_QE", "QVE", "QAE",
    "2024-02-30T00:00:00Z", "2024-02-29T23:59:60Z", "2024-02-29T24:00:00Z", "2024-01-01T00:00:00+00:00",
    "2024-01-01T00:00:00z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01", "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "00", "zz", "0" * 12, "F" * 12, "TDX_01", "tdx_01", "TDX_1",
)  # fmt: skip
_ESCAPES: Final = (
    "\\ud800",
    "\\udc00\\ud800",
    "\\u0000",
    "\\u0041",
    "\\/",
    "\\x41",
    "\x01",
    "\x7f",
    "é",
    "\u2028",
    "\\uD83D\\uDE00",
)
_ENDS: Final = (" ", "\n", "\t", "\r\n", "\ufeff", "\0", ",", "}", "//", "/**/", "\u00a0", "x", "null")


def mutate_json(rng: Random, text: str) -> tuple[str, str] | None:
    """What was done to the text, and the text. None: it is not JSON to begin with, or too deep."""
    name = rng.choice(sorted(_TREE_CHANGES))
    try:
        tree = json.loads(text, object_pairs_hook=Members)
        told = _TREE_CHANGES[name](rng, tree)
        return None if told is None else (f"{name} {told}".strip(), write(tree))
    except (ValueError, RecursionError):
        return None


def mutate_spelling(rng: Random, text: str) -> tuple[str, str]:
    """The same, of the text as a whole: nothing of what it says is changed, or the text is no JSON."""
    name = rng.choice(sorted(_TEXT_CHANGES))
    return name, _TEXT_CHANGES[name](rng, text)


def write(value: object) -> str:
    """The tree as text, without white space."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Members):
        return "{" + ",".join(f"{_name(name)}:{write(each)}" for name, each in value.pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _name(name: str) -> str:
    """A name as a string; one that starts with a quotation mark is spelled already."""
    return name if name.startswith('"') else json.dumps(name, ensure_ascii=False)


def _objects(value: object) -> Iterator[Members]:
    if isinstance(value, Members):
        yield value
        for _, each in value.pairs:
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _spot(rng: Random, tree: object, kind: type | tuple[type, ...] = object) -> tuple[Members, int] | None:
    """An object with members of a kind, and the place of one of them. The outermost objects are likelier."""
    found = [
        (each, place)
        for each in _objects(tree)
        for place, (_, value) in enumerate(each.pairs)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    ]
    if not found:
        return None
    return rng.choice(found[:12]) if rng.random() < 0.5 else rng.choice(found)


def _set(rng: Random, tree: object, kind: type, values: Callable[[], object]) -> str | None:
    spot = _spot(rng, tree, kind)
    if spot is None:
        return None
    members, place = spot
    name, _ = members.pairs[place]
    members.pairs[place] = (name, values())
    return name


def _order(rng: Random, tree: object) -> str | None:
    members = rng.choice(list(_objects(tree)) or [Members([])])
    rng.shuffle(members.pairs)
    return ""


def _twice(rng: Random, tree: object) -> str | None:
    """A member twice: the same again, or with another value, before or behind."""
    spot = _spot(rng, tree)
    if spot is None:
        return None
    members, place = spot
    name, value = members.pairs[place]
    again = value if rng.random() < 0.5 else Raw(rng.choice(_NUMBERS))
    members.pairs.insert(rng.choice((place, place + 1, 0, len(members.pairs))), (name, again))
    return name


def _without(rng: Random, tree: object) -> str | None:
    spot = _spot(rng, tree)
    if spot is None:
        return None
    members, place = spot
    return members.pairs.pop(place)[0]


def _with_another(rng: Random, tree: object) -> str | None:
    """A member that nobody asked for, whose value is of any kind, or deep."""
    depth = rng.choice((1, 100, 200, 900, 5000))
    value = rng.choice(
        (
            Raw(rng.choice(_NUMBERS)),
            Raw("[" * depth + "]" * depth),
            Raw('{"a":' * depth + "1" + "}" * depth),
            Raw('"' + rng.choice(_ESCAPES) + '"'),
            "x" * rng.choice((1, 70000)),
        )
    )
    members = rng.choice(list(_objects(tree)) or [Members([])])
    members.pairs.insert(rng.randrange(len(members.pairs) + 1), ("unasked", value))
    return value.text[:12] if isinstance(value, Raw) else "long text"


def _name_of_a_member(rng: Random, tree: object) -> str | None:
    spot = _spot(rng, tree)
    if spot is None:
        return None
    members, place = spot
    name, value = members.pairs[place]
    spelled = '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
    members.pairs[place] = (rng.choice((spelled, name.upper(), name + " ", name[:-1])), value)
    return name


def _number(rng: Random, tree: object) -> str | None:
    value = rng.choice(_NUMBERS)
    name = _set(rng, tree, int, lambda: Raw(value))
    return None if name is None else f"{name} = {value[:12]}"


def _number_near(rng: Random, tree: object) -> str | None:
    spot = _spot(rng, tree, int)
    if spot is None:
        return None
    members, place = spot
    name, value = members.pairs[place]
    assert isinstance(value, int)
    members.pairs[place] = (name, value + rng.choice((-1, 1, 256, 65536)))
    return f"{name} = {members.pairs[place][1]}"


def _string(rng: Random, tree: object) -> str | None:
    value = rng.choice(_STRINGS)
    name = _set(rng, tree, str, lambda: value)
    return None if name is None else f"{name} = {value[:24]}"


def _string_spelled(rng: Random, tree: object) -> str | None:
    """The same string with its first letter escaped, or with something in it that is not what it was."""
    spot = _spot(rng, tree, str)
    if spot is None:
        return None
    members, place = spot
    name, value = members.pairs[place]
    assert isinstance(value, str)
    escaped = "".join(f"\\u{ord(letter):04X}" for letter in value[:3]) + value[3:]
    spelled = rng.choice(
        (escaped, value + rng.choice(_ESCAPES), value.lower(), value.upper(), value + " ", f" {value}")
    )
    members.pairs[place] = (name, Raw(f'"{spelled}"'))
    return name


def _type(rng: Random, tree: object) -> str | None:
    value = rng.choice(("null", "[]", "{}", '""', "0", "[{}]", "[[]]", "[null]"))
    name = _set(rng, tree, object, lambda: Raw(value))
    return None if name is None else f"{name} = {value}"


def _array(rng: Random, tree: object) -> str | None:
    """An array reversed, shuffled, shorter, longer, with an element twice."""
    spot = _spot(rng, tree, list)
    if spot is None:
        return None
    members, place = spot
    name, value = members.pairs[place]
    assert isinstance(value, list)
    ways = {
        "reversed": value[::-1],
        "shuffled": rng.sample(value, len(value)),
        "shorter": value[:-1],
        "without its first": value[1:],
        "first twice": value[:1] + value,
        "last twice": value + value[-1:],
        "longer": [*value, Raw("{}")],
        "long": value * 40,
        "empty": [],
    }
    way = rng.choice(sorted(ways))
    members.pairs[place] = (name, ways[way])
    return f"{name} {way}"


_TREE_CHANGES: Final[dict[str, Callable[[Random, object], str | None]]] = {
    "order": _order,
    "twice": _twice,
    "without": _without,
    "unasked": _with_another,
    "name": _name_of_a_member,
    "number": _number,
    "number, again": _number,
    "near": _number_near,
    "string": _string,
    "string, again": _string,
    "spelled": _string_spelled,
    "type": _type,
    "array": _array,
    "array, again": _array,
}


def _spaced(rng: Random, text: str) -> str:
    space = rng.choice((" ", "\n", "\t", "\r", " \n\t"))
    return text.replace(",", f",{space}").replace(":{", f":{space}{{")


def _somewhere(rng: Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(_ENDS) + text[place + rng.randrange(2) :]


_TEXT_CHANGES: Final[dict[str, Callable[[Random, str], str]]] = {
    "spaced": _spaced,
    "space around": lambda rng, text: rng.choice(_ENDS[:4]) + text + rng.choice(_ENDS[:4]),
    "something before": lambda rng, text: rng.choice(_ENDS) + text,
    "something behind": lambda rng, text: text + rng.choice(_ENDS),
    "something inside": _somewhere,
    "cut": lambda rng, text: text[: rng.randrange(len(text) + 1)],
    "one trailing comma": lambda _rng, text: text[:-1] + "," + text[-1:],
    "other quotation marks": lambda _rng, text: text.replace('"', "'"),
    "nothing": lambda _rng, _text: "",
    "an array of it": lambda _rng, text: f"[{text}]",
}
