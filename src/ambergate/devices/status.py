"""The text of `/dev/amber/status`: one line for every reader, then details for people and tools.

    [ERROR] Token retrieval failed with error: the certificate of ... is not trusted
    time: 2026-01-02T03:04:05+00:00
    step: nonce
    hint: ...

Never a key, a token or a secret: it is made of the errors' messages, which hold none, and of `Attempt`s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError, NotAuthorised, Refusal, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MAX_LINE: Final = 1000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The outcome of the last attempt.

    Attributes:
        ok: whether it succeeded.
        message: the first line, without its mark.
        details: the lines after it.
    """

    ok: bool
    message: str
    details: Mapping[str, str]

    def text(self) -> str:
        """The file's content."""
        first = f"[{'INFO' if self.ok else 'ERROR'}] {self.message}"
        return "".join(
            f"{_line(text)}\n" for text in (first, *(f"{name}: {value}" for name, value in self.details.items()))
        )


def succeeded(message: str, notes: Mapping[str, str], *, at: datetime) -> Status:
    """The status after a success."""
    return Status(ok=True, message=message, details={"time": at.isoformat(timespec="seconds"), **notes})


def failed(message: str, error: AmberError, notes: Mapping[str, str], *, at: datetime) -> Status:
    """The status after a failure: what was being done, what was seen and wanted, what to do next."""
    details = {"time": at.isoformat(timespec="seconds"), **notes, "code": error.code}
    parts = {
        "verification_step": getattr(error, "step", None),
        "seen": error.seen,
        "wanted": error.wanted,
        **{f"rule {m.get('rule', '?')}": f"seen {m.get('seen')}, wanted {m.get('wanted')}" for m in _mismatches(error)},
        "hint": error.hint,
    }
    details.update({name: part for name, part in parts.items() if part})
    return Status(ok=False, message=f"{message}: {error.message}", details=details)


def token_failed(error: AmberError, notes: Mapping[str, str], *, at: datetime) -> Status:
    """The status after a token could not be had."""
    return failed("Token retrieval failed with error", error, notes, at=at)


def secret_failed(error: AmberError, notes: Mapping[str, str], *, at: datetime) -> Status:
    """The status after a secret could not be had: rejected, when somebody decided so."""
    rejected = isinstance(error, NotAuthorised | Refusal | TokenRejected)
    return failed("provision rejected" if rejected else "provision failed", error, notes, at=at)


def _mismatches(error: AmberError) -> tuple[dict[str, str], ...]:
    return error.mismatches if isinstance(error, Refusal) else ()


def _line(text: str) -> str:
    """One line, whatever the text: nothing that came over a wire may look like another line."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text[:_MAX_LINE]
