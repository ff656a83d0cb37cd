"""The record that a verification keeps of itself, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ambergate.core.errors import Malformed, NotGenuine
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.verdict import CheckRecord, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ambergate.core.verify.verdict import Dated, Note

A = TypeVar("A")
T = TypeVar("T")


class Trail:
    """Collects a note of every step that held, and makes the error of the one that did not."""

    __slots__ = ("notes",)

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def passed(self, step: str, template: str, *values: object) -> None:
        """Record that a step held, and what was looked at: `template` filled with `values` when somebody reads it."""
        self.notes.append((step, template, values))

    def failed(
        self, step: str, message: str, *, seen: object = None, wanted: object = None, hint: str | None = None
    ) -> NotGenuine:
        """Record that a step did not hold; the caller raises what this returns."""
        detail = (
            message if seen is None else f"{message}: seen {seen}" + ("" if wanted is None else f", wanted {wanted}")
        )
        checks = [*records_of(self.notes), CheckRecord(step, ok=False, detail=detail)]
        known = BY_ID[step]
        return NotGenuine(
            message,
            step=step,
            code=known.code,
            checks=checks,
            seen=seen,
            wanted=wanted,
            hint=hint or known.remedy,
        )

    def read(self, step: str, reader: Callable[[A], T], data: A) -> T:
        """What `reader` makes of `data`; what does not parse fails this step.

        Raises:
            NotGenuine: at `step`, instead of any `Malformed`.
        """
        try:
            return reader(data)
        except Malformed as exc:
            raise self.failed(step, exc.message, seen=exc.seen, wanted=exc.wanted) from exc

    def check_dates(self, dated: Sequence[Dated], at: datetime) -> None:
        """Record each dated fact that holds at `at`.

        Raises:
            NotGenuine: at the step of the first that does not.
        """
        for fact in dated:
            if not fact.window.not_before <= at <= fact.window.not_after:
                word = "is not valid yet" if at < fact.window.not_before else "has expired"
                raise self.failed(
                    fact.step,
                    f"{fact.what} {word}",
                    seen=at.isoformat(),
                    wanted=f"{fact.window.not_before.isoformat()} to {fact.window.not_after.isoformat()}",
                )
            self.passed(fact.step, "{} holds until {}", fact.what, fact.window.not_after)


class Unread(Trail):
    """A trail that keeps no notes: for a verification that accepts without a record, or is made again for one."""

    __slots__ = ()

    def passed(self, step: str, template: str, *values: object) -> None:
        """Nothing: nobody will read it."""
