"""The audit line: one line whatever the token says, and nothing secret in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ambergate.services.keybroker.audit import log_decision
from ambergate.services.keybroker.ports import Decision

if TYPE_CHECKING:
    import pytest

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_release_is_one_line_of_json(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="ambergate.audit")
    log_decision(
        Decision(
            at=AT,
            key_id="ae6281b3-e4fe-3db5-82fd-000000000001",
            request_id="r1",
            released=True,
            code="released",
            token={"issuer": "https://a", "isv_svn": 3, "debug": False, "mr_enclave": "5a" * 32},
        )
    )
    assert json.loads(caplog.messages[0]) == {
        "event": "key-transfer",
        "at": "2026-11-01T12:00:00+00:00",
        "key_id": "ae6281b3-e4fe-3db5-82fd-000000000001",
        "outcome": "released",
        "code": "released",
        "rules": [],
        "request_id": "r1",
        "token": {"issuer": "https://a", "isv_svn": 3, "debug": False, "mr_enclave": "5a" * 32},
    }
    assert caplog.records[0].levelname == "INFO"


def test_a_token_cannot_forge_a_second_line(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks and control characters are escaped, long values cut."""
    log_decision(
        Decision(
            at=AT,
            key_id="k",
            request_id=None,
            released=False,
            code="release-refused",
            rules=("debug",),
            token={"issuer": "x\r\n\u2028\x1b[2J{}", "jti": "j" * 5000, "raw": ["list"]},
        )
    )
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 1000
    assert caplog.records[0].levelname == "WARNING"
