"""Records of the audit log as services write them: durable before an answer leaves, or there is no answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError, Malformed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

    from ambergate.stores.audit import AuditLog

MAX_TEXT: Final = 256  # characters of any one value that others choose
_MAX_MISMATCHES: Final = 64  # of one decision, and of one policy
_log = logging.getLogger("ambergate.audit")


class Recorder:
    """Appends records to the log, each with the ids of the request that it is about.

    Args:
        log: where they go.
        request: the caller's id of the request that this thread works for, and ours.
    """

    def __init__(self, log: AuditLog, request: Callable[[], tuple[str | None, str | None]]) -> None:
        self._log = log
        self._request = request

    def append(
        self,
        record: Mapping[str, object],
        *,
        jti: UUID | None = None,
        shortened: Callable[[Mapping[str, object]], Mapping[str, object]] = dict,
    ) -> None:
        """Returns once the record is durable.

        Args:
            record: JSON-ready, no secret in it.
            jti: of the token that it is about.
            shortened: makes a shorter record, where there is too much to say.

        Raises:
            Unavailable: it is not known to be durable; nothing may be told of what it is about.
        """
        request_id, trace_id = self._request()
        whole = {**record, "request_id": request_id, "trace_id": trace_id}
        try:
            try:
                self._log.append(whole, jti=jti)
            except Malformed:  # too long
                self._log.append({**shortened(whole), "shortened": True}, jti=jti)
        except AmberError as exc:
            _log.error("a decision is not recorded: %s", exc.as_dict())
            raise Unavailable(
                "the decision cannot be recorded", code="audit-unavailable", seen=exc.code, hint="see docs/audit.md"
            ) from exc


def bounded(mismatches: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """What refused, as far as it fits; a caller chooses some of these values."""
    kept = list(mismatches)[:_MAX_MISMATCHES]
    return [{name[:MAX_TEXT]: value[:MAX_TEXT] for name, value in each.items()} for each in kept]
