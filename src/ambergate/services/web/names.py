"""The names of the request that is being served: its sender's and ours, for headers, errors, log and audit alike."""

from __future__ import annotations

from contextvars import ContextVar

_NAMES: ContextVar[tuple[str | None, str | None]] = ContextVar("request_names", default=(None, None))


def name_request(request_id: str | None, trace_id: str) -> None:
    """From here on, in this task and in its threads, that request is served."""
    _NAMES.set((request_id, trace_id))


def request_names() -> tuple[str | None, str | None]:
    """The caller's id and our trace id of the request that is being served here, in its task and its threads."""
    return _NAMES.get()


def told_names() -> dict[str, str]:
    """The same as members of an error's body; a caller that named nothing is told our name alone."""
    request_id, trace_id = _NAMES.get()
    told = {"request_id": request_id, "trace_id": trace_id}
    return {name: value for name, value in told.items() if value is not None}
