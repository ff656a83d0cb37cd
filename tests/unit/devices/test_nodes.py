"""Each kind of failure has its errno, and `status` tells it without another's line or secret."""

from __future__ import annotations

import errno
from datetime import UTC, datetime

import pytest

from ambergate.core.errors import (
    AmberError,
    Malformed,
    MalformedEvidence,
    NotAuthorised,
    NotGenuine,
    NotWelcome,
    ReleaseRefused,
    SettingsError,
    TimedOut,
    TokenRejected,
    TooLarge,
    Unavailable,
)
from ambergate.devices import status
from ambergate.devices.nodes import FILES, errno_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (SettingsError("x"), errno.EINVAL),
        (NotAuthorised("x"), errno.EACCES),
        (NotGenuine("x", step="1"), errno.EACCES),
        (NotWelcome("x"), errno.EACCES),
        (ReleaseRefused("x"), errno.EACCES),
        (TokenRejected("x"), errno.EACCES),
        (TimedOut("x"), errno.ETIMEDOUT),
        (TooLarge("x"), errno.E2BIG),
        (Unavailable("x", code="connection-refused"), errno.ECONNREFUSED),
        (Unavailable("x", code="host-unreachable"), errno.EHOSTUNREACH),
        (Unavailable("x", code="unknown-host"), errno.EHOSTUNREACH),
        (Unavailable("x", code="no-evidence-source"), errno.ENODEV),
        (Unavailable("x", code="tls-not-trusted"), errno.EIO),
        (Unavailable("x"), errno.EIO),
        (Malformed("x"), errno.EIO),
        (MalformedEvidence("x"), errno.EIO),
        (AmberError("x"), errno.EIO),
    ],
)
def test_every_error_has_its_errno(error: AmberError, number: int) -> None:
    assert errno_of(error) == number


def test_the_twelve_files_and_their_modes() -> None:
    read_only = {"token", "secret", "status", "cacerts"}
    assert len(FILES) == 12
    assert {name for name, mode in FILES.items() if mode == 0o444} == read_only
    assert {mode for name, mode in FILES.items() if name not in read_only} == {0o644}


def test_a_failure_tells_what_was_seen_and_what_to_do() -> None:
    error = NotGenuine("the PCK is revoked", step="2.9", code="pck", seen="serial 1", wanted="none", hint="replace it")
    text = status.token_failed(error, {"step": "attest", "http_status": "400"}, at=NOW).text()
    assert text.splitlines() == [
        "[ERROR] Token retrieval failed with error: the PCK is revoked",
        "time: 2026-01-02T03:04:05+00:00",
        "step: attest",
        "http_status: 400",
        "code: pck",
        "verification_step: 2.9",
        "seen: serial 1",
        "wanted: none",
        "hint: replace it",
    ]


def test_every_rule_that_refused_is_told() -> None:
    mismatches = [{"rule": "mr_enclave", "seen": "aa", "wanted": "bb"}, {"rule": "tcb", "seen": "x", "wanted": "y"}]
    text = status.secret_failed(ReleaseRefused("no", mismatches=mismatches), {}, at=NOW).text()
    assert text.startswith("[ERROR] provision rejected: no\n")
    assert "rule mr_enclave: seen aa, wanted bb\n" in text
    assert "rule tcb: seen x, wanted y\n" in text


def test_a_broker_out_of_reach_rejected_nothing() -> None:
    assert status.secret_failed(Unavailable("no"), {}, at=NOW).text().startswith("[ERROR] provision failed: no\n")


@pytest.mark.parametrize("evil", ["a\n[INFO] renewed", "a\r[INFO]", "a\x1b[2J", "a\u2028[INFO]"])
def test_nothing_from_a_wire_makes_a_line_of_its_own(evil: str) -> None:
    text = status.token_failed(AmberError(evil, seen=evil, hint=evil), {"request_id": evil}, at=NOW).text()
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "[ERROR] Token retrieval failed with error",
        "time",
        "request_id",
        "code",
        "seen",
        "hint",
    ]
    assert text.replace("\n", "").isprintable()
