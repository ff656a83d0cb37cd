"""Other instants: each window's ends, one second before, right then, one second after; and far away."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fuzz.draft import Mutator

from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.crl import read_crl
from ambergate.core.errors import Malformed
from ambergate.core.quote import parse_quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from fuzz.draft import Draft
    from fuzz.specimens import Specimen

    from ambergate.core.collateral.bundle import Collateral

# The first and last instants that both verifiers can be asked about, and some that programs get wrong.
_FAR: Final = (0, 1, 2**31 - 1, 2**31, 2**32, int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()))


def edge(rng: Random, draft: Draft) -> str | None:
    """An end of one of the windows that the verdict hangs on."""
    edges = edges_of(draft.specimen)
    if not edges:
        return None
    what, instant = rng.choice(edges)
    by = rng.choice((-1, 0, 1))
    draft.at = min(max(0, instant + by), _FAR[-1])
    return f"{what} {by:+}"


def within(rng: Random, draft: Draft) -> str | None:
    """Any instant from a year before to a year after."""
    draft.at = min(max(0, draft.at + rng.randrange(-31_536_000, 31_536_000)), _FAR[-1])
    return "within a year"


def far(rng: Random, draft: Draft) -> str | None:
    """An instant at the edge of what can be counted."""
    draft.at = rng.choice(_FAR)
    return str(draft.at)


@lru_cache(maxsize=512)
def edges_of(specimen: Specimen) -> tuple[tuple[str, int], ...]:
    """Every end of every window of a specimen that parses: what ends, and when."""
    try:
        found = list(_windows(specimen.raw, specimen.collateral))
    except (Malformed, ValueError, KeyError):
        return ()
    return tuple((what, int(instant.timestamp())) for what, pair in found for instant in pair)


def _windows(raw: bytes, collateral: Collateral) -> Iterable[tuple[str, tuple[datetime, datetime]]]:
    for name in ("tcb_info", "qe_identity"):
        members = json.loads(getattr(collateral, name))
        yield name, (_instant(members["issueDate"]), _instant(members["nextUpdate"]))
    for name in ("root_ca_crl", "pck_crl"):
        crl = read_crl(getattr(collateral, name))
        yield name, (crl.this_update, crl.next_update)
    for name in ("tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        for certificate in read_pem_chain(getattr(collateral, name).encode()):
            yield f"{name} {certificate.common_name}", (certificate.not_before, certificate.not_after)
    for certificate in read_pem_chain(parse_quote(raw).certification.data):
        yield f"quote {certificate.common_name}", (certificate.not_before, certificate.not_after)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


MUTATORS: Final = (
    Mutator("time-edge", 10, edge),
    Mutator("time-within", 4, within),
    Mutator("time-far", 1, far),
)
