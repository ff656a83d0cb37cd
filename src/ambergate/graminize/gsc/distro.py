"""The distributions whose images can be graminized, told apart by what an image says of itself.

Source: os-release(5); Gramine's installation guide (packages for Debian, Ubuntu, RHEL and its kin) and its building
guide (what compiling takes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FAMILIES: Final = {
    "debian": "apt",
    "ubuntu": "apt",
    "centos": "dnf",
    "rhel": "dnf",
    "rocky": "dnf",
    "almalinux": "dnf",
    "opensuse-leap": "zypper",
    "opensuse-tumbleweed": "zypper",
    "sles": "zypper",
    "sle_hpc": "zypper",
}
# Where Gramine has packages: id and the part of the version before the first dot, or all of it for Ubuntu.
_PACKAGED: Final = {
    ("debian", "11"): "bullseye",
    ("debian", "12"): "bookworm",
    ("ubuntu", "20.04"): "focal",
    ("ubuntu", "22.04"): "jammy",
    ("ubuntu", "24.04"): "noble",
    ("centos", "8"): "",
    ("centos", "9"): "",
    ("rhel", "8"): "",
    ("rhel", "9"): "",
    ("rocky", "8"): "",
    ("rocky", "9"): "",
    ("almalinux", "8"): "",
    ("almalinux", "9"): "",
}
_LINE: Final = re.compile(r"""([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|([^\s"']*))""", re.ASCII)
_TOOLS: Final = {
    "apt": ("/usr/bin/apt-get",),
    "dnf": ("/usr/bin/dnf", "/usr/bin/microdnf"),
    "zypper": ("/usr/bin/zypper",),
}
_NAMED: Final = re.compile(r"(?:.*/)?(?P<name>[a-z]+[a-z0-9]*)(?:[:/](?P<tag>.*))?")
_OF_NAME: Final = {"ubi8": ("rhel", "8"), "ubi9": ("rhel", "9"), "leap": ("opensuse-leap", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distro:
    """A distribution.

    Attributes:
        id: as in os-release, such as `debian`.
        version: VERSION_ID, such as `12`.
        family: `apt`, `dnf` or `zypper`.
        codename: of Debian and Ubuntu, by which Gramine's packages are found.
        packaged: whether Gramine has packages for it.
        tool: the program that installs packages.
    """

    id: str
    version: str
    family: str
    codename: str
    packaged: bool
    tool: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.id} {self.version}".strip()


def of_release(text: str, has: Mapping[str, bool]) -> Distro:
    """The distribution by an image's /etc/os-release.

    Args:
        text: the file; empty where there is none.
        has: for each path of `tools()`, whether it is there.

    Raises:
        SettingsError: Gramine cannot run there, or we do not know how to bring it there: with what to do instead.
    """
    said = {match[1]: match[2] or match[3] or match[4] or "" for match in map(_LINE.match, text.splitlines()) if match}
    identity, version = said.get("ID", "").lower(), said.get("VERSION_ID", "")
    if identity == "alpine" or has.get("/lib/ld-musl-x86_64.so.1", False):
        raise SettingsError(
            "the image is built on musl, and Gramine's images here run on glibc",
            seen=f"{identity or 'an image'} {version}".strip(),
            hint="take the Debian or Ubuntu variant of the same image (python:3.12-slim for python:3.12-alpine, say)",
        )
    if not identity and not any(has.values()):
        raise SettingsError(
            "the image has no distribution to install Gramine with",
            seen="no /etc/os-release and no package manager: built from scratch",
            hint="copy your program into a debian or ubuntu image, or name a Gramine.Image of the libraries it needs",
        )
    family = _FAMILIES.get(identity)
    if family is None:
        raise SettingsError(
            "the image's distribution is not one that is known here",
            seen=f"ID={identity or 'none'}, VERSION_ID={version or 'none'}",
            wanted=", ".join(_FAMILIES),
            hint="say Distro in config.yaml if it is one of these by another name",
        )
    tool = next((path for path in _TOOLS[family] if has.get(path, False)), None)
    if tool is None:
        raise SettingsError(
            "the image has no package manager",
            seen=f"{identity} {version} without {' or '.join(_TOOLS[family])}: a distroless image, perhaps",
            hint="take the full image of the same distribution; the enclave loads only the files that are used",
        )
    return _distro(identity, version, family, tool)


def of_name(name: str) -> Distro:
    """The distribution that config.yaml names, such as `ubuntu:22.04` or `redhat/ubi9`.

    Raises:
        SettingsError: it is none that is known here.
    """
    match = _NAMED.fullmatch(name)
    identity, version = (match["name"], match["tag"] or "") if match else ("", "")
    if identity in _OF_NAME:
        identity, known = _OF_NAME[identity]
        version = known or version
    if identity == "centos":
        version = version.removeprefix("stream")
    family = _FAMILIES.get(identity)
    if family is None:
        raise SettingsError(
            "Distro is none that is known here",
            seen=name,
            wanted="auto, ubuntu:22.04, debian:12, quay.io/centos/centos:stream9, redhat/ubi9, opensuse/leap:15.6",
            hint="alpine and images from scratch have no glibc, which Gramine needs" if identity == "alpine" else None,
        )
    return _distro(identity, version, family, _TOOLS[family][0])


def tools() -> tuple[str, ...]:
    """The paths in an image by which `of_release` decides."""
    return (*(path for paths in _TOOLS.values() for path in paths), "/lib/ld-musl-x86_64.so.1")


def _distro(identity: str, version: str, family: str, tool: str) -> Distro:
    key = (identity, version if identity == "ubuntu" else version.partition(".")[0])
    return Distro(
        id=identity,
        version=version,
        family=family,
        codename=_PACKAGED.get(key, ""),
        packaged=key in _PACKAGED,
        tool=tool,
    )
