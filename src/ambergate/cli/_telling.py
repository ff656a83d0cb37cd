"""The clock, exit codes, and how errors are told: what the commands share with the launcher, which has no click."""

from __future__ import annotations

from datetime import UTC, datetime

from ambergate.core.errors import (
    AmberError,
    Malformed,
    NotAuthorised,
    NotGenuine,
    NotIntact,
    NotWelcome,
    ReleaseRefused,
    TokenRejected,
    Unavailable,
)

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_NOT_GENUINE = 4
EXIT_UNREACHABLE = 5

_EXIT_CODES: tuple[tuple[type[AmberError], int], ...] = (
    (NotWelcome, EXIT_REFUSED),
    (ReleaseRefused, EXIT_REFUSED),
    (NotAuthorised, EXIT_REFUSED),
    (TokenRejected, EXIT_REFUSED),
    (NotGenuine, EXIT_NOT_GENUINE),
    (Malformed, EXIT_NOT_GENUINE),
    (NotIntact, EXIT_NOT_GENUINE),
    (Unavailable, EXIT_UNREACHABLE),
)


def now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


def exit_code(error: AmberError) -> int:
    """The exit code that stands for this kind of error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), EXIT_ERROR)


def describe(error: AmberError) -> str:
    """The error for a person: what failed, what was seen, what was wanted, the next step."""
    lines = [f"error: {error.message}"]
    step = getattr(error, "step", None)
    for label, value in (("step", step), ("seen", error.seen), ("wanted", error.wanted)):
        if value is not None:
            lines.append(f"  {label + ':':8}{value}")
    lines.extend(
        f"  {m.get('rule', '')}: seen {m.get('seen', '')}, wanted {m.get('wanted', '')}"
        for m in getattr(error, "mismatches", ())
    )
    lines.extend(describe(problem) for problem in getattr(error, "problems", ()))
    if error.hint:
        lines.append(f"  next:   {error.hint}")
    return "\n".join(lines)
