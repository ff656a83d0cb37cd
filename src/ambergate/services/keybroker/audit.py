"""The broker's audit trail: each release, refusal and change is a record, durable before its answer leaves.

A record tells who had which key on whose word, or why not. Never a key, a token, a password or a secret. The names are
a promise: `amber audit export` gives them to others (docs/audit.md). Decisions are also a line of the log
`ambergate.audit`.

    of a release or refusal: at, event "transfer", verdict ("released" or "refused"), key_id, key_version, policy_hash,
        token, jti, user; of a refusal also code, message, mismatches
    of a change: at, event, verdict ("begun", then "done" or "failed"), subject, user, details; of a failure also code
    of both: request_id, trace_id; `shortened` where something is left out
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ambergate.core.errors import AmberError, Refusal
from ambergate.services.web.records import MAX_TEXT, Recorder, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ambergate.services.keybroker.ports import Change, Decision
    from ambergate.stores.audit import AuditLog

TRANSFER: Final = "transfer"
_log = logging.getLogger("ambergate.audit")


class AuditTrail:
    """Writes to the log. Fits `ports.Audit` and `ports.Journal`. Safe to use from several threads.

    Args:
        log: where records go.
        request: the caller's id of the request that this thread works for, and ours.
    """

    def __init__(self, log: AuditLog, request: Callable[[], tuple[str | None, str | None]]) -> None:
        self._recorder = Recorder(log, request)

    def __call__(self, decision: Decision) -> None:
        """Returns once the decision is durable.

        Raises:
            Unavailable: it is not known to be; nothing may be released.
        """
        record = record_of(decision)
        jti = record["jti"] if decision.error is None else None
        self._recorder.append(
            record,
            jti=UUID(jti) if isinstance(jti, str) else None,
            shortened=lambda whole: {**whole, "mismatches": []},
        )
        # ASCII, so whatever a token holds, it cannot forge a second line.
        _log.log(logging.INFO if decision.error is None else logging.WARNING, "%s", json.dumps(record))

    @contextlib.contextmanager
    def change(self, change: Change) -> Iterator[None]:
        """For the time of a change: durable as begun before it, as done or failed afterwards.

        A "begun" without an end is what a crash leaves: whether the change was made has to be looked at.

        Raises:
            Unavailable: it is not known to be durable; if before, nothing was changed.
        """
        begun = change_record(change)
        self._recorder.append({**begun, "verdict": "begun"})
        try:
            yield
        except BaseException as error:
            code = error.code if isinstance(error, AmberError) else "internal"
            self._recorder.append({**begun, "verdict": "failed", "code": code})
            raise
        self._recorder.append({**begun, "verdict": "done"})


def record_of(decision: Decision) -> dict[str, object]:
    """The decision as JSON-ready members, each of a bounded length."""
    error = decision.error
    token = None if decision.token is None else {name: _short(value) for name, value in decision.token.items()}
    record: dict[str, object] = {
        "at": decision.at.isoformat(),
        "event": TRANSFER,
        "verdict": "released" if error is None else "refused",
        "key_id": decision.key_id,
        "key_version": decision.key_version,
        "policy_hash": None if decision.policy_hash is None else decision.policy_hash.hex(),
        "token": token,
        "jti": None if token is None else _uuid(token.get("jti")),
        "user": decision.user,
    }
    if error is not None:
        record |= {
            "code": error.code,
            "message": error.message[:MAX_TEXT],
            "mismatches": bounded(error.mismatches if isinstance(error, Refusal) else ()),
        }
    return record


def change_record(change: Change) -> dict[str, object]:
    """The change as JSON-ready members, each of a bounded length."""
    return {
        "at": change.at.isoformat(),
        "event": change.what,
        "subject": change.subject[:MAX_TEXT],
        "user": change.by,
        "details": _bounded_details(change.details),
    }


def _bounded_details(details: Mapping[str, object]) -> dict[str, object]:
    return {name: _short(value) for name, value in details.items()}


def _short(value: object) -> object:
    """A token's issuer and our callers choose some of these."""
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)[:MAX_TEXT]


def _uuid(text: object) -> str | None:
    """The token's id in the one spelling that records are found by; other issuers' ids need not be UUIDs."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None
