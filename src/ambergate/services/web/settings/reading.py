"""Reading a configuration: file and environment in, its type or every problem out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from ambergate.core.errors import SettingsError
from ambergate.services.web.settings.problems import Problems
from ambergate.services.web.settings.secret import SecretText, value_in
from ambergate.services.web.settings.shape import dotted, members, misfits
from ambergate.services.web.settings.sources import Gathered, gather

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Settings(Generic[T]):
    """A configuration whose names and types hold; its values are not looked at yet.

    Attributes:
        tables: the settings.
        gathered: where they are from.
    """

    tables: T
    gathered: Gathered

    @property
    def folder(self) -> Path:
        """What paths are relative to."""
        return self.gathered.folder


def read(path: Path | None, environ: Mapping[str, str], kind: type[T], service: str) -> Settings[T]:
    """The configuration of `service`.

    Args:
        path: the TOML file; None: the environment says all.
        environ: the environment.
        kind: the type of the whole.
        service: what the variables of the environment are named after.

    Raises:
        SettingsError: unreadable, unknown names, missing settings, values of another type; all of them are told.
    """
    gathered = gather(path, environ, kind, service)
    problems = Problems()
    problems.found.extend(gathered.problems)
    _open_secrets(gathered.table, kind, gathered, problems)
    problems.found.extend(misfits(gathered.table, kind, gathered.place))
    problems.settle()
    return Settings(msgspec.convert(gathered.table, kind), gathered)


def _open_secrets(table: dict[str, Any], kind: type[msgspec.Struct], gathered: Gathered, problems: Problems) -> None:
    """Put the secrets themselves where the configuration names their files.

    What is no such name is taken out and told, so that no later error repeats what it is.
    """
    for name, member in members(kind).items():
        value = table.get(name)
        if member.table is not None and isinstance(value, dict):
            _open_secrets(value, member.table, gathered, problems)
        elif member.rows is not None and isinstance(value, list):
            for row in value:
                if isinstance(row, dict):
                    _open_secrets(row, member.rows, gathered, problems)
        elif member.secret and value is not None and not isinstance(value, SecretText):
            table[name] = problems.attempt(_secret, name, value, gathered)


def _secret(name: str, value: object, gathered: Gathered) -> SecretText:
    file = value.get("file") if isinstance(value, Mapping) and set(value) == {"file"} else None
    if not isinstance(file, str):
        raise SettingsError(
            f"{dotted((name,))} is a secret, and stands in no configuration",
            wanted=f'{name} = {{ file = "..." }}, or the environment',
        )
    return SecretText(value_in(gathered.folder / file, name=name, secret=True))
