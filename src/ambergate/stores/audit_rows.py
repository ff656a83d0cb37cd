"""The audit log in SQL: entries, the hashes that proofs are made of, and a head that says where the log stands.

An entry is one row. Beside its text stand its leaf hash and the hash of every complete subtree that it ends; since a
subtree is complete when its last entry is there, each node of the tree has one place: level l, index i in the row
`(i + 1) * 2^l - 1`. To append reads the head; to prove reads about 2 log2(n) rows. Nothing is believed because it
stands here: `audit_check` holds it to signed checkpoints.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import func, insert, select

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.merkle import HASH_SIZE, Frontier, leaf_hash
from ambergate.stores.tables import audit_entries as _entries
from ambergate.stores.tables import audit_head as _head
from ambergate.stores.transactions import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine.interfaces import DBAPICursor

MAX_RECORD: Final = 64 * 1024  # bytes of one entry; known records have below 4 KiB
_HEAD_ID: Final = 1
_PAGE: Final = 1000  # entries that are read at a time
# What every commit runs, as text for the driver: SQLAlchemy's own statements take longer here than the database does.
_READ_HEAD: Final = "SELECT size, peaks, note FROM audit_head WHERE id = 1"
_APPEND: Final = "INSERT INTO audit_entries (seq, jti, record, nodes) VALUES "
_ROWS: Final = 64  # of one statement; SQLite and PostgreSQL take some thousand
_MOVE_HEAD: Final = "UPDATE audit_head SET size = ?, peaks = ?, note = ? WHERE id = 1"
_BEHIND: Final = (
    "SELECT seq, substr(nodes, 1, 32) FROM audit_entries WHERE seq >= ? ORDER BY seq LIMIT ?"  # of HASH_SIZE
)
_TOUCH_HEAD: Final = "UPDATE audit_head SET note = note WHERE id = 1"


class Draft(NamedTuple):
    """An entry that is to be appended: its text, and the id of the token that it is about."""

    record: str
    jti: UUID | None = None

    @classmethod
    def of(cls, record: Mapping[str, object], *, jti: UUID | None = None) -> Draft:
        """The record in its one text: JSON, members sorted, no spaces, ASCII.

        Raises:
            Malformed: not JSON, or longer than `MAX_RECORD`.
        """
        try:
            text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as exc:
            raise Malformed("an audit record is not JSON", code="malformed-record", seen=ascii(exc)) from exc
        return cls.written(text, jti=jti)

    @classmethod
    def written(cls, text: str, *, jti: UUID | None = None) -> Draft:
        """A record that is in its one text already.

        Raises:
            Malformed: longer than `MAX_RECORD`.
        """
        if len(text) > MAX_RECORD:
            raise Malformed("an audit record is too long", code="malformed-record", seen=f"{len(text)} bytes")
        return cls(text, jti)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it stands in the log: its place, its text, and the hashes of the subtrees that it ends."""

    seq: int
    record: str
    nodes: tuple[bytes, ...]
    jti: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands, and the signed checkpoint that says so."""

    frontier: Frontier
    note: str


def read_head(connection: Connection) -> Head | None:
    """The head; None: there is no log yet.

    Raises:
        NotIntact: it is not what was written.
    """
    return _head_of(connection.exec_driver_sql(_READ_HEAD).first())


def take_head(cursor: DBAPICursor) -> Head | None:
    """As `read_head`, through the driver."""
    cursor.execute(_READ_HEAD)
    return _head_of(cursor.fetchone())


def _head_of(row: Sequence[Any] | None) -> Head | None:
    if row is None:
        return None
    size, peaks, note = row
    try:
        return Head(Frontier.unpack(size, bytes(peaks)), note)
    except (ValueError, TypeError) as exc:
        raise NotIntact("the audit log's head is not what was written", seen=str(exc)) from exc


def begin_log(connection: Connection, note: str) -> Head:
    """An empty log."""
    head = Head(Frontier(), note)
    connection.execute(insert(_head).values(id=_HEAD_ID, size=0, peaks=b"", note=note))
    return head


def append_entries(
    cursor: DBAPICursor, head: Head, drafts: Sequence[Draft], note: Callable[[Frontier], str], *, dialect: str
) -> Head:
    """Append behind the head, and move it, within a write transaction that has read it.

    Args:
        cursor: of that transaction's driver.
        head: as it was read.
        drafts: one at least.
        note: the signed checkpoint of the new frontier.
        dialect: the engine's name; it says how the driver marks parameters.
    """
    mark = _mark(dialect)
    frontier = head.frontier
    rows: list[tuple[object, ...]] = []
    for draft in drafts:
        seq = frontier.size
        frontier, made = frontier.append(leaf_hash(draft.record.encode()))
        jti = None if draft.jti is None else str(draft.jti)
        rows.append((seq, jti, draft.record, b"".join(made)))
    # Many rows by one statement: for each that it runs the driver lets other threads go first, and waits for them.
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        row = f"({mark}, {mark}, {mark}, {mark})"
        cursor.execute(_APPEND + ", ".join([row] * len(some)), tuple(itertools.chain.from_iterable(some)))
    moved = Head(frontier, note(frontier))
    cursor.execute(_MOVE_HEAD.replace("?", mark), (frontier.size, frontier.packed(), moved.note))
    return moved


def leaves_behind(cursor: DBAPICursor, start: int, most: int, *, dialect: str) -> list[tuple[int, bytes]]:
    """Place and leaf hash of the entries from `start` on, in order, `most` at most; through the driver.

    What stands there and is no octets, as SQLite lets it, is no hash.
    """
    cursor.execute(_BEHIND.replace("?", _mark(dialect)), (start, most))
    return [(seq, bytes(leaf) if isinstance(leaf, bytes | memoryview) else b"") for seq, leaf in cursor.fetchall()]


def _mark(dialect: str) -> str:
    """How the driver marks a parameter."""
    return "%s" if dialect == POSTGRES else "?"


def touch_head(connection: Connection) -> None:
    """Write the head as it is: what a full or read-only disk refuses."""
    connection.exec_driver_sql(_TOUCH_HEAD)


def read_entries(connection: Connection, start: int, end: int) -> Iterator[Entry]:
    """The entries from `start` to before `end` that are there, in order, a page at a time."""
    while start < end:
        where = (_entries.c.seq >= start) & (_entries.c.seq < end)
        rows = connection.execute(select(_entries).where(where).order_by(_entries.c.seq).limit(_PAGE)).all()
        yield from (_entry(row) for row in rows)
        if len(rows) < _PAGE:
            return
        start = rows[-1].seq + 1


def find_entry(connection: Connection, jti: UUID) -> Entry | None:
    """The entry about the token of this id, the first if there are several; None: there is none."""
    query = select(_entries).where(_entries.c.jti == str(jti)).order_by(_entries.c.seq).limit(1)
    row = connection.execute(query).first()
    return None if row is None else _entry(row)


def last_place(connection: Connection) -> int:
    """One more than the last place: the size, in a log that is whole. Looks at one row."""
    last = connection.scalar(select(func.max(_entries.c.seq)))
    return 0 if last is None else int(last) + 1


class Nodes:
    """The tree's nodes, by level and index; all that a computation asks for are read in one query.

    A first run of the computation with `wanted` learns which they are: it gets zeros, and only its questions count.
    """

    def __init__(self) -> None:
        self._wanted: set[tuple[int, int]] = set()
        self._found: dict[tuple[int, int], bytes] = {}

    def wanted(self, level: int, index: int) -> bytes:
        """Note that this node is needed."""
        self._wanted.add((level, index))
        return bytes(HASH_SIZE)

    def fetch(self, connection: Connection) -> None:
        """Read what was noted."""
        places = {((index + 1) << level) - 1 for level, index in self._wanted}
        query = select(_entries.c.seq, _entries.c.nodes).where(_entries.c.seq.in_(sorted(places)))
        try:
            rows = {row.seq: bytes(row.nodes) for row in connection.execute(query)}
        except TypeError as exc:  # SQLite keeps what it is given, of any type
            raise NotIntact("an entry of the audit log was changed", seen="hashes that are no octets") from exc
        for level, index in self._wanted:
            kept = rows.get(((index + 1) << level) - 1, b"")
            self._found[level, index] = kept[level * HASH_SIZE : (level + 1) * HASH_SIZE]

    def node(self, level: int, index: int) -> bytes:
        """The hash of a node.

        Raises:
            NotIntact: it is not there.
        """
        found = self._found.get((level, index), b"")
        if len(found) != HASH_SIZE:
            place = ((index + 1) << level) - 1
            raise NotIntact("an entry of the audit log is missing or was changed", seen=f"entry {place}")
        return found


def _entry(row: Row[Any]) -> Entry:
    nodes = bytes(row.nodes)
    return Entry(
        row.seq, row.record, tuple(nodes[at : at + HASH_SIZE] for at in range(0, len(nodes), HASH_SIZE)), row.jti
    )
