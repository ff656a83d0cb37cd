"""Source distribution and wheels of one commit, built as often as somebody wants to compare them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.release.fault import Fault, run

if TYPE_CHECKING:
    from collections.abc import Sequence

_BIN: Final = Path(sysconfig.get_path("scripts"))
_PACKAGED_TAG: Final = "manylinux_"


@dataclass(frozen=True)
class Surroundings:
    """What a build must not depend on."""

    umask: int
    timezone: str
    locale: str


HERE: Final = Surroundings(0o022, "UTC", "C.UTF-8")
ELSEWHERE: Final = Surroundings(0o077, "Asia/Kathmandu", "POSIX")


@dataclass(frozen=True)
class Built:
    """What is released: one source distribution, a wheel for every machine, and one with the compiled shim."""

    sdist: Path
    pure: Path
    shim: Path

    @property
    def wheels(self) -> tuple[Path, Path]:
        """Both."""
        return self.pure, self.shim

    @property
    def files(self) -> tuple[Path, ...]:
        """All."""
        return self.sdist, self.pure, self.shim


def tool(name: str) -> str:
    """A program of the environment that this runs in."""
    return str(_BIN / name)


def commit_of(project: Path) -> tuple[str, int]:
    """HEAD, and when it was committed (seconds since 1970).

    Raises:
        Fault: this is no checkout.
    """
    words = _git(project, "log", "-1", "--format=%H %ct").decode().split()
    return words[0], int(words[1])


def unsaved(project: Path) -> list[str]:
    """Tracked files that differ from HEAD, which is what is built."""
    return _git(project, "diff", "--name-only", "HEAD").decode().splitlines()


def tree_of(project: Path, target: Path) -> Path:
    """HEAD, and nothing else that lies about in the project, as a directory."""
    target.mkdir(parents=True)
    packed = _git(project, "archive", "--format=tar", "HEAD")
    # -m: files are as old as this moment, so that no build finds its dates there.
    subprocess.run(["tar", "-x", "-m", "-C", str(target)], input=packed, check=True)
    return target


def unpacked(sdist: Path, target: Path) -> Path:
    """The source distribution's own directory."""
    target.mkdir(parents=True)
    run(["tar", "-xzf", str(sdist), "-C", str(target)], cwd=target, environ=os.environ, wanted="an archive")
    (tree,) = target.iterdir()
    return tree


def build(tree: Path, out: Path, *, at: int, surroundings: Surroundings) -> Built:
    """Build all that is released.

    Args:
        tree: the sources.
        out: where to; made here.
        at: the date that files get, in seconds since 1970.
        surroundings: under which this is done.

    Raises:
        Fault: it cannot be built; for want of a C compiler, say.
    """
    out.mkdir(parents=True)
    linked = out / "linked"
    sdist = _hatchling(tree, out, "sdist", at=at, surroundings=surroundings)
    pure = _hatchling(tree, out, "wheel", at=at, surroundings=surroundings, shim="never")
    shim = _hatchling(tree, linked, "wheel", at=at, surroundings=surroundings, shim="required")
    repaired = _repaired(shim, out, at=at, surroundings=surroundings)
    shim.unlink()
    linked.rmdir()
    return Built(sdist, pure, repaired)


def same(one: Sequence[Path], other: Sequence[Path], *, what: str) -> None:
    """Compare the files of two builds, name by name and byte by byte.

    Raises:
        Fault: they differ; names the file and both digests.
    """
    for left, right in zip(one, other, strict=True):
        if left.name != right.name:
            raise Fault(f"{what}: the names differ", seen=right.name, wanted=left.name)
        if digest(left) != digest(right):
            members, wanted = _members(right), _members(left)
            changed = sorted({name for name, _ in {*members.items()} ^ {*wanted.items()}})
            raise Fault(
                f"{what}: {left.name} is another file",
                seen=f"SHA-256 {digest(right)}",
                wanted=f"SHA-256 {digest(left)}",
                hint=f"look at {', '.join(changed[:3]) or 'the order of its members'}",
            )


def platform_of(wheel: Path) -> str:
    """The platform tag that auditwheel finds, of a wheel that says the same.

    Raises:
        Fault: the wheel's name says something else, or it needs libraries that not every machine has.
    """
    told = json.loads(
        run(
            [tool("auditwheel"), "show", "--json", str(wheel)],
            cwd=wheel.parent,
            environ=os.environ,
            wanted="what it needs",
        )
    )
    found = told["overall_tag"]
    if told["external_libs"]:
        raise Fault(
            f"{wheel.name} needs libraries of its builder", seen=", ".join(told["external_libs"]), wanted="none"
        )
    if not found.startswith(_PACKAGED_TAG) or not wheel.name.endswith(f"-py3-none-{found}.whl"):
        raise Fault(
            f"{wheel.name} says another platform than it needs", seen=found, wanted="manylinux, and in its name"
        )
    return str(found)


def digest(path: Path) -> str:
    """SHA-256 of a file, as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _members(archive: Path) -> dict[str, tuple[object, ...]]:
    """Name -> all that a build can get wrong of it."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {one.filename: (one.CRC, one.date_time, one.external_attr) for one in wheel.infolist()}
    with tarfile.open(archive) as sdist:
        return {one.name: (one.chksum, one.mtime, one.mode, one.size, one.uname) for one in sdist.getmembers()}


def _hatchling(tree: Path, out: Path, target: str, *, at: int, surroundings: Surroundings, shim: str = "never") -> Path:
    before = set(out.glob("*"))
    command = [sys.executable, "-P", "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    environ = _environment(surroundings, at) | {"AMBERGATE_SHIM": shim}
    run(_under(surroundings, command), cwd=tree, environ=environ, wanted=f"a {target} of {tree}")
    (made,) = set(out.glob("*")) - before
    return made


def _repaired(wheel: Path, out: Path, *, at: int, surroundings: Surroundings) -> Path:
    """The wheel under the oldest manylinux tag that holds for it."""
    before = set(out.glob("*.whl"))
    command = [tool("auditwheel"), "repair", "--wheel-dir", str(out), str(wheel)]
    environ = _environment(surroundings, at)
    # auditwheel unpacks and packs again, and the modes of the directories in between are in the wheel.
    run(_under(HERE, command), cwd=out, environ=environ, wanted="a wheel for any Linux of its age")
    (made,) = set(out.glob("*.whl")) - before
    return made


def _under(surroundings: Surroundings, command: list[str]) -> list[str]:
    return ["/bin/sh", "-c", f'umask {surroundings.umask:03o} && exec "$@"', "sh", *command]


def _environment(surroundings: Surroundings, at: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "CC", "TMPDIR") if name in os.environ}
    return kept | {
        "PATH": f"{_BIN}:{os.environ['PATH']}",
        "SOURCE_DATE_EPOCH": str(at),
        "TZ": surroundings.timezone,
        "LC_ALL": surroundings.locale,
    }


def _git(project: Path, *words: str) -> bytes:
    try:
        return subprocess.run(["git", *words], cwd=project, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as exc:
        raise Fault("a release is built from a commit, and git gives none", seen=exc, wanted="a git checkout") from exc
