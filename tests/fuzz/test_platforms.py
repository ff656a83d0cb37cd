"""Simulated platforms at random: the verifier and dcap-qvl say the same of each, or a choice says why not."""

from __future__ import annotations

from random import Random

from fuzz.case import Case
from fuzz.platforms import draw_specimens
from fuzz.runs import judge
from fuzz.triple import Triple
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VERDICTS = ("both accept", "both refuse", "choice: ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**64 - 1))
def test_components_statuses_modules_and_windows(seed: int) -> None:
    for specimen in draw_specimens(Random(seed)):
        triple = Triple(
            raw=specimen.raw,
            bundle=specimen.collateral.to_json(),
            at=specimen.at,
            root_der=specimen.root_der,
            origin=specimen.name,
            mutations=(),
        )
        case = Case.judged(triple)
        assert judge(case).startswith(VERDICTS), f"seed {seed}: ours {case.ours}, dcap-qvl {case.theirs}"


def test_many_of_them_are_genuine() -> None:
    """A platform that is always refused would show nothing."""
    statuses = set()
    for seed in range(40):
        for each in draw_specimens(Random(seed)):
            bundle = each.collateral.to_json()
            triple = Triple(raw=each.raw, bundle=bundle, at=each.at, root_der=each.root_der, origin="", mutations=())
            statuses.add(Case.judged(triple).ours.status)
    assert len(statuses - {None}) >= 5
