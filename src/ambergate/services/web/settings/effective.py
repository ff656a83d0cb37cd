"""The settings in force, and where each is from. Secrets are not told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ambergate.services.web.settings.secret import REDACTED, SecretText
from ambergate.services.web.settings.shape import dotted, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

    from ambergate.services.web.settings.reading import Settings
    from ambergate.services.web.settings.shape import Setting
    from ambergate.services.web.settings.sources import Gathered

DEFAULT: Final = "default"
# No URL may hold a password. One that does all the same is not told.
_PASSWORD: Final = re.compile(r"(://[^/@:\s]*:)[^@\s]*@")


class Effective(NamedTuple):
    """A setting in force: its name, its value as JSON has it, and where that is from."""

    name: str
    value: object
    source: str


def effective(settings: Settings[Any]) -> list[Effective]:
    """All settings in force, in the order they are declared; those of each table that stands several times."""
    return list(_of(settings.tables, settings.gathered.table, settings.gathered, ()))


def _of(table: msgspec.Struct, given: object, gathered: Gathered, above: tuple[str | int, ...]) -> Iterator[Effective]:
    for name, member in members(type(table)).items():
        path = (*above, name)
        value = getattr(table, name)
        found = given.get(name) if isinstance(given, dict) else None
        if member.table is not None and value is not None:
            yield from _of(value, found, gathered, path)
        elif member.rows is not None and value:
            for number, row in enumerate(value):
                inner = found[number] if isinstance(found, list) else None
                yield from _of(row, inner, gathered, (*path, number))
        else:
            source = DEFAULT if found is None else gathered.place(path)
            yield Effective(dotted(path), shown(value, member), source)


def shown(value: object, setting: Setting) -> object:
    """A value as it may be told."""
    if setting.secret or isinstance(value, SecretText):
        return None if value is None else REDACTED
    if isinstance(value, str):
        return _PASSWORD.sub(rf"\1{REDACTED}@", value)
    return value
