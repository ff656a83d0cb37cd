"""What the types of a configuration say: every setting by name, and what in a table does not fit them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

from ambergate.core.errors import SettingsError
from ambergate.services.web.settings.secret import SecretText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Path = tuple[str | int, ...]
    Place = Callable[[Path], str]

ROWS: Final = "[]"  # in a path: any of the tables of a list
_SHOWN: Final = 64  # characters of an unknown name that are repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, as its type declares it.

    Attributes:
        path: its names from the outside in; `ROWS` stands for the number of a table that may stand several times.
        annotation: the type as written.
        kinds: what it may be, None left out.
        description: for people.
        required: whether it must be given where its table is.
        default: when it is not given.
    """

    path: tuple[str, ...]
    annotation: Any
    kinds: tuple[inspect.Type, ...]
    description: str
    required: bool
    default: object

    @property
    def secret(self) -> bool:
        """Whether nobody may see its value."""
        return any(isinstance(kind, inspect.CustomType) and kind.cls is SecretText for kind in self.kinds)

    @property
    def table(self) -> type[msgspec.Struct] | None:
        """The table that it is, if it is one."""
        (kind, *more) = self.kinds
        return kind.cls if isinstance(kind, inspect.StructType) and not more else None

    @property
    def rows(self) -> type[msgspec.Struct] | None:
        """The table that may stand here several times, if it is one."""
        (kind, *more) = self.kinds
        if more or not isinstance(kind, inspect.ListType) or not isinstance(kind.item_type, inspect.StructType):
            return None
        return kind.item_type.cls


def members(table: type[msgspec.Struct], above: tuple[str, ...] = ()) -> dict[str, Setting]:
    """The settings and tables that stand directly in `table`, by name."""
    found = {}
    for field in msgspec.structs.fields(table):
        kind, description = _bare(inspect.type_info(field.type))
        alternatives = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        factory = field.default_factory
        found[field.encode_name] = Setting(
            path=(*above, field.encode_name),
            annotation=field.type,
            kinds=tuple(_bare(one)[0] for one in alternatives if not isinstance(one, inspect.NoneType)),
            description=description,
            required=field.required,
            default=field.default if factory is msgspec.NODEFAULT else factory(),
        )
    return found


def settings(table: type[msgspec.Struct], above: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of `table` and of the tables in it, in the order they are declared."""
    for member in members(table, above).values():
        inner, path = (member.table, member.path) if member.rows is None else (member.rows, (*member.path, ROWS))
        if inner is None:
            yield member
        else:
            yield from settings(inner, path)


def dotted(path: Path | tuple[str, ...]) -> str:
    """A path as people write it: `listen.port`, `anchors[0].pem`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else part if part == ROWS else f".{part}" for part in path)
    return words.removeprefix(".")


def misfits(
    table: Mapping[str, object], kind: type[msgspec.Struct], place: Place, above: Path = ()
) -> list[SettingsError]:
    """All that keeps `table` from being a `kind`: unknown names, missing settings, values of another type.

    Args:
        table: what was read.
        kind: what it should be.
        place: says where the value at a path was read, for people.
        above: the path of `table` itself.
    """
    known = members(kind)
    strange = [name for name in table if name not in known]
    found = [_unknown(name, list(known), place, above) for name in strange]
    meant = {nearest(name, list(known)) for name in strange}
    for name, member in known.items():
        path = (*above, name)
        if name not in table:
            if member.required and name not in meant:
                found.append(SettingsError(f"{dotted(path)} is missing", seen=place(path), wanted=member.description))
            continue
        found.extend(_misfits_at(table[name], member, place, path))
    return found


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _misfits_at(value: object, member: Setting, place: Place, path: Path) -> list[SettingsError]:
    if member.table is not None and isinstance(value, Mapping):
        return misfits(value, member.table, place, path)
    if member.rows is not None and isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        rows = enumerate(value)
        return [one for number, row in rows for one in misfits(row, member.rows, place, (*path, number))]
    try:
        msgspec.convert(value, member.annotation)
    except (msgspec.ValidationError, RecursionError) as exc:
        told = f"{exc} in {place(path)}"
        return [SettingsError(f"{dotted(path)} cannot be used", seen=told, wanted=member.description or None)]
    return []


def _unknown(name: str, known: list[str], place: Place, above: Path) -> SettingsError:
    near = nearest(name, known)
    path = (*above, name[:_SHOWN])
    return SettingsError(
        "the configuration has an unknown key",
        seen=f"{dotted(path)} in {place(path)}",
        wanted=None if near else ", ".join(known),
        hint=None if near is None else f"did you mean {dotted((*above, near))}?",
    )


def _bare(kind: inspect.Type) -> tuple[inspect.Type, str]:
    description = ""
    while isinstance(kind, inspect.Metadata):
        description = description or (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    return kind, description
