"""A node whose log another node continued: what is new leads from what it knows to what was signed, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update
from tests.unit.stores.audit_scene import AT, SIGNER, faults, filled, reopened

from ambergate.core.errors import NotIntact
from ambergate.stores.audit_check import follows
from ambergate.stores.audit_rows import Head
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import writing
from ambergate.stores.merkle import Frontier, leaf_hash
from ambergate.stores.tables import audit_entries, audit_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from ambergate.stores.audit import AuditLog


def grown(frontier: Frontier, leaves: Sequence[bytes]) -> Frontier:
    for leaf in leaves:
        frontier, _ = frontier.append(leaf)
    return frontier


def signed(frontier: Frontier, signer: CheckpointSigner = SIGNER) -> Head:
    return Head(frontier, signer.signed(frontier.size, frontier.root(), at=AT))


CHANGES: dict[str, Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]] = {
    "one less": lambda rows: rows[:-1],
    "one more": lambda rows: [*rows, (rows[-1][0] + 1, leaf_hash(b"more"))],
    "the first is missing": lambda rows: rows[1:],
    "another first": lambda rows: [(rows[0][0], leaf_hash(b"other")), *rows[1:]],
    "another last": lambda rows: [*rows[:-1], (rows[-1][0], leaf_hash(b"other"))],
    "places moved": lambda rows: [(place + 1, leaf) for place, leaf in rows],
    "no leaf": lambda rows: [*rows[:-1], (rows[-1][0], b"")],
}


@given(known=st.integers(0, 70), new=st.integers(1, 40), change=st.sampled_from(sorted(CHANGES)))
def test_only_the_very_entries_lead_to_a_head(known: int, new: int, change: str) -> None:
    leaves = [leaf_hash(b"%d" % place) for place in range(known + new)]
    old = grown(Frontier(), leaves[:known])
    head = signed(grown(old, leaves[known:]))
    rows = list(enumerate(leaves))[known:]
    assert follows(rows, old, head, SIGNER.key)
    assert not follows(CHANGES[change](rows), old, head, SIGNER.key)


@given(known=st.integers(1, 70), new=st.integers(1, 40))
def test_entries_behind_another_past_lead_nowhere(known: int, new: int) -> None:
    leaves = [leaf_hash(b"%d" % place) for place in range(known + new)]
    head = signed(grown(Frontier(), leaves))
    other = grown(Frontier(), [leaf_hash(b"other"), *leaves[1:known]])
    assert not follows(list(enumerate(leaves))[known:], other, head, SIGNER.key)


@pytest.mark.parametrize("signer", [CheckpointSigner(SIGNER.key.origin, bytes(32)), CheckpointSigner("x", bytes(32))])
def test_a_head_that_another_key_signed_is_refused(signer: CheckpointSigner) -> None:
    """Whoever may write to the database, and not sign, can bring entries and peaks that fit."""
    rows = [(0, leaf_hash(b"0"))]
    head = signed(grown(Frontier(), [rows[0][1]]), signer)
    with pytest.raises(NotIntact):
        follows(rows, Frontier(), head, SIGNER.key)


def test_a_head_that_its_note_does_not_state_is_refused() -> None:
    rows = [(0, leaf_hash(b"0"))]
    frontier = grown(Frontier(), [rows[0][1]])
    with pytest.raises(NotIntact, match="not what was signed"):
        follows(rows, Frontier(), Head(frontier, SIGNER.signed(0, Frontier().root(), at=AT)), SIGNER.key)


@pytest.mark.parametrize("gap", [1, 2, 256, 257])
def test_nodes_take_turns_however_much_the_other_wrote(log: AuditLog, engine: Engine, gap: int) -> None:
    filled(log, 5)
    other = reopened(engine)
    filled(other, gap)
    assert log.append({"n": 1}) == 5 + gap
    assert other.append({"n": 2}) == 6 + gap
    other.close()
    assert faults(engine) == []


def an_entry_behind_the_head(connection: Connection) -> None:
    connection.execute(insert(audit_entries).values(seq=8, record="{}", nodes=leaf_hash(b"{}")))


def the_last_is_gone(connection: Connection) -> None:
    connection.execute(delete(audit_entries).where(audit_entries.c.seq == 7))


def the_head_is_of_older_entries(connection: Connection) -> None:
    older = grown(Frontier(), [leaf_hash(b"other")] * 8)
    connection.execute(update(audit_head).values(peaks=older.packed()))


def hashes_that_are_no_octets(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        pytest.skip("only SQLite keeps a value of another type")
    connection.exec_driver_sql("UPDATE audit_entries SET nodes = 'text' WHERE seq >= 5")


TAMPERINGS = (
    an_entry_behind_the_head,
    the_last_is_gone,
    the_head_is_of_older_entries,
    hashes_that_are_no_octets,
)


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_what_another_node_did_not_write_is_not_followed(
    log: AuditLog, engine: Engine, tamper: Callable[[Connection], None]
) -> None:
    filled(log, 5)
    other = reopened(engine)
    filled(other, 3)
    with writing(engine) as connection:
        tamper(connection)
    with pytest.raises(NotIntact):
        log.append({"n": 1})
    other.close()
