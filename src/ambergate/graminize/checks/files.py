"""Rules about files: what is mounted where, what is trusted, and whether it is there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ambergate.graminize.application import AMBER_DIRECTORY
from ambergate.graminize.problems import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.graminize.checks.subject import Subject

FILE: Final = "file:"
ATTESTATION: Final = "/dev/attestation"
_LISTS: Final = ("trusted_files", "allowed_files")
_MAX_MISSING: Final = 20  # files that are named one by one


def uris(subject: Subject, /) -> Iterator[Problem]:
    """Each trusted and allowed file is named as Gramine names files, and does not lead out of its place."""
    for kind in _LISTS:
        for path, uri in _listed(subject, kind):
            why = "Gramine compares names, and opens none that it would write otherwise"
            if not uri.startswith(FILE) or uri == FILE:
                yield subject.problem(
                    "file-uri", path, "is no file's URI", seen=f'"{uri[:80]}"', wanted='"file:path"', why=why
                )
            elif not is_plain(uri):
                yield subject.problem(
                    "file-path",
                    path,
                    "leads up, or says the same in another way",
                    seen=f'"{uri[:80]}"',
                    wanted="a path without .. in it",
                    why="what is above the manifest's directory is another file on another machine",
                    severity=Severity.WARNING if _only_leads_up(uri) else Severity.ERROR,
                )


def files_are_there(subject: Subject, /) -> Iterator[Problem]:
    """Each trusted file can be hashed, as far as it is on this machine."""
    told = 0
    for path, uri in _listed(subject, "trusted_files"):
        wrong = _why_unusable(subject.manifest.directory, uri) if uri.startswith(FILE) else None
        if wrong is None:
            continue
        told += 1
        if told > _MAX_MISSING:
            break
        loop = wrong == LOOP
        yield subject.problem(
            "file-loop" if loop else "file-missing",
            path,
            "cannot be hashed",
            seen=f'"{uri[:80]}": {wrong}',
            wanted="a file, or a directory with a slash at its end",
            why="gramine-sgx-sign stops there; it may be on the machine where you sign",
            severity=Severity.ERROR if loop else Severity.WARNING,
        )


def mounts(subject: Subject, /) -> Iterator[Problem]:
    """Every mount is at an absolute path, and none stands in for the devices that attestation rests on."""
    for index, mount in subject.mounts:
        place, path = mount.get("path"), ("fs", "mounts", index, "path")
        if not isinstance(place, str):
            continue  # `options` says so
        if not place.startswith("/"):
            why = "Gramine does not start"
            yield subject.problem(
                "mount-path", path, "is not absolute", seen=f'"{place[:80]}"', wanted=f'"/{place[:80]}"', why=why
            )
        at = os.path.normpath(place)
        if at != "/" and _covers(at, ATTESTATION):
            yield subject.problem(
                "mount-attestation",
                path,
                "covers the files by which the enclave is attested",
                seen=f'"{place[:80]}"',
                wanted="no mount there",
                why="the host could answer in Gramine's place, and the agent would send what it says",
            )
        if at != "/" and _covers(at, AMBER_DIRECTORY) and mount.get("type") != "tmpfs":
            yield subject.problem(
                "mount-amber",
                path,
                "puts the amber files where the host can read and write them",
                seen=f'"{place[:80]}"',
                wanted=f'{{ type = "tmpfs", path = "{AMBER_DIRECTORY}" }}',
                why="token and secret would leave the enclave",
            )


def amber_directory(subject: Subject, /) -> Iterator[Problem]:
    """The application finds the files in a directory in enclave memory."""
    places = [mount.get("path") for _, mount in subject.mounts if mount.get("type") == "tmpfs"]
    if subject.delivery != "native" and AMBER_DIRECTORY not in places:
        yield subject.problem(
            "mount-missing",
            ("fs", "mounts"),
            f"has no tmpfs at {AMBER_DIRECTORY}",
            seen=f"{len(subject.mounts)} mounts",
            wanted=f'{{ type = "tmpfs", path = "{AMBER_DIRECTORY}" }}',
            why="below Gramine's /dev nothing can be made",
            severity=subject.mended,
        )


def program_is_mounted(subject: Subject, /) -> Iterator[Problem]:
    """What is started is in the file system."""
    entrypoint = subject.get("libos", "entrypoint")
    if not isinstance(entrypoint, str) or not entrypoint.startswith("/") or subject.get("fs", "root"):
        return
    places = [os.path.normpath(str(mount.get("path"))) for _, mount in subject.mounts]
    if not any(_covers(place, entrypoint) for place in places):
        yield subject.problem(
            "program-mount",
            ("libos", "entrypoint"),
            "is below no mount",
            seen=f'"{entrypoint[:80]}"',
            wanted="a mount for it, or its directory",
            why="without fs.root Gramine takes the directory where it is started for the root",
            severity=Severity.WARNING,
        )


def allowed_code(subject: Subject, /) -> Iterator[Problem]:
    """Files that the host may change are none that are run."""
    entrypoint = subject.get("libos", "entrypoint")
    sources = [_inside(uri, [mount for _, mount in subject.mounts]) for _, uri in _listed(subject, "allowed_files")]
    for (path, uri), inner in zip(_listed(subject, "allowed_files"), sources, strict=True):
        runs = isinstance(entrypoint, str) and any(_covers(place, entrypoint) for place in inner)
        if runs or uri.rstrip("/") in {FILE, "file:/usr", "file:/lib", "file:/bin", "file:/usr/lib", "file:/usr/bin"}:
            yield subject.problem(
                "allowed-code",
                path,
                "lets the host change what is run",
                seen=f'"{uri[:80]}"',
                wanted="sgx.trusted_files",
                why="an allowed file is not hashed: the measurement says nothing of it",
            )


LOOP: Final = "a loop of symbolic links"


def is_plain(uri: str) -> bool:
    """Whether a URI's path is written in the one way in which Gramine compares it."""
    path = uri.removeprefix(FILE)
    parts = path.removesuffix("/").split("/")
    return ".." not in parts and all(part not in {"", "."} for part in parts[1:]) and "\0" not in path


def _only_leads_up(uri: str) -> bool:
    """`../x/y`, as examples of Gramine's own write it."""
    parts = PurePosixPath(uri.removeprefix(FILE)).parts
    climbed = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return 0 < climbed < len(parts) and ".." not in parts[climbed:] and "\0" not in uri


def _why_unusable(directory: Path, uri: str) -> str | None:
    path = directory / uri.removeprefix(FILE)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  a path that is no text for pathlib is told by errno too
    except OSError as exc:
        return LOOP if exc.errno == errno.ELOOP else exc.strerror
    except ValueError:
        return "no path"
    if stat.S_ISDIR(mode):
        return None if uri.endswith("/") else "a directory, without a slash at its end"
    if uri.endswith("/"):
        return "no directory"
    return None if stat.S_ISREG(mode) else "neither file nor directory"


def _listed(subject: Subject, kind: str) -> list[tuple[tuple[str | int, ...], str]]:
    found = subject.get("sgx", kind, default=[])
    entries = found if isinstance(found, list) else []
    named = [(index, entry.get("uri") if isinstance(entry, dict) else entry) for index, entry in enumerate(entries)]
    return [(("sgx", kind, index), uri) for index, uri in named if isinstance(uri, str)]


def _covers(place: str, path: str) -> bool:
    """Whether a mount at a place has the path in it."""
    return place in {"/", path} or path.startswith(f"{place}/")


def _inside(uri: str, mounted: list[dict[str, Any]]) -> list[str]:
    """Where a file of the host is inside, by each mount that has it."""
    file, places = uri.removeprefix(FILE).rstrip("/"), []
    for mount in mounted:
        source, at = str(mount.get("uri", "")).removeprefix(FILE).rstrip("/"), str(mount.get("path", ""))
        if mount.get("type", "chroot") == "chroot" and _covers(source or "/", file):
            places.append(os.path.normpath(at + file[len(source) :]))
    return places


RULES: Final = (uris, files_are_there, mounts, amber_directory, program_is_mounted, allowed_code)
