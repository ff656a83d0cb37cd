"""What many platforms have in common is kept once, and in bounded number."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.errors import NotGenuine
from ambergate.core.quote import parse_quote
from ambergate.core.quote.codec import encode_quote
from ambergate.core.verify import TrustAnchor, Verifier, memo, verify_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("kinds"))
FAMILY = [PLATFORM, *(PLATFORM.sibling(at=AT, random=stream(f"kinds {number}")) for number in range(3))]
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)


@pytest.mark.parametrize("most", [0, 1, 2, 4096])
def test_however_few_kinds_are_kept_each_platform_is_told_apart(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MAX_KINDS", most)
    verifier = Verifier(anchor=ANCHOR)
    for _ in range(2):  # proven, then remembered
        for platform in FAMILY:
            raw = platform.quote(SPECIMEN, bytes(64))
            fresh = verify_quote(parse_quote(raw), COLLATERAL, at=AT, anchor=ANCHOR)
            told = verifier.verify(raw, COLLATERAL, at=AT)
            assert (told.platform, told.tcb, told.dates) == (fresh.platform, fresh.tcb, fresh.dates)


def test_kinds_are_judged_once_and_kept_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(anchor=ANCHOR)
    first, second = (verifier.verify(each.quote(SPECIMEN, bytes(64)), COLLATERAL, at=AT) for each in FAMILY[:2])
    assert first.tcb is second.tcb
    assert first.platform != second.platform
    (known,) = verifier._known._values.values()
    (judged,) = known.kinds.values()
    monkeypatch.setattr(memo, "MAX_KINDS", 5)
    known.kinds.clear()
    known.kinds.update(dict.fromkeys(range(6), judged))
    verifier.verify(FAMILY[2].quote(SPECIMEN, bytes(64)), COLLATERAL, at=AT)
    assert len(known.kinds) == 1


@pytest.mark.parametrize("forged", ["qe_report", "qe_report_signature", "signature", "attestation_key"])
def test_of_a_kind_that_was_judged_before_all_signatures_are_looked_at(forged: str) -> None:
    verifier = Verifier(anchor=ANCHOR)
    verifier.verify(FAMILY[0].quote(SPECIMEN, bytes(64)), COLLATERAL, at=AT)
    quote, other = (parse_quote(each.quote(SPECIMEN, bytes(64))) for each in FAMILY[1:3])
    raw = encode_quote(replace(quote, **{forged: getattr(other, forged)}))
    with pytest.raises(NotGenuine):
        verifier.verify(raw, COLLATERAL, at=AT)


def test_what_a_remembered_verdict_is_asked_for_is_made_once() -> None:
    verifier = Verifier(anchor=ANCHOR)
    raw = PLATFORM.quote(SPECIMEN, bytes(64))
    verifier.verify(raw, COLLATERAL, at=AT)
    told = verifier.verify(raw, COLLATERAL, at=AT)
    assert told.quote is told.quote
    assert told.notes is told.notes
    assert told.dates is told.dates
    with pytest.raises(AttributeError):
        _ = told.nothing  # type: ignore[attr-defined]
