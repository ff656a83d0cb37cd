"""`config.yaml` of Gramine Shielded Containers: which distribution the image has, and where Gramine comes from.

    Distro: "auto"                     # or ubuntu:22.04, debian:12, quay.io/centos/centos:stream9, redhat/ubi9, ...
    Registry: ""                       # before the distribution's name, when Gramine is compiled in a stage of it
    Gramine:                           # one of three; without any, the distribution's packages
        Image: "gramineproject/gramine:stable-jammy"
        Repository: "https://github.com/gramineproject/gramine.git"
        Branch: "v1.9"
    SGXDriver:                         # both empty: the kernel's own driver, the only one that Gramine still knows
        Repository: ""
        Branch: ""

Read strictly: an unknown name is an error. What Project Amber's guide of 2022 prints is taken as it stands, its fork of
Gramine included, with a note that stock Gramine serves too. Nothing of it is ever given to a shell unquoted, and what
is no branch's name is refused.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.loading import read_file
from ambergate.core.errors import MalformedPolicy, SettingsError
from ambergate.graminize.gsc import names
from ambergate.policies.yaml_text import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

MAX_CONFIG: Final = 16 * 1024  # bytes; our limit
AUTO: Final = "auto"
_REPOSITORY: Final = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/[A-Za-z0-9._~/-]{1,200}", re.ASCII)
# Names of branches and tags that are the same to git and to a shell (git-check-ref-format, restricted).
_BRANCH: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?", re.ASCII)
_FORKS: Final = ("bigdata-memory/gramine", "amber_pr")
FORK_NOTE: Final = (
    "config.yaml names the fork of Gramine that Project Amber used in 2022. It is compiled as you say; stock Gramine "
    "serves too, since the converted manifest needs nothing of the fork: leave Gramine.Repository and Branch out"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GscConfig:
    """What config.yaml says.

    Attributes:
        distro: `auto`, or the distribution's image, such as `ubuntu:22.04`.
        registry: before that name.
        image: an image with Gramine in it; None where it is compiled or comes from packages.
        repository: where Gramine's source is; None likewise.
        branch: its branch or tag.
        notes: what the user should know.
    """

    distro: str = AUTO
    registry: str = ""
    image: str | None = None
    repository: str | None = None
    branch: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def distro_image(self) -> str:
        """The distribution's image with its registry."""
        return f"{self.registry.rstrip('/')}/{self.distro}" if self.registry else self.distro


def read_config(path: Path) -> GscConfig:
    """The configuration in a file.

    Raises:
        SettingsError: it cannot be read, is not YAML, has unknown members, or values that cannot be used.
        TooLarge: it is too long.
    """
    raw = read_file(path, "config.yaml", limit=MAX_CONFIG)
    try:
        members = read_yaml(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise SettingsError("config.yaml is not UTF-8", seen=f"{path}: byte {exc.start}") from exc
    except MalformedPolicy as exc:
        message = exc.message.replace("the policy", path.name)
        raise SettingsError(message, seen=exc.seen, wanted=exc.wanted, hint=exc.hint) from exc
    if members is None:
        members = {}
    return _config(_table(members, ("Distro", "Registry", "Gramine", "SGXDriver"), ""))


def _config(members: dict[str, Any]) -> GscConfig:
    gramine = _table(members.get("Gramine", {}), ("Image", "Repository", "Branch"), "Gramine.")
    driver = _table(members.get("SGXDriver", {}), ("Repository", "Branch"), "SGXDriver.")
    image, repository, branch = (_text(gramine, name, "Gramine.") for name in ("Image", "Repository", "Branch"))
    if image and (repository or branch):
        raise SettingsError(
            "config.yaml says twice where Gramine comes from",
            seen=f"Gramine.Image {image}, and a repository or branch",
            wanted="Gramine.Image, or Gramine.Repository and Gramine.Branch",
        )
    if bool(repository) != bool(branch):
        raise SettingsError(
            "Gramine's source is named by half",
            seen=f"Repository {repository!r}, Branch {branch!r}",
            wanted="both, or neither",
        )
    if any(_text(driver, name, "SGXDriver.") for name in ("Repository", "Branch")):
        raise SettingsError(
            "SGXDriver names a driver outside the kernel",
            seen=str({name: driver[name] for name in driver})[:120],
            wanted="both empty",
            hint="Gramine runs on the kernel's own driver alone (Linux 5.11 and newer)",
        )
    registry = _text(members, "Registry", "")
    distro = _text(members, "Distro", "") or AUTO
    config = GscConfig(
        distro=distro,
        registry=registry,
        image=names.checked(image, "Gramine.Image") if image else None,
        repository=_fitting(_REPOSITORY, repository, "Gramine.Repository", "https://host/path") if repository else None,
        branch=_fitting(_BRANCH, branch, "Gramine.Branch", "the name of a branch or tag") if branch else None,
        notes=(FORK_NOTE,) if any(fork in f"{repository} {branch}" for fork in _FORKS) else (),
    )
    if distro != AUTO:
        names.checked(config.distro_image, "Distro with its Registry")
    return config


def _table(value: object, known: tuple[str, ...], where: str) -> dict[str, Any]:
    if value is None or value == "":  # a heading with nothing below it
        return {}
    if not isinstance(value, dict):
        raise SettingsError(
            f"config.yaml: {where.rstrip('.') or 'the whole'} is no mapping",
            seen=repr(value)[:80],
            wanted="name: value",
        )
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]
            raise SettingsError(
                f"config.yaml has an unknown name {where}{name}",
                wanted=", ".join(where + each for each in known),
                hint=f"did you mean {where}{near}?",
            )
    return value


def _text(members: dict[str, Any], name: str, where: str) -> str:
    value = members.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SettingsError(f"config.yaml: {where}{name} is no text", seen=repr(value)[:80], wanted="text in quotes")
    return value


def _fitting(pattern: re.Pattern[str], text: str, what: str, wanted: str) -> str:
    if pattern.fullmatch(text) is None or ".." in text:
        raise SettingsError(f"{what} is not usable", seen=repr(text[:120]), wanted=wanted)
    return text
