"""Reading YAML strictly: the part of it that means the same to everybody, and nothing else.

    TypedEngine(yaml=yaml_reader())

Taken: one document of mappings, sequences, texts, whole numbers in decimal, `true` and `false`, and instants in quotes.
Refused: anchors and aliases (so no bombs, and no merge keys), tags, a key twice, several documents, more than eight
levels. `yes`, `no`, `on`, `0x10`, `1_000`, `1.5`, `~` and dates are texts, as they look: readers that want another type
refuse them by name.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.appraise.named import text_bytes
from ambergate.core.errors import MalformedPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DEPTH: Final = 8
MAX_EVENTS: Final = 8_000  # of 20,480 bytes
_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}


def yaml_reader() -> Callable[[str], object] | None:
    """`read_yaml`, where pyyaml is installed."""
    return read_yaml if find_spec("yaml") is not None else None


def read_yaml(text: str) -> object:
    """The one document in the text.

    Raises:
        MalformedPolicy: it is no YAML, or more of YAML than is taken.
    """
    import yaml  # noqa: PLC0415  an extra; the bare install has none

    text_bytes(text)
    try:
        events = _admitted(yaml.parse(text, Loader=yaml.SafeLoader))
        return _document(events)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        problem = getattr(exc, "problem", None) or str(exc)
        raise MalformedPolicy(f"{where}the policy is not YAML", seen=problem[:200]) from exc
    except (ValueError, RecursionError) as exc:  # characters that YAML has not, and what the parser does not foresee
        raise MalformedPolicy("the policy is not YAML", seen=str(exc)[:200]) from exc


def _admitted(events: Iterator[Any]) -> Iterator[Any]:
    """The events, as long as all of them are of the part of YAML that is taken."""
    depth = documents = 0
    for count, event in enumerate(events):
        kind = type(event).__name__
        line = event.start_mark.line + 1
        if count > MAX_EVENTS:
            raise _refused(line, "too many values", f"at most {MAX_EVENTS}")
        if kind == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise _refused(line, "an anchor or alias", "each value where it belongs")
        if getattr(event, "tag", None) is not None:
            raise _refused(line, f"the tag {event.tag}"[:80], "no tags")
        depth += kind.endswith(("MappingStartEvent", "SequenceStartEvent"))
        depth -= kind.endswith(("MappingEndEvent", "SequenceEndEvent"))
        if depth > MAX_DEPTH:
            raise _refused(line, "levels beyond levels", f"at most {MAX_DEPTH}")
        documents += kind == "DocumentStartEvent"
        if documents > 1:
            raise _refused(line, "a second document", "one")
        if not kind.startswith(("Stream", "Document")):
            yield event


def _document(events: Iterator[Any]) -> object:
    first = next(events, None)
    if first is None:
        raise MalformedPolicy("the policy is empty")
    value = _value(first, events)
    for _ in events:  # the rest of the stream is looked at as well
        pass
    return value


def _value(event: Any, events: Iterator[Any]) -> object:  # noqa: ANN401  pyyaml's events have no common type
    kind = type(event).__name__
    if kind == "ScalarEvent":
        return _scalar(event)
    if kind == "SequenceStartEvent":
        found = []
        while type(following := next(events)).__name__ != "SequenceEndEvent":
            found.append(_value(following, events))
        return found
    members: dict[str, object] = {}
    while type(following := next(events)).__name__ != "MappingEndEvent":
        if type(following).__name__ != "ScalarEvent":
            raise _refused(following.start_mark.line + 1, "a key that is no text", "a name")
        if following.value in members:
            raise _refused(following.start_mark.line + 1, f"{following.value[:64]!r} twice", "each name once")
        members[following.value] = _value(next(events), events)
    return members


def _scalar(event: Any) -> object:  # noqa: ANN401  the same
    text = str(event.value)
    if event.style is not None:  # in quotes, or a block
        return text
    if _NUMBER.fullmatch(text):
        return int(text)
    return _TRUTH.get(text, text)


def _refused(line: int, seen: str, wanted: str) -> MalformedPolicy:
    return MalformedPolicy(f"line {line}: not all of YAML is taken", seen=seen, wanted=wanted)
