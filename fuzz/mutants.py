"""Mutants: a specimen, and one to three changes of it, drawn by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz.draft import Draft
from fuzz.mutators import collateral, quote_bytes, quote_parts, signed, times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from fuzz.draft import Mutator
    from fuzz.specimens import Specimen
    from fuzz.triple import Triple

MUTATORS: Final[tuple[Mutator, ...]] = (
    *quote_bytes.MUTATORS,
    *quote_parts.MUTATORS,
    *collateral.MUTATORS,
    *times.MUTATORS,
    *signed.MUTATORS,
)
# How many changes a mutant gets: one mostly, so that what it is refused for is what was changed; none now and then.
_CHANGES: Final = (0,) + (1,) * 14 + (2,) * 4 + (3,)


def mutant(rng: Random, specimen: Specimen, others: Sequence[Specimen]) -> Triple:
    """One mutant of the specimen; parts of `others` may come into it."""
    draft = Draft.of(specimen, others)
    usable = [mutator for mutator in MUTATORS if specimen.maker is not None or not mutator.signs]
    weights = [mutator.weight for mutator in usable]
    chosen = rng.choices(usable, weights, k=rng.choice(_CHANGES))
    # What is signed again is made from the specimen: it goes first, or it would undo the others.
    for mutator in sorted(chosen, key=lambda each: not each.signs):
        told = mutator.apply(rng, draft)
        if told is not None:
            draft.done.append(f"{mutator.name}: {told}")
    return draft.triple()
