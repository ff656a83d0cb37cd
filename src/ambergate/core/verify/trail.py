"""The record that a verification keeps of itself, step by step."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ambergate.core.errors import Malformed, NotGenuine
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.verdict import CheckRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ambergate.core.verify.verdict import Dated


class Trail:
    """Collects a `CheckRecord` for every step that held, and makes the error of the one that did not."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records: list[CheckRecord] = []

    def passed(self, step: str, detail: str) -> None:
        """Record that a step held, and what was looked at."""
        self.records.append(CheckRecord(step, ok=True, detail=detail))

    def failed(
        self, step: str, message: str, *, seen: object = None, wanted: object = None, hint: str | None = None
    ) -> NotGenuine:
        """Record that a step did not hold; the caller raises what this returns."""
        detail = (
            message if seen is None else f"{message}: seen {seen}" + ("" if wanted is None else f", wanted {wanted}")
        )
        self.records.append(CheckRecord(step, ok=False, detail=detail))
        known = BY_ID[step]
        return NotGenuine(
            message,
            step=step,
            code=known.code,
            checks=self.records,
            seen=seen,
            wanted=wanted,
            hint=hint or known.remedy,
        )

    @contextmanager
    def parsing(self, step: str) -> Iterator[None]:
        """What does not parse inside fails this step.

        Raises:
            NotGenuine: at `step`, instead of any `Malformed`.
        """
        try:
            yield
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
            self.passed(fact.step, f"{fact.what} holds until {fact.window.not_after.isoformat()}")
