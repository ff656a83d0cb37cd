"""Every change of the log is found: by verifying it, at the start, and by a node that runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, insert, select, update
from tests.unit.stores.audit_scene import AT, Clock, faults, filled, reopened

from ambergate.core.errors import NotIntact
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_check import MAX_FAULTS
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import reading, writing
from ambergate.stores.merkle import leaf_hash
from ambergate.stores.tables import audit_entries, audit_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine


def change(seq: int, **values: object) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(
        update(audit_entries).where(audit_entries.c.seq == seq).values(**values)
    )


def remove(seq: int) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(delete(audit_entries).where(audit_entries.c.seq == seq))


def swap(connection: Connection) -> None:
    for old, new in ((3, 10_000), (4, 3), (10_000, 4)):
        connection.execute(update(audit_entries).where(audit_entries.c.seq == old).values(seq=new))


def truncate(connection: Connection) -> None:
    connection.execute(delete(audit_entries).where(audit_entries.c.seq >= 30))


def extend(connection: Connection) -> None:
    connection.execute(insert(audit_entries).values(seq=40, record="{}", nodes=leaf_hash(b"{}")))


TAMPERINGS = {
    "edit": (change(7, record='{"verdict":"refused"}'), "entry 7 was changed"),
    "edit with leaf": (
        change(7, record="{}", nodes=leaf_hash(b"{}")),
        "the tree at entry 7 is not that of the entries before it",
    ),
    "edit of the last": (change(39, record="{}"), "entry 39 was changed"),
    "edit of a node": (change(7, nodes=b"\0" * 128), "entry 7 was changed"),
    "removal": (remove(7), "entry 7 is missing"),
    "removal of the first": (remove(0), "entry 0 is missing"),
    "swap": (swap, "the tree at entry 3 is not that of the entries before it"),
    "truncation": (truncate, "40 entries were signed"),
    "an entry more": (extend, "the head is not that of the 41 entries"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_change_is_found_by_verifying(log: AuditLog, engine: Engine, name: str) -> None:
    filled(log, 40)
    tamper, told = TAMPERINGS[name]
    with writing(engine) as connection:
        tamper(connection)
    found = faults(engine)
    assert any(told in fault for fault in found), found


@pytest.mark.parametrize("name", ["edit of the last", "removal", "swap", "truncation", "an entry more"])
def test_changes_near_the_end_are_found_at_the_start(log: AuditLog, engine: Engine, name: str) -> None:
    filled(log, 40)
    log.close()
    with writing(engine) as connection:
        TAMPERINGS[name][0](connection)
    with pytest.raises(NotIntact):
        reopened(engine)


def rebuilt(engine: Engine, *, edit: int, note: str | None = None) -> None:
    """As somebody would who can write to the database, knows the tree, and has no key: all of it made anew."""
    scratch: list[str] = []
    with writing(engine) as connection:
        scratch += connection.scalars(select(audit_entries.c.record).order_by(audit_entries.c.seq))
        scratch[edit] = '{"verdict":"rewritten"}'
        connection.execute(delete(audit_entries))
        kept = connection.scalar(select(audit_head.c.note))
        connection.execute(delete(audit_head))
    forger = AuditLog(engine, CheckpointSigner("attest.example/audit/v1", b"f" * 32), now=Clock())
    for record in scratch:
        forger.append(json.loads(record))
    forger.close()
    if note != "forged":
        with writing(engine) as connection:
            connection.execute(update(audit_head).values(note=note or kept))


@pytest.mark.parametrize(("note", "told"), [(None, "head is not what was signed"), ("forged", "another key")])
def test_a_log_that_was_made_anew_is_refused(log: AuditLog, engine: Engine, note: str | None, told: str) -> None:
    filled(log, 20)
    log.close()
    rebuilt(engine, edit=5, note=note)
    with pytest.raises(NotIntact, match=told):
        reopened(engine)
    assert faults(engine)


def dump(engine: Engine) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    with reading(engine) as connection:
        heads = [dict(row) for row in connection.execute(select(audit_head)).mappings()]
        return heads, [dict(row) for row in connection.execute(select(audit_entries)).mappings()]


def put_back(engine: Engine, state: tuple[list[dict[str, object]], list[dict[str, object]]]) -> None:
    with writing(engine) as connection:
        for table, rows in zip((audit_head, audit_entries), state, strict=True):
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)


def test_an_older_state_put_back_is_found_by_the_pin(log: AuditLog, engine: Engine, tmp_path: Path) -> None:
    """It is signed and whole: nothing in the database tells. The file outside does, and an auditor's own copy."""
    filled(log, 10)
    older = dump(engine)
    filled(log, 5)
    copy = log.checkpoint()
    log.close()
    put_back(engine, older)
    assert faults(engine) == []
    assert "15 entries were signed" in faults(engine, copy)[0]
    with pytest.raises(NotIntact, match="shorter than it was") as caught:
        reopened(engine, tmp_path / "pin")
    assert caught.value.code == "log-truncated"


def test_a_fork_is_found_by_the_pin(log: AuditLog, engine: Engine, tmp_path: Path) -> None:
    """An older state, and then as many entries more, under the right key: two histories, of which one is pinned."""
    filled(log, 10)
    older = dump(engine)
    filled(log, 5)
    copy = log.checkpoint()
    log.close()
    put_back(engine, older)
    forked = reopened(engine)
    filled(forked, 7)
    forked.close()
    assert faults(engine) == []
    assert "the first 15 entries are not those" in faults(engine, copy)[0]
    with pytest.raises(NotIntact, match="not a continuation") as caught:
        reopened(engine, tmp_path / "pin")
    assert caught.value.code == "log-forked"


def test_a_log_that_is_gone_is_found_by_the_pin(log: AuditLog, engine: Engine, tmp_path: Path) -> None:
    filled(log, 3)
    log.close()
    put_back(engine, ([], []))
    with pytest.raises(NotIntact, match="gone"):
        reopened(engine, tmp_path / "pin")
    with pytest.raises(NotIntact, match="no audit log"):
        faults(engine)


@pytest.mark.parametrize("name", ["older", "forked", "head", "gone", "behind"])
def test_a_running_node_appends_to_nothing_else(log: AuditLog, engine: Engine, name: str) -> None:
    """What it knows is compared with what it finds, at every commit."""
    filled(log, 10)
    older = dump(engine)
    filled(log, 5)
    if name == "head":
        with writing(engine) as connection:
            connection.execute(update(audit_head).values(size=14, peaks=b"\0" * 96))
    elif name == "behind":
        with writing(engine) as connection:
            connection.execute(insert(audit_entries).values(seq=15, record="{}", nodes=b""))
    else:
        put_back(engine, ([], []) if name == "gone" else older)
        if name == "forked":
            forked = reopened(engine)
            filled(forked, 7)
            forked.close()
    with pytest.raises(NotIntact):
        log.append({"n": 1})


def test_no_more_is_told_than_helps(log: AuditLog, engine: Engine) -> None:
    filled(log, 60)
    with writing(engine) as connection:
        connection.execute(update(audit_entries).values(record="{}"))
    assert len(faults(engine)) == MAX_FAULTS


def test_a_gap_of_any_width_is_told_at_once(log: AuditLog, engine: Engine) -> None:
    filled(log, 3)
    with writing(engine) as connection:
        connection.execute(update(audit_entries).where(audit_entries.c.seq == 2).values(seq=2**62))
    assert f"entries 2 to {2**62 - 1} are missing" in faults(engine)


def test_checkpoints_of_other_logs_are_told(log: AuditLog, engine: Engine) -> None:
    filled(log, 3)
    other = CheckpointSigner("other", bytes(32)).signed(1, bytes(32), at=AT)
    found = faults(engine, other, "no checkpoint")
    assert [fault.partition(":")[0] for fault in found] == ["checkpoint 1", "checkpoint 2"]
