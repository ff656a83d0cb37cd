"""A record says what was decided, within bounds, whatever there was to say."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import select

from ambergate.core.appraise.named import Policy, PolicyKind, PolicyLanguage, PolicyOutcome
from ambergate.core.errors import (
    AmberError,
    Malformed,
    MalformedCollateral,
    NotGenuine,
    NotWelcome,
    SettingsError,
    TooLarge,
    Unavailable,
)
from ambergate.services.attestation.audit import AuditTrail, record_of
from ambergate.services.attestation.decision import Decision, is_refusal
from ambergate.stores.audit import AuditLog
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import reading
from ambergate.stores.tables import audit_entries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sqlalchemy import Engine

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)
POLICY = Policy(
    id=UUID(int=7),
    version=3,
    name="a-policy",
    kind=PolicyKind.APPRAISAL,
    language=PolicyLanguage.REGO,
    text="default matches_sgx_policy = false",
)


def decision(**more: Any) -> Decision:  # noqa: ANN401  any of its members
    return Decision(at=AT, key_id=UUID(int=1), quote=b"quote", **more)


@pytest.fixture
def log(engine: Engine) -> Iterator[AuditLog]:
    log = AuditLog(engine, CheckpointSigner("attest.example", bytes(32)), now=lambda: AT)
    yield log
    log.close()


def kept(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [json.loads(record) for record in connection.scalars(select(audit_entries.c.record))]


def test_policies_are_told_by_version_and_hash() -> None:
    mismatch = {"rule": "tcb_status", "seen": "OutOfDate", "wanted": "UpToDate"}
    outcomes = [
        PolicyOutcome(policy=POLICY, matched=True),
        PolicyOutcome(policy=POLICY, matched=False, mismatches=(mismatch,)),
    ]
    told = {"id": str(UUID(int=7)), "version": 3, "hash": POLICY.hash.hex()}
    assert record_of(decision(policies=outcomes))["policies"] == [
        {**told, "matched": True, "mismatches": []},
        {**told, "matched": False, "mismatches": [mismatch]},
    ]


def test_what_others_chose_is_bounded() -> None:
    mismatches = [{"rule": "r", "seen": "x" * 5000}] * 100
    record = record_of(decision(error=NotWelcome("y" * 5000, mismatches=mismatches)))
    told = record["mismatches"]
    assert isinstance(told, list)
    assert (len(told), len(told[0]["seen"]), len(str(record["message"]))) == (64, 256, 256)


def keep(trail: AuditTrail, decided: Decision) -> None:
    asyncio.run(trail.record(decided))


def test_a_decision_that_has_too_much_to_say_is_kept_all_the_same(engine: Engine, log: AuditLog) -> None:
    """Ten policies with all that they may say: longer than an entry can be. Else there would be no answer, ever."""
    said = tuple({"rule": "r" * 256, "seen": "\u00fc" * 256, "wanted": "w" * 256} for _ in range(64))
    outcomes = [PolicyOutcome(policy=POLICY, matched=False, mismatches=said)] * 10
    refusal = NotWelcome("no", mismatches=said)
    keep(AuditTrail(log, lambda: ("request", "trace")), decision(policies=outcomes, error=refusal))
    (record,) = kept(engine)
    assert (record["verdict"], record["shortened"], record["mismatches"]) == ("refused", True, [])
    assert [(each["hash"], each["mismatches"]) for each in record["policies"]] == [(POLICY.hash.hex(), [])] * 10
    assert (record["request_id"], record["trace_id"]) == ("request", "trace")


def test_a_refused_decision_names_no_token(engine: Engine, log: AuditLog) -> None:
    """A token that became too long has an id already."""
    trail = AuditTrail(log, lambda: (None, None))
    keep(trail, decision(token_id=UUID(int=5), error=TooLarge("too long")))
    keep(trail, decision(token_id=UUID(int=6)))
    assert [record["jti"] for record in kept(engine)] == [None, str(UUID(int=6))]
    assert log.find(UUID(int=5)) is None
    assert log.find(UUID(int=6)) is not None


def test_what_cannot_be_recorded_is_unavailable(log: AuditLog, caplog: pytest.LogCaptureFixture) -> None:
    log.close()
    with pytest.raises(Unavailable, match="cannot be recorded") as caught:
        keep(AuditTrail(log, lambda: (None, None)), decision())
    assert caught.value.code == "audit-unavailable"
    assert "a decision is not recorded" in caplog.text


@pytest.mark.parametrize(
    ("error", "decided"),
    [
        (NotGenuine("no", step="1.1.quote_format"), True),
        (NotWelcome("no"), True),
        (Malformed("no"), True),
        (TooLarge("no"), True),
        (MalformedCollateral("no"), False),
        (Unavailable("no"), False),
        (SettingsError("no"), False),
    ],
)
def test_what_we_lack_ourselves_is_no_decision(error: AmberError, decided: bool) -> None:  # noqa: FBT001
    assert is_refusal(error) is decided
