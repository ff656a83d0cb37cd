"""The audit log: append-only, durable before anybody is answered, and bound to its past by signed checkpoints.

Each group of entries and the head with its signed checkpoint are one transaction, so the log is whole after a crash at
any point. Nodes that share a database append to one log: a write transaction reads the head that the last one left, and
a head of another node is taken only with a signature of this log's key and a proof that it continues what is known.

A pin is the last checkpoint in a file outside the database. Without it, whoever can write to the database could put
back an older state of it, signed as it is; with it, that is noticed at the next start, and by `amber audit verify`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy.exc import IntegrityError

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.audit_check import check_continues, check_head, check_tail, follows
from ambergate.stores.audit_rows import (
    Draft,
    Entry,
    Head,
    Nodes,
    append_entries,
    begin_log,
    find_entry,
    last_place,
    leaves_behind,
    read_head,
    take_head,
    touch_head,
)
from ambergate.stores.checkpoints import MAX_NOTE
from ambergate.stores.engine import check_room
from ambergate.stores.group_commit import GroupCommit
from ambergate.stores.merkle import EMPTY_ROOT, Frontier, inclusion_proof
from ambergate.stores.transactions import reading, writing, writing_by_driver

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPICursor

    from ambergate.stores.checkpoints import CheckpointKey, CheckpointSigner

PIN_EVERY: Final = timedelta(seconds=10)  # so much of the log, at most, an older state of the database may lack unseen
_FOLLOWED: Final = 256  # new entries of others, at most, that are read one by one: of more, a proof takes less
_TAIL: Final = 1000  # last entries that are looked at when the log is opened
_log = logging.getLogger("ambergate.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an entry stands in the log: its place and text, the way to the root, and the signed checkpoint."""

    seq: int
    record: str
    hashes: tuple[bytes, ...]
    checkpoint: str


class Watcher(Protocol):
    """Is told how commits go; must not raise, nor take long."""

    def committed(self, records: int, seconds: float, /) -> None:
        """So many records are durable; it took so long."""
        ...

    def failed(self) -> None:
        """A commit failed."""
        ...


class AuditLog:
    """The log of one database. Safe to use from several threads; other processes may append beside it.

    Args:
        engine: the database.
        signer: signs checkpoints.
        now: the clock, aware.
        pin: the file of the last checkpoint, outside the database; None: there is none.

    Raises:
        NotIntact: the log is not the one that was written, or behind its pin.
        Malformed: the pin is not a checkpoint.
        Unavailable: the database does not answer.
    """

    def __init__(
        self, engine: Engine, signer: CheckpointSigner, *, now: Callable[[], datetime], pin: Path | None = None
    ) -> None:
        self._engine = engine
        self._signer = signer
        self._now = now
        self._pin = pin
        self._head = self._open()
        self._pinned_at: datetime | None = None
        self._pinned = ""
        self._watcher: Watcher | None = None
        self.pin_failing = False  # whether the last write of the pin failed
        self._pin_now()
        self._commits: GroupCommit[Draft, int] = GroupCommit(self._commit, idle=self._pin_when_due)

    @property
    def key(self) -> CheckpointKey:
        """What its checkpoints are checked with."""
        return self._signer.key

    @property
    def size(self) -> int:
        """Records in it, as this process last saw it."""
        return self._head.frontier.size

    def watch(self, watcher: Watcher) -> None:
        """Tell this one of each commit from now on."""
        self._watcher = watcher

    def append(self, record: Mapping[str, object], *, jti: UUID | None = None) -> int:
        """Append a record; returns its place once it is durable.

        Args:
            record: JSON-ready, no secret in it.
            jti: of the token that it is about.

        Raises:
            Malformed: not JSON, or too long.
            NotIntact: the log is not the one that this process knows.
            Unavailable: the database does not answer. The record may have become durable.
        """
        return self._commits.put(Draft.of(record, jti=jti))

    def append_soon(self, draft: Draft) -> Future[int]:
        """Append a record from an event loop; the future has its place once it is durable, and fails as `append` does.

        Raises:
            Unavailable: nothing more can be written now.
        """
        return self._commits.submit(draft)

    def checkpoint(self) -> str:
        """The newest signed checkpoint.

        Raises:
            NotIntact: the log's head is gone, or not what was written.
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return known(read_head(connection)).note

    def find(self, jti: UUID) -> Entry | None:
        """The entry about the token of this id.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            return find_entry(connection, jti)

    def prove(self, entry: Entry) -> Proof:
        """That this entry is in the log, under the newest checkpoint.

        Raises:
            NotIntact: the log is not the one that was written.
            Unavailable: the database does not answer.
        """
        return prove(self._engine, entry)

    def check(self) -> None:
        """Look at the log's end, and write its head as it is: whether a decision could be recorded now.

        Raises:
            NotIntact: the head is gone, or not what was written.
            Unavailable: the database does not answer, or takes nothing more.
        """
        check_room(self._engine)
        with writing(self._engine) as connection:
            known(read_head(connection))
            last_place(connection)
            touch_head(connection)

    def close(self) -> None:
        """Commit what waits, pin the head, and stop."""
        self._commits.close()
        self._pin_now()

    def _open(self) -> Head:
        pinned = None if self._pin is None else read_pin(self._pin)
        with writing(self._engine) as connection:
            head = read_head(connection)
            if head is None:
                if pinned is not None and self.key.opened(pinned).size:
                    known(head)
                begin_log(connection, self._signer.signed(0, EMPTY_ROOT, at=self._now()))
        with reading(self._engine) as connection:
            head = known(read_head(connection))  # in one view with the entries: others may append meanwhile
            check_head(connection, head, self.key)
            check_tail(connection, head, _TAIL)
            if pinned is not None:
                check_continues(connection, self.key.opened(pinned), head)
        if pinned is None and self._pin is not None and head.frontier.size:
            _log.warning("no checkpoint at %s: whether entries are missing at the log's end is not known", self._pin)
        return head

    def _commit(self, drafts: Sequence[Draft]) -> Sequence[int]:
        began = time.monotonic()
        try:
            head = self._append(drafts)
        except Exception as exc:
            if self._watcher is not None:
                self._watcher.failed()
            if isinstance(exc, IntegrityError):
                raise NotIntact("an entry stands behind the audit log's end") from exc
            raise
        if self._watcher is not None:
            self._watcher.committed(len(drafts), time.monotonic() - began)
        self._head = head
        return range(head.frontier.size - len(drafts), head.frontier.size)

    def _append(self, drafts: Sequence[Draft]) -> Head:
        with writing_by_driver(self._engine) as cursor:
            found = known(take_head(cursor))
            if found.note != self._head.note:
                self._follow(cursor, found)
            elif found.frontier != self._head.frontier:
                raise NotIntact("the audit log's head was changed")
            return append_entries(cursor, found, drafts, self._note, dialect=self._engine.dialect.name)

    def _follow(self, cursor: DBAPICursor, found: Head) -> None:
        """Another node wrote: does it continue what we know?

        Nodes take turns, and each waits for this: the few entries that are new are read through the driver, in less
        than half of what a proof takes. Nobody writes meanwhile, so the proof may read by itself.
        """
        old = self._head.frontier
        if 0 <= found.frontier.size - old.size <= _FOLLOWED:
            leaves = leaves_behind(cursor, old.size, _FOLLOWED + 1, dialect=self._engine.dialect.name)
            if follows(leaves, old, found, self.key):
                return
        with reading(self._engine) as connection:
            check_head(connection, found, self.key)
            check_continues(connection, self.key.opened(self._head.note), found)

    def _note(self, frontier: Frontier) -> str:
        return self._signer.signed(frontier.size, frontier.root(), at=self._now())

    def _pin_when_due(self) -> None:
        if self._pinned_at is None or not timedelta() <= self._now() - self._pinned_at < PIN_EVERY:
            self._pin_now()

    def _pin_now(self) -> None:
        if self._pin is None or self._pinned == self._head.note:
            return
        self._pinned_at = self._now()
        try:
            with _alone(self._pin):
                if not self._pinned_further(self._pin):
                    write_pin(self._pin, self._head.note)
        except OSError as exc:
            _log.error("the checkpoint cannot be written to %s: %s", self._pin, exc.strerror)
            self.pin_failing = True
        else:
            self._pinned = self._head.note
            self.pin_failing = False

    def _pinned_further(self, pin: Path) -> bool:
        """Whether another process on this machine has pinned more of the log: that must not be gone back from."""
        try:
            there = read_pin(pin)
            return there is not None and self.key.opened(there).size > self._head.frontier.size
        except (Malformed, NotIntact):  # what somebody wrote there is no checkpoint of this log
            return False


@contextlib.contextmanager
def _alone(pin: Path) -> Iterator[None]:
    """No other process pins meanwhile. The folder is what is locked: the pin itself is another file each time."""
    folder = os.open(pin.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def prove(engine: Engine, entry: Entry) -> Proof:
    """That this entry is in the log of this database, under the newest checkpoint.

    Raises:
        NotIntact: the log is not the one that was written.
        Unavailable: the database does not answer.
    """
    with reading(engine) as connection:
        head = known(read_head(connection))
        size = head.frontier.size
        if entry.seq >= size:
            raise NotIntact("an entry stands behind the audit log's end", seen=f"entry {entry.seq}", wanted=f"< {size}")
        nodes = Nodes()
        inclusion_proof(entry.seq, size, nodes.wanted)
        nodes.fetch(connection)
        hashes = inclusion_proof(entry.seq, size, nodes.node)
    return Proof(seq=entry.seq, record=entry.record, hashes=tuple(hashes), checkpoint=head.note)


def known(head: Head | None) -> Head:
    """The head that there must be.

    Raises:
        NotIntact: it is gone.
    """
    if head is None:
        raise NotIntact("the audit log's head is gone", hint="was the database replaced? restore it from its backup")
    return head


def read_pin(path: Path) -> str | None:
    """The checkpoint in this file; None: there is no such file.

    Raises:
        NotIntact: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4 * MAX_NOTE).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise NotIntact("the audit log's checkpoint cannot be read", seen=f"{path}: {exc}") from exc


def write_pin(path: Path, note: str) -> None:
    """Put a checkpoint into this file: the old one or the new one is there, whole, whenever the power goes.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
