"""Records of the audit log as services write them: durable before an answer leaves, or there is no answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from ambergate.core.errors import AmberError, Malformed, Unavailable
from ambergate.stores.audit_rows import Draft

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
        request: the caller's id of the request that this task or thread works for, and ours.
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
        whole = self._whole(record)
        try:
            try:
                self._log.append(whole, jti=jti)
            except Malformed:  # too long
                self._log.append({**shortened(whole), "shortened": True}, jti=jti)
        except AmberError as exc:
            raise _unrecorded(exc) from exc

    async def append_soon(
        self,
        record: Mapping[str, object],
        *,
        jti: UUID | None = None,
        shortened: Callable[[Mapping[str, object]], Mapping[str, object]] = dict,
    ) -> None:
        """As `append`, on an event loop. The record holds no numbers but whole ones."""
        whole = self._whole(record)
        try:
            try:
                draft = _written(whole, jti)
            except Malformed:  # too long
                draft = _written({**shortened(whole), "shortened": True}, jti)
            await self._log.append_soon(draft)
        except AmberError as exc:
            raise _unrecorded(exc) from exc

    def _whole(self, record: Mapping[str, object]) -> dict[str, object]:
        request_id, trace_id = self._request()
        return {**record, "request_id": request_id, "trace_id": trace_id}


def _written(record: Mapping[str, object], jti: UUID | None) -> Draft:
    """As `Draft.of`, in a tenth of its time; of numbers that are not whole, writers of JSON have several ideas."""
    try:
        text = msgspec.json.encode(record, order="sorted")
    except UnicodeEncodeError:  # half a character in something that was sent to us: told as an escape
        return Draft.of(record, jti=jti)
    return Draft.written(text.decode(), jti=jti) if text.isascii() else Draft.of(record, jti=jti)


def _unrecorded(error: AmberError) -> Unavailable:
    _log.error("a decision is not recorded: %s", error.as_dict())
    return Unavailable(
        "the decision cannot be recorded", code="audit-unavailable", seen=error.code, hint="see docs/audit.md"
    )


def bounded(mismatches: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """What refused, as far as it fits; a caller chooses some of these values."""
    kept = list(mismatches)[:_MAX_MISMATCHES]
    return [{name[:MAX_TEXT]: value[:MAX_TEXT] for name, value in each.items()} for each in kept]
