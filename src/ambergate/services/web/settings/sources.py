"""Where settings come from: a TOML file, and over it the environment.

`AMBER_ATTESTATION__LISTEN__PORT=8443` is `[listen] port = 8443`: the prefix of the service and the names, in capitals,
with two underscores between. Text stands as it is; numbers, true and false, lists and tables as JSON or TOML. A table
that may stand several times is given as a whole. `..._FILE` names a file that holds the value.

With one underscore behind the service's name, Kubernetes puts its own variables into every container of a namespace
where a service is called so: those are none of ours. What begins as ours, and is none of the settings, is refused.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import inspect

from ambergate.core.errors import SettingsError
from ambergate.core.token.jose import strict_value
from ambergate.services.web.settings.secret import SecretText, value_in
from ambergate.services.web.settings.shape import dotted, members, nearest, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import msgspec

    from ambergate.services.web.settings.shape import Setting

NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})
MAX_FILE: Final = 1024 * 1024  # bytes
FILE_SUFFIX: Final = "_FILE"
_SEPARATOR: Final = "__"


@dataclass(slots=True)
class Gathered:
    """File and environment put together, not looked at yet.

    Attributes:
        file: the TOML file; None: there is only the environment.
        folder: what paths are relative to.
        table: the settings.
        variables: path -> the variable of the environment that it is from.
        problems: what could not be read.
    """

    file: Path | None
    folder: Path
    table: dict[str, object] = field(default_factory=dict)
    variables: dict[tuple[str, ...], str] = field(default_factory=dict)
    problems: list[SettingsError] = field(default_factory=list)

    def place(self, path: tuple[str | int, ...]) -> str:
        """Where the value at this path was read."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.variables:
                return self.variables[path[:end]]  # type: ignore[index]  # no key holds numbers: those are not found
        return "the environment" if self.file is None else str(self.file)


def prefix_of(service: str) -> str:
    """What the variables of this service begin with."""
    return f"AMBER_{service.upper()}{_SEPARATOR}"


def gather(path: Path | None, environ: Mapping[str, str], kind: type[msgspec.Struct], service: str) -> Gathered:
    """The file's settings with those of the environment over them.

    Args:
        path: the TOML file, if there is one.
        environ: the environment.
        kind: the whole configuration's type.
        service: `attestation`, say.

    Raises:
        SettingsError: the file cannot be read, or is not TOML. What is wrong with single variables is in `problems`.
    """
    folder = Path.cwd() if path is None else path.resolve().parent
    gathered = Gathered(path, folder, {} if path is None else parse_file(path))
    prefix = prefix_of(service)
    # What is shorter comes first, so that a single setting stands over the table that it is in.
    for name in sorted(environ, key=lambda name: (name.count(_SEPARATOR), name)):
        try:
            if name.startswith(prefix):
                _take(name, environ[name], _target(name, prefix, kind), gathered)
            elif name.startswith(prefix[:-1]):
                _refuse_lookalike(name, prefix, kind)
        except SettingsError as error:
            gathered.problems.append(error)
    return gathered


def parse_file(path: Path) -> dict[str, object]:
    """The file as TOML.

    Raises:
        SettingsError: unreadable, too long, or not TOML.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as exc:
        raise SettingsError("the configuration cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if len(text) > MAX_FILE:
        raise SettingsError("the configuration is too long", seen=str(path), wanted=f"at most {MAX_FILE} bytes")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as exc:  # a TOMLDecodeError is a ValueError; so is a number of 5000 digits
        raise SettingsError("the configuration is not TOML", seen=f"{path}: {exc}") from exc


def _target(name: str, prefix: str, kind: type[msgspec.Struct]) -> tuple[Setting, bool]:
    """The setting that a variable is about, and whether it names a file with the value.

    Raises:
        SettingsError: there is none.
    """
    words = name.removeprefix(prefix).lower().split(_SEPARATOR)
    table: type[msgspec.Struct] | None = kind
    above: tuple[str, ...] = ()
    for number, word in enumerate(words, start=1):
        known = {} if table is None else members(table, above)
        last = number == len(words)
        bare = word.removesuffix(FILE_SUFFIX.lower())
        if last and word not in known and bare in known:
            return known[bare], True
        if word not in known:
            break
        if last:
            return known[word], False
        above, table = known[word].path, known[word].table
    every = [variable(setting.path, prefix) for setting in settings(kind) if "[]" not in setting.path]
    near = nearest(name, every)
    raise SettingsError(
        "the environment has an unknown setting", seen=name, hint=None if near is None else f"did you mean {near}?"
    )


def variable(path: tuple[str, ...], prefix: str) -> str:
    """The name of the variable of the setting at this path."""
    return prefix + _SEPARATOR.join(path).upper()


def _refuse_lookalike(name: str, prefix: str, kind: type[msgspec.Struct]) -> None:
    """Ours but for an underscore? Kubernetes' own have no two in a row, and none of them is called as a setting is."""
    meant = prefix + name.removeprefix(prefix[:-1])
    if _SEPARATOR not in name and meant.removeprefix(prefix).lower() not in members(kind):
        return
    hint = f"two underscores stand behind the service's name: {meant}"
    raise SettingsError("a variable of the environment is almost a setting", seen=name, hint=hint)


def _take(name: str, text: str, target: tuple[Setting, bool], gathered: Gathered) -> None:
    setting, from_file = target
    label = dotted(setting.path)
    given = gathered.variables.get(setting.path)
    if given is not None:
        raise SettingsError(f"{label} is given twice", seen=f"{given} and {name}", wanted="one of them")
    gathered.variables[setting.path] = name
    if from_file:
        text = value_in(gathered.folder / text, name=name, secret=setting.secret)
    table = gathered.table
    for word in setting.path[:-1]:
        inner = table.setdefault(word, {})
        if not isinstance(inner, dict):
            return  # no table: whoever looks at the file's types says so
        table = inner
    table[setting.path[-1]] = _value(name, text, setting)


def _value(name: str, text: str, setting: Setting) -> object:
    if setting.secret:
        return SecretText(text)
    kinds = {type(kind) for kind in setting.kinds}
    if kinds & {inspect.StrType, inspect.LiteralType} and not (
        inspect.ListType in kinds and text.lstrip().startswith("[")
    ):
        return text
    try:
        return strict_value(text)
    except (ValueError, RecursionError):
        pass
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        found = {}
    if found.keys() != {"value"}:
        raise SettingsError(f"{name} cannot be read", wanted=f"JSON or a TOML value: {setting.description}")
    return found["value"]
