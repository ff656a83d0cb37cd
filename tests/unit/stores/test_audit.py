"""The log is durable, whole after anything, shared without forks, and every change of it is found."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import select
from tests.unit.stores.audit_scene import ROOTLESS, SIGNER, Clock, faults, filled, reopened

from ambergate.core.errors import Malformed, NotIntact, Unavailable
from ambergate.stores.audit import PIN_EVERY, AuditLog, read_pin
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import MAX_RECORD
from ambergate.stores.engine import open_database, reading, writing
from ambergate.stores.merkle import inclusion_holds, leaf_hash
from ambergate.stores.tables import audit_entries

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


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

    def rename(name: str, to: str) -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {to}")

    rename("audit_entries", "elsewhere")
    with pytest.raises(Unavailable, match="does not answer"):
        log.append({"n": 1})
    rename("elsewhere", "audit_entries")
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


def test_processes_that_share_a_pin_never_take_it_back(place: Path | str, engine: Engine, tmp_path: Path) -> None:
    """Who wrote before the other did, and pins after it, has seen less of the log."""
    other_engine = open_database(place)
    pin = tmp_path / "pin"
    slow, fast = reopened(engine, pin), reopened(other_engine, pin)
    slow.append({"n": 1})
    fast.append({"n": 2})
    fast.close()
    assert SIGNER.key.opened(read_pin(pin) or "").size == 2
    slow.close()
    assert SIGNER.key.opened(read_pin(pin) or "").size == 2
    other_engine.dispose()


def test_a_log_is_opened_while_others_append(engine: Engine, log: AuditLog) -> None:
    """A command beside a service under load: head and entries are looked at as of one moment."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            log.append({"n": "more"})

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            reopened(engine).close()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
