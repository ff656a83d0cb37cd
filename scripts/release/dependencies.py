"""What comes along with an installation: which distributions, by which file, under which licence."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from scripts.lock import read_requirements
from scripts.release.build import digest
from scripts.release.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PROJECT_NAME: Final = "ambergate"
_NEXT: Final = "read the licence, then say so in requirements/licences.toml"


@dataclass(frozen=True)
class Licences:
    """What a person read, from requirements/licences.toml.

    Attributes:
        allowed: SPDX expressions that may come along.
        packages: canonical name -> SPDX expression.
        said: name -> what the metadata said when it was read, of those that state no SPDX expression.
    """

    allowed: frozenset[str]
    packages: Mapping[str, str]
    said: Mapping[str, str]

    @classmethod
    def from_toml(cls, text: str) -> Licences:
        """Read the file."""
        tables: dict[str, Any] = tomllib.loads(text)
        return cls(frozenset(tables["allowed"]), tables["packages"], tables["said"])


def extras_of(project: str = PROJECT_NAME) -> list[str]:
    """The extras that this project has, sorted."""
    return sorted(_installed(project).metadata.get_all("Provides-Extra") or [])


def closure(extra: str = "", *, project: str = PROJECT_NAME) -> dict[str, Distribution]:
    """All that an installation with one extra brings to this interpreter, by canonical name; the project is not in it.

    Raises:
        Fault: something of it is not installed here.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(project), one) for one in {"", extra}]
    while todo:
        name, with_extra = todo.pop()
        if (name, with_extra) in seen:
            continue
        seen.add((name, with_extra))
        found[name] = _installed(name)
        for requirement in map(Requirement, found[name].requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": with_extra}):
                wanted = canonicalize_name(requirement.name)
                todo += [(wanted, one) for one in {"", *requirement.extras}]
    del found[canonicalize_name(project)]
    return dict(sorted(found.items()))


def declared(one: Distribution) -> tuple[str, bool]:
    """What a distribution says of its licence, and whether that is an SPDX expression."""
    if expression := _said(one, "License-Expression"):
        return expression, True
    text = _said(one, "License")
    classifiers = [line for line in one.metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return "; ".join(part for part in (text, *classifiers) if part), False


def licence_faults(found: Mapping[str, Distribution], licences: Licences, locked: Iterable[str]) -> list[Fault]:
    """Every distribution whose licence nobody read, that changed it since, or that may not come along.

    Args:
        found: what comes along here.
        licences: what was read.
        locked: what comes along on some machine; an entry for anything else is out of date.
    """
    faults = [fault for name, one in found.items() if (fault := _licence_fault(name, one, licences)) is not None]
    stale = sorted((set(licences.packages) | set(licences.said)) - set(locked))
    faults += [
        Fault(f"requirements/licences.toml speaks of {name}", seen="it does not come along", wanted="no entry")
        for name in stale
    ]
    return faults


def unpinned(text: str) -> list[str]:
    """Lines of a file of requirements that are not one version by at least one SHA-256."""
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    pinned = read_requirements(text)
    return [
        line
        for line in lines
        if line and not line.startswith("#") and not pinned.get(line.partition("==")[0], ("", frozenset()))[1]
    ]


def unlisted(wheelhouse: Path, requirements: Mapping[str, str]) -> list[str]:
    """Files of a wheelhouse that no requirement names by its SHA-256."""
    hashes = {value for text in requirements.values() for _, some in read_requirements(text).values() for value in some}
    return [path.name for path in sorted(wheelhouse.iterdir()) if f"sha256:{digest(path)}" not in hashes]


def _licence_fault(name: str, one: Distribution, licences: Licences) -> Fault | None:
    said, is_expression = declared(one)
    read = licences.packages.get(name)
    if read is None:
        return Fault(
            f"{name} {one.version}: nobody read its licence", seen=said or "none", wanted="an entry", hint=_NEXT
        )
    last = read if is_expression else licences.said.get(name)
    if said != last:
        return Fault(f"{name} {one.version}: its licence changed", seen=said or "none", wanted=last, hint=_NEXT)
    if read not in licences.allowed:
        return Fault(
            f"{name} {one.version}: its licence may not come along",
            seen=read,
            wanted=", ".join(sorted(licences.allowed)),
        )
    return None


def _said(one: Distribution, field: str) -> str:
    return " ".join(one.metadata[field].split()) if field in one.metadata else ""


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as exc:
        raise Fault(
            f"{name} is not installed", seen="nothing", wanted="what the lock names", hint="make setup"
        ) from exc
