"""What is inside: in a wheel the package and nothing else, in the source distribution all that is tracked."""

from __future__ import annotations

import re
import tarfile
import zipfile
from typing import TYPE_CHECKING, Final

from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from scripts.release.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACKAGE: Final = "src/ambergate/"
SHIM: Final = "ambergate/devices/shim/libamber_dev.so"
# Without one of these the package is not whole, and no import says so.
NEEDED: Final = frozenset(
    {
        "ambergate/py.typed",
        "ambergate/cli/main.py",
        "ambergate/devices/shim/build.sh",
        "ambergate/stores/migrations/versions/__init__.py",
    }
)
_METADATA: Final = frozenset({"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"})
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")


def check_wheel(wheel: Path, tree: Mapping[str, bytes], *, with_shim: bool) -> int:
    """Hold a wheel to the tree.

    Args:
        wheel: the file.
        tree: what the commit holds, by path.
        with_shim: whether it brings the compiled shim.

    Returns:
        How many files it has.

    Raises:
        Fault: a file too many, too few or with other bytes, or metadata that an index would refuse.
    """
    _, version, *_ = parse_wheel_filename(wheel.name)
    about = f"ambergate-{version}.dist-info/"
    wanted = {path.removeprefix("src/"): content for path, content in tree.items() if path.startswith(PACKAGE)}
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    names = {name for name in found if not name.startswith(about)}
    _compare(wheel.name, names, set(wanted) | ({SHIM} if with_shim else set()))
    _compare(f"{wheel.name}, {about}", {name.removeprefix(about) for name in set(found) - names}, set(_METADATA))
    if missing := NEEDED - names:
        raise Fault(f"{wheel.name} is not whole", seen=f"no {', '.join(sorted(missing))}", wanted="all of them")
    changed = [name for name, content in wanted.items() if found[name] != content]
    if changed:
        raise Fault(f"{wheel.name} has other bytes than the commit", seen=", ".join(changed), wanted="the same")
    if with_shim and not found[SHIM].startswith(b"\x7fELF"):
        raise Fault(f"{wheel.name} has a shim that is no library", seen=found[SHIM][:16], wanted="ELF")
    _no_secrets(wheel.name, found)
    _check_metadata(wheel.name, found[f"{about}METADATA"], str(version))
    return len(found)


def check_sdist(sdist: Path, tree: Mapping[str, bytes]) -> int:
    """Hold the source distribution to the tree: all of it, so that its tests run as in a checkout.

    Returns:
        How many files it has.

    Raises:
        Fault: as `check_wheel`.
    """
    _, version = parse_sdist_filename(sdist.name)
    top = f"ambergate-{version}/"
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
        if odd := [member.name for member in members if not member.isreg() or not member.name.startswith(top)]:
            raise Fault(f"{sdist.name} has more than files of its own", seen=", ".join(odd), wanted=f"files in {top}")
        found = {member.name.removeprefix(top): _read(archive, member) for member in members}
    about = found.pop("PKG-INFO", b"")
    _compare(sdist.name, set(found), set(tree))
    changed = [name for name, content in tree.items() if found[name] != content]
    if changed:
        raise Fault(f"{sdist.name} has other bytes than the commit", seen=", ".join(changed), wanted="the same")
    _no_secrets(sdist.name, found)
    _check_metadata(sdist.name, about, str(version))
    return len(found)


def files_of(tree: Path) -> dict[str, bytes]:
    """Path -> content of every file below a directory."""
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _compare(where: str, seen: set[str], wanted: set[str]) -> None:
    if more := seen - wanted:
        raise Fault(f"{where} holds more than it should", seen=", ".join(sorted(more)), wanted="none of these")
    if fewer := wanted - seen:
        raise Fault(f"{where} holds less than it should", seen=f"no {', '.join(sorted(fewer))}", wanted="all of these")


def _no_secrets(where: str, found: Mapping[str, bytes]) -> None:
    if keys := [name for name, content in found.items() if _PRIVATE_KEY.search(content)]:
        raise Fault(f"{where} holds a private key", seen=", ".join(keys), wanted="none")


def _check_metadata(where: str, raw: bytes, version: str) -> None:
    """What an index looks at, by the same library that it uses."""
    try:
        metadata = Metadata.from_email(raw, validate=True)
    except ExceptionGroup as wrong:
        said = "; ".join(str(one) for one in wrong.exceptions)
        raise Fault(f"the metadata of {where} are wrong", seen=said, wanted="what an index takes") from wrong
    told = (metadata.name, str(metadata.version), metadata.description_content_type, metadata.license_expression)
    if told != ("ambergate", version, "text/markdown", "Apache-2.0") or not metadata.description:
        raise Fault(f"the metadata of {where} are not this project's", seen=told, wanted=f"ambergate {version}, README")
