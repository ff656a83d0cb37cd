"""The audit line: who was given which key, or why not. One JSON object per line in the log `ambergate.audit`."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ambergate.services.keybroker.ports import Decision

_LOG = logging.getLogger("ambergate.audit")
_MAX_TEXT: Final = 256  # characters of any one value; a token's issuer chooses some of them


def log_decision(decision: Decision) -> None:
    """Write the decision as one line of ASCII JSON: whatever a token holds, it cannot forge a second line."""
    line = {
        "event": "key-transfer",
        "at": decision.at.isoformat(),
        "key_id": decision.key_id,
        "outcome": "released" if decision.released else "refused",
        "code": decision.code,
        "rules": list(decision.rules),
        "request_id": decision.request_id,
        "token": None if decision.token is None else {name: _short(part) for name, part in decision.token.items()},
    }
    _LOG.log(logging.INFO if decision.released else logging.WARNING, "%s", json.dumps(line))


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)[:_MAX_TEXT]
