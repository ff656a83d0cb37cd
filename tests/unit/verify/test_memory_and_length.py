"""A remembered platform's quotes are held to the bounds that the parser has, and to no narrower ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote import encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING
from ambergate.core.verify import TrustAnchor, Verifier
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("length"))
ANCHOR = TrustAnchor.from_pem(PLATFORM.root_pem)
COLLATERAL = PLATFORM.collateral(at=AT)
QUOTE = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))


def of_size(size: int) -> bytes:
    """The quote with text behind its chain, which no signature covers."""
    data = QUOTE.certification.data
    data += b"\n" * (size - len(encode_quote(QUOTE)))
    return encode_quote(replace(QUOTE, certification=replace(QUOTE.certification, data=data)))


@pytest.mark.parametrize("padding", [0, 1, MAX_TRAILING])
def test_padding_up_to_its_bound(padding: int) -> None:
    verifier = Verifier(anchor=ANCHOR)
    raw = encode_quote(QUOTE)
    assert verifier.verify(raw, COLLATERAL, at=AT).quote == QUOTE
    assert verifier.verify(raw + bytes(padding), COLLATERAL, at=AT).quote.trailing == bytes(padding)
    with pytest.raises(MalformedEvidence, match="too many bytes follow"):
        verifier.verify(raw + bytes(MAX_TRAILING + 1), COLLATERAL, at=AT)


def test_a_quote_with_its_padding_is_no_longer_than_quotes_are() -> None:
    verifier = Verifier(anchor=ANCHOR)
    raw = of_size(MAX_QUOTE - 100)
    for padding in (0, 100):
        assert len(verifier.verify(raw + bytes(padding), COLLATERAL, at=AT).quote.trailing) == padding
    with pytest.raises(MalformedEvidence, match="not that long"):
        verifier.verify(raw + bytes(101), COLLATERAL, at=AT)
