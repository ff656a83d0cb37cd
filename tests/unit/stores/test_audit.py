"""The log is durable, whole after anything, shared without forks, and every change of it is found."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, event, insert, select, update

from ambergate.core.errors import Malformed, NotIntact, Unavailable
from ambergate.stores.audit import PIN_EVERY, AuditLog, read_pin
from ambergate.stores.audit_check import MAX_FAULTS, check_whole
from ambergate.stores.audit_rows import MAX_RECORD
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import open_database, reading, writing
from ambergate.stores.merkle import inclusion_holds, leaf_hash
from ambergate.stores.tables import audit_entries, audit_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
SIGNER = CheckpointSigner("attest.example/audit/v1", bytes(range(32)))


ROOTLESS = SIGNER.signed(0, b"", at=AT)


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(engine: Engine, clock: Clock, tmp_path: Path) -> Iterator[AuditLog]:
    log = AuditLog(engine, SIGNER, now=clock, pin=tmp_path / "pin")
    yield log
    log.close()


def reopened(engine: Engine, pin: Path | None = None, signer: CheckpointSigner = SIGNER) -> AuditLog:
    return AuditLog(engine, signer, now=Clock(), pin=pin)


def faults(engine: Engine, *checkpoints: str) -> list[str]:
    with reading(engine) as connection:
        return check_whole(connection, SIGNER.key, checkpoints).faults


def filled(log: AuditLog, count: int) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda jti: log.append({"verdict": "issued", "jti": str(jti)}, jti=jti), ids))
    return ids


def test_places_are_given_in_order_and_records_are_canonical(log: AuditLog, engine: Engine) -> None:
    assert [log.append({"b": 1, "a": "é\n", "c": None}) for _ in range(3)] == [0, 1, 2]
    with reading(engine) as connection:
        records = connection.scalars(select(audit_entries.c.record)).all()
    assert records == ['{"a":"\\u00e9\\n","b":1,"c":null}'] * 3
    assert faults(engine) == []


def test_each_token_has_its_proof(log: AuditLog, engine: Engine) -> None:
    ids = filled(log, 150)
    note = log.checkpoint()
    stated = SIGNER.key.opened(note)
    assert stated.size == 150
    for jti in random.Random(1).sample(ids, 30):
        entry = log.find(jti)
        assert entry is not None
        proof = log.prove(entry)
        assert (proof.checkpoint, json.loads(proof.record)["jti"]) == (note, str(jti))
        leaf = leaf_hash(proof.record.encode())
        assert inclusion_holds(leaf, proof.seq, stated.size, proof.hashes, stated.root)
    assert log.find(uuid4()) is None
    assert faults(engine, note) == []


def test_every_size_proves_and_verifies(log: AuditLog, engine: Engine) -> None:
    notes = []
    for size in range(1, 34):
        jti = uuid4()
        log.append({"n": size}, jti=jti)
        entry = log.find(jti)
        assert entry is not None
        proof = log.prove(entry)
        stated = SIGNER.key.opened(proof.checkpoint)
        assert inclusion_holds(leaf_hash(proof.record.encode()), proof.seq, size, proof.hashes, stated.root)
        notes.append(proof.checkpoint)
    assert faults(engine, *notes) == []


def test_a_restart_goes_on_where_it_was(log: AuditLog, engine: Engine, tmp_path: Path) -> None:
    filled(log, 21)
    log.close()
    again = reopened(engine, tmp_path / "pin")
    assert again.append({"n": 22}) == 21
    again.close()
    assert faults(engine) == []


def test_a_record_is_durable_when_its_caller_returns(log: AuditLog, place: Path | str) -> None:
    """Another connection of another engine sees it: it was committed, and commits are waited for (test_engine)."""
    seq = log.append({"n": 1})
    other = open_database(place)
    with reading(other) as connection:
        assert connection.scalar(select(audit_entries.c.record).where(audit_entries.c.seq == seq)) == '{"n":1}'
    other.dispose()


def test_a_database_that_fails_fails_the_caller_and_nothing_else(log: AuditLog, engine: Engine) -> None:
    log.append({"n": 0})

    def fail(*arguments: object) -> None:
        if "INSERT INTO audit_entries" in str(arguments[2]):
            raise Unavailable("disk full")

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(Unavailable):
        log.append({"n": 1})
    event.remove(engine, "before_cursor_execute", fail)
    assert log.append({"n": 2}) == 1
    assert faults(engine) == []


def test_a_commit_whose_answer_was_lost_is_taken_up(log: AuditLog, engine: Engine) -> None:
    """It is durable although its caller was told otherwise; the log goes on behind it."""
    log.append({"n": 0})
    before = log._head
    log.append({"n": 1})
    log._head = before  # as if the answer to the commit had not come
    assert log.append({"n": 2}) == 2
    assert faults(engine) == []


def test_two_nodes_append_to_one_log(place: Path | str, engine: Engine, tmp_path: Path) -> None:
    """Each with its own connections, committer and pin; interleaved, without forks or gaps."""
    other_engine = open_database(place)
    nodes = [reopened(engine, tmp_path / "pin-a"), reopened(other_engine, tmp_path / "pin-b")]

    def write(index: int) -> list[int]:
        return [nodes[index % 2].append({"by": index, "n": n}) for n in range(12)]

    with ThreadPoolExecutor(6) as pool:
        places = [seq for written in pool.map(write, range(6)) for seq in written]
    assert sorted(places) == list(range(72))
    for node in nodes:
        node.close()
    pins = [(tmp_path / name).read_text() for name in ("pin-a", "pin-b")]
    other_engine.dispose()
    assert faults(engine, *pins) == []


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": object()}, {"x": "y" * MAX_RECORD}])
def test_records_that_cannot_be_kept(log: AuditLog, record: dict[str, object]) -> None:
    with pytest.raises(Malformed, match="audit record"):
        log.append(record)


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


def test_the_pin_follows_at_times_and_at_the_end(log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    assert SIGNER.key.opened(read_pin(pin) or "").size == 0
    filled(log, 4)
    assert SIGNER.key.opened(read_pin(pin) or "").size == 0, "not at every commit: that would be a second write to disk"
    clock.at += PIN_EVERY
    log._pin_when_due()
    assert SIGNER.key.opened(read_pin(pin) or "").size == 4
    filled(log, 2)
    log.close()
    assert SIGNER.key.opened(read_pin(pin) or "").size == 6
    assert [file.name for file in tmp_path.iterdir() if "pin" in file.name] == ["pin"]


def test_a_pin_that_cannot_be_written_is_told_and_stops_nothing(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = reopened(engine, tmp_path / "no folder" / "pin")
    assert log.append({"n": 1}) == 0
    log.close()
    assert "the checkpoint cannot be written" in caplog.text


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", Malformed),
        (b"\xff", NotIntact),
        (ROOTLESS.encode(), Malformed),
    ],
)
def test_a_pin_that_is_none_stops_the_start(
    engine: Engine, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    reopened(engine).close()
    (tmp_path / "pin").write_bytes(content)
    with pytest.raises(error):
        reopened(engine, tmp_path / "pin")


def test_a_start_without_its_pin_is_told(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = reopened(engine)
    first.append({"n": 1})
    first.close()
    reopened(engine, tmp_path / "pin").close()
    assert "no checkpoint at" in caplog.text
    assert SIGNER.key.opened((tmp_path / "pin").read_text()).size == 1


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


def test_progress_is_told(log: AuditLog, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambergate.stores.audit_check._PROGRESS_EVERY", 10)
    filled(log, 25)
    told: list[int] = []
    with reading(engine) as connection:
        assert check_whole(connection, SIGNER.key, progress=told.append).intact
    assert told == [10, 20]


def test_a_clock_that_went_back_still_pins(log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    filled(log, 1)
    clock.at -= timedelta(days=1)
    log._pin_when_due()
    assert SIGNER.key.opened((tmp_path / "pin").read_text()).size == 1
