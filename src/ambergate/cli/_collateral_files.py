"""The files of `amber collateral`: archives and directories, read within bounds, written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.cli._collateral_proof import Judged, judge, judge_one
from ambergate.core.collateral.archive import MAX_ARCHIVE, Entry, Key, Summary, decode_archive
from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import Malformed, MalformedCollateral, NotWelcome, SettingsError
from ambergate.core.measurements import Fmspc
from ambergate.core.verify.chain import PCK_CAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from ambergate.core.collateral.archive import Archive, Statement
    from ambergate.core.verify.anchors import TrustAnchor

MAX_FILES: Final = 4096  # in a directory
ROLLBACK: Final = "collateral-rolled-back"
_NAME: Final = re.compile(r"(sgx|tdx)-([0-9a-f]{12})-(platform|processor)\.json", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one file of a directory."""

    key: Key
    what: str  # "new", "newer", "older", "replaced" (no older, no newer, or it was unreadable), "unchanged"
    before: Summary | None
    after: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file or a directory holds."""

    archive: Archive | None  # None: a directory, or the bare statements about one family
    judged: tuple[Judged, ...]


def look(path: Path, anchors: Sequence[TrustAnchor], *, at: datetime) -> Found:
    """What lies there, each entry proven or not.

    Raises:
        SettingsError: it cannot be read, or is an empty directory.
        MalformedCollateral: the file is no collateral at all.
    """
    if path.is_dir():
        return Found(archive=None, judged=tuple(_directory(path, anchors, at)))
    data = read_file(path)
    if b'"entries"' in data:  # inside of bare statements' texts, quotation marks are escaped
        archive = decode_archive(data)
        return Found(archive=archive, judged=tuple(judge(archive.entries, anchors, at=at)))
    collateral = Collateral.from_json(data)
    entry = Entry.of(_key_in(collateral), collateral)
    return Found(archive=None, judged=(judge_one(path.name, entry, anchors, at=at),))


def read_file(path: Path) -> bytes:
    """The file, up to one byte more than an archive may have.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_ARCHIVE + 1)
    except OSError as exc:
        raise SettingsError("the collateral cannot be read", seen=f"{path}: {exc.strerror}") from exc


def _directory(path: Path, anchors: Sequence[TrustAnchor], at: datetime) -> Iterator[Judged]:
    try:
        names = sorted(name for name in os.listdir(path) if _NAME.fullmatch(name))  # noqa: PTH208  names are all it needs
    except OSError as exc:
        raise SettingsError("the directory cannot be read", seen=f"{path}: {exc.strerror}") from exc
    if not 1 <= len(names) <= MAX_FILES:
        raise SettingsError(
            "the directory holds no collateral, or too much of it",
            seen=f"{len(names)} files in {path}",
            wanted=f"1 to {MAX_FILES} files named <sgx|tdx>-<fmspc>-<platform|processor>.json",
            hint="fetch some: amber collateral fetch",
        )
    for name in names:
        try:
            entry = Entry.of(_key_of(name), Collateral.from_json(read_file(path / name)))
        except Malformed as exc:
            yield Judged(name=name, entry=None, verified=None, error=exc)
        else:
            yield judge_one(name, entry, anchors, at=at)


def _key_of(name: str) -> Key:
    named = _NAME.fullmatch(name)
    assert named is not None
    return Key(named[1].upper(), Fmspc.from_hex(named[2]), named[3])


def _key_in(collateral: Collateral) -> Key:
    """Whom bare statements say they are about."""
    info = read_tcb_info(collateral.tcb_info)
    chain = read_pem_chain(collateral.pck_crl_issuer_chain.encode("utf-8", "replace"))
    names = " ".join(certificate.common_name for certificate in chain)
    ca = next((ca for name, ca in PCK_CAS.items() if name in names), None)
    if ca is None:
        raise MalformedCollateral(
            "the revocation list is of a CA that certifies no platforms", seen=names, wanted=" or ".join(PCK_CAS)
        )
    return Key(info.tee, info.fmspc, ca)


def place(directory: Path, entries: Sequence[Entry], *, allow_rollback: bool) -> list[Change]:
    """Put entries into a directory: all of them, or none.

    Every file is replaced in one step, and when one cannot be, those before it are put back. When the power fails half
    way, some families are new and some old, and each is whole.

    Args:
        directory: made when it is not there.
        entries: proven; nothing is judged here but their age. What lies there counts as what it says, genuine or not:
            only the user can tell whether it may go.
        allow_rollback: replace newer statements by older ones.

    Raises:
        NotWelcome: statements in the directory are newer, and may not be replaced.
        SettingsError: the directory cannot be written, or somebody else is writing into it.
    """
    with _locked(directory):
        before = {entry.key: _kept(directory / f"{entry.key}.json") for entry in entries}
        changes = [_change(entry, before[entry.key]) for entry in entries]
        older = [change for change in changes if change.what == "older"]
        if older and not allow_rollback:
            raise _rolled_back(older)
        _write_all(
            directory,
            {
                f"{entry.key}.json": entry.collateral.to_json().encode()
                for entry, change in zip(entries, changes, strict=True)
                if change.what != "unchanged"
            },
        )
    return changes


def write_file(path: Path, data: bytes) -> None:
    """A new or replaced file, in one step.

    Raises:
        SettingsError: it cannot be written.
    """
    try:
        fresh = _staged(path, data)
        try:
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as exc:
        raise SettingsError("the file cannot be written", seen=f"{path}: {exc.strerror}") from exc


def _change(entry: Entry, kept: bytes | None) -> Change:
    before = None
    what = "new" if kept is None else "replaced"
    if kept is not None:
        try:
            collateral = Collateral.from_json(kept)
            before = Summary.of(collateral)
        except MalformedCollateral:
            pass  # unusable as it is: nothing is lost with it
        else:
            if collateral == entry.collateral:
                what = "unchanged"
            elif entry.summary.older_than(before):
                what = "older"
            elif before.older_than(entry.summary):
                what = "newer"
    return Change(key=entry.key, what=what, before=before, after=entry.summary)


def _rolled_back(older: Sequence[Change]) -> NotWelcome:
    mismatches = []
    for change in older:
        assert change.before is not None
        for name in change.after.older_than(change.before):
            seen, wanted = change.after.statements[name], change.before.statements[name]
            mismatches.append(
                {"rule": f"{change.key} {name}", "seen": told(seen), "wanted": f"{told(wanted)} or later"}
            )
    return NotWelcome(
        "statements would be replaced by older ones: nothing is written",
        code=ROLLBACK,
        mismatches=mismatches,
        hint="fetch anew; to go back on purpose, e.g. from the early set, add --dangerously-allow-rollback",
    )


def told(statement: Statement) -> str:
    """One statement's age, in words."""
    number = "" if statement.number is None else f"evaluation {statement.number}, "
    return f"{number}issued {statement.issued:%Y-%m-%dT%H:%M:%SZ}"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Nobody else of us writes into the directory meanwhile."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise _unwritable(directory, exc) from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise SettingsError(
                "somebody else is writing into the directory", seen=f"{directory}: {exc.strerror}", hint="try again"
            ) from exc
        yield
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kept(path: Path) -> bytes | None:
    try:
        return read_file(path)
    except SettingsError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            return None
        raise


def _write_all(directory: Path, files: dict[str, bytes]) -> None:
    """Every file, or none. What can fail for want of room is done before anything changes."""
    fresh: dict[Path, Path] = {}
    kept: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for path, data in ((directory / name, data) for name, data in files.items()):
            fresh[path] = _staged(path, data)
            if path.exists():
                kept[path] = _beside(path)
                shutil.copy2(path, kept[path])
        for path, staged in fresh.items():
            staged.replace(path)
            done.append(path)
    except OSError as exc:
        _put_back(directory, done, kept)
        raise _unwritable(directory, exc) from exc
    finally:
        for path in (*fresh.values(), *kept.values()):
            path.unlink(missing_ok=True)


def _put_back(directory: Path, done: Sequence[Path], kept: dict[Path, Path]) -> None:
    for path in reversed(done):
        try:
            kept[path].replace(path) if path in kept else path.unlink()
        except OSError as exc:
            raise SettingsError(
                "the directory could be written in part only, and not be put back",
                seen=f"{path}: {exc.strerror}",
                wanted=f"a writable {directory}",
                hint="make it writable and do this again: every file is whole, some are new",
            ) from exc


def _staged(path: Path, data: bytes) -> Path:
    """The bytes on the disk, beside the path. Readable as the umask lets: nothing in collateral is secret."""
    fresh = _beside(path)
    try:
        with fresh.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def _beside(path: Path) -> Path:
    """A name that no reader asks for."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _unwritable(directory: Path, exc: OSError) -> SettingsError:
    return SettingsError(
        "the directory cannot be written: nothing is changed",
        seen=f"{directory}: {exc.strerror}",
        wanted="a writable directory",
    )
