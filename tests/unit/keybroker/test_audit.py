"""The broker's records: what is told, within bounds, durable before anything leaves, and nothing secret in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ambergate.core.errors import Conflict, ReleaseRefused, Unavailable
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.ports import Change, Decision
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import find_entry, read_entries
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import open_database, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEY = "ae6281b3-e4fe-3db5-82fd-000000000001"
JTI = UUID("2c8b1ba6-5a06-4c43-9a0a-6ec9d3bb5c6f")
SIGNER = CheckpointSigner("keybroker/audit/v1", bytes(32))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "broker.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def log(engine: Engine) -> Iterator[AuditLog]:
    log = AuditLog(engine, SIGNER, now=lambda: AT)
    yield log
    log.close()


@pytest.fixture
def trail(log: AuditLog) -> AuditTrail:
    return AuditTrail(log, lambda: ("asked", "traced"))


def kept(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        assert check_whole(connection, SIGNER.key).intact
        return [json.loads(entry.record) for entry in read_entries(connection, 0, 100)]


def test_a_release_tells_what_went_to_whom_by_which_rules(trail: AuditTrail, engine: Engine) -> None:
    token: dict[str, object] = {"issuer": "https://a", "jti": str(JTI), "isv_svn": 3, "debug": False}
    trail(Decision(at=AT, key_id=KEY, key_version=2, policy_hash=bytes(32), token=token))
    assert kept(engine) == [
        {
            "event": "transfer",
            "at": "2026-11-01T12:00:00+00:00",
            "verdict": "released",
            "key_id": KEY,
            "key_version": 2,
            "policy_hash": "00" * 32,
            "token": token,
            "jti": str(JTI),
            "user": None,
            "request_id": "asked",
            "trace_id": "traced",
        }
    ]
    with reading(engine) as connection:
        assert find_entry(connection, JTI) is not None


def test_a_refusal_tells_every_rule(trail: AuditTrail, engine: Engine) -> None:
    mismatches = [{"rule": "debug", "seen": "True", "wanted": "False"}] * 2
    trail(Decision(at=AT, key_id=KEY, error=ReleaseRefused("no", mismatches=mismatches)))
    (record,) = kept(engine)
    assert (record["verdict"], record["code"], record["message"]) == ("refused", "release-refused", "no")
    assert record["mismatches"] == mismatches


def test_only_a_release_is_found_by_its_token(trail: AuditTrail, engine: Engine) -> None:
    trail(Decision(at=AT, key_id=KEY, token={"jti": str(JTI)}, error=ReleaseRefused("no")))
    with reading(engine) as connection:
        assert find_entry(connection, JTI) is None


@pytest.mark.parametrize("jti", [None, 7, "not-a-uuid", "x" * 5000, ["list"]])
def test_another_issuers_token_ids_need_not_be_uuids(trail: AuditTrail, engine: Engine, jti: object) -> None:
    trail(Decision(at=AT, key_id=KEY, token={"jti": jti}))
    assert kept(engine)[0]["jti"] is None


def test_what_others_chose_is_bounded_and_cannot_forge_a_line(
    trail: AuditTrail, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ambergate.audit")
    token = {"issuer": "x\r\n\u2028\x1b[2J{}", "jti": "j" * 5000, "raw": ["list"]}
    trail(Decision(at=AT, key_id=KEY, token=token, error=ReleaseRefused("y" * 5000)))
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 2000
    assert caplog.records[0].levelname == "WARNING"
    assert len(json.dumps(kept(engine))) < 2000


def test_a_record_that_is_too_long_is_kept_without_its_mismatches(trail: AuditTrail, engine: Engine) -> None:
    long = [{str(n) * 20: "y" * 250 for n in range(40)}] * 64
    trail(Decision(at=AT, key_id=KEY, error=ReleaseRefused("no", mismatches=long)))
    (record,) = kept(engine)
    assert (record["mismatches"], record["shortened"]) == ([], True)


def test_a_change_is_written_down_before_and_after(trail: AuditTrail, engine: Engine) -> None:
    change = Change(what="key.create", subject=KEY, by="alice", at=AT, details={"label": "l" * 1000})
    with trail.change(change):
        (begun,) = kept(engine)
    assert (begun["event"], begun["verdict"], begun["user"]) == ("key.create", "begun", "alice")
    assert len(begun["details"]["label"]) == 256
    assert [record["verdict"] for record in kept(engine)] == ["begun", "done"]


def test_a_change_that_fails_says_so(trail: AuditTrail, engine: Engine) -> None:
    change = Change(what="key.create", subject=KEY, by="alice", at=AT)
    with pytest.raises(Conflict), trail.change(change):
        raise Conflict("there is one", code="taken")
    with pytest.raises(ZeroDivisionError), trail.change(change):
        _ = 1 / 0
    assert [(r["verdict"], r.get("code")) for r in kept(engine)] == [
        ("begun", None),
        ("failed", "taken"),
        ("begun", None),
        ("failed", "internal"),
    ]


def test_nothing_is_changed_or_decided_without_a_log(trail: AuditTrail, log: AuditLog) -> None:
    log.close()
    with pytest.raises(Unavailable) as caught, trail.change(Change(what="key.create", subject=KEY, by="a", at=AT)):
        pytest.fail("this must not be reached")
    assert caught.value.code == "audit-unavailable"
    with pytest.raises(Unavailable):
        trail(Decision(at=AT, key_id=KEY))
