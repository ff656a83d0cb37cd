"""A specimen on the way to becoming a mutant, and what a mutator is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from fuzz.triple import Triple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from fuzz.specimens import Specimen


@dataclass(slots=True, kw_only=True)
class Draft:
    """The parts of a triple, to be changed in place. `text` replaces `members` once the bundle's own JSON is edited."""

    specimen: Specimen
    others: Sequence[Specimen]  # to take parts from
    raw: bytes
    members: dict[str, str]
    at: int
    text: str | None = None
    done: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, specimen: Specimen, others: Sequence[Specimen]) -> Self:
        """The specimen, not yet changed."""
        return cls(
            specimen=specimen,
            others=others,
            raw=specimen.raw,
            members=asdict(specimen.collateral),
            at=specimen.at,
        )

    @property
    def bundle(self) -> str:
        """The bundle's text."""
        return json.dumps(self.members) if self.text is None else self.text

    def triple(self) -> Triple:
        """The case as it stands."""
        return Triple(
            raw=self.raw,
            bundle=self.bundle,
            at=self.at,
            root_der=self.specimen.root_der,
            origin=self.specimen.name,
            mutations=tuple(self.done),
        )


@dataclass(frozen=True, slots=True)
class Mutator:
    """One kind of change. `apply` says what it did, or None where it does not apply."""

    name: str
    weight: int
    apply: Callable[[Random, Draft], str | None]
    signs: bool = False  # only for specimens whose keys are here
