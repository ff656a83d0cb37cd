from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote import encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_QUOTE, MAX_TRAILING
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
RAW = SimulatedPlatform.create(at=AT, random=stream("codec")).quote(SPECIMEN, bytes(64))


def test_inverse() -> None:
    quote = parse_quote(RAW)
    assert encode_quote(quote) == RAW
    assert parse_quote(encode_quote(quote)) == quote


@given(st.binary(max_size=3000))
def test_any_bytes_parse_or_are_malformed(raw: bytes) -> None:
    try:
        quote = parse_quote(raw)
    except MalformedEvidence:
        return
    assert encode_quote(quote) == raw


@settings(max_examples=300)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255), st.integers(0, len(RAW)))
def test_damaged_quotes_parse_exactly_or_are_malformed(position: int, difference: int, keep: int) -> None:
    raw = bytearray(RAW)
    raw[position] ^= difference
    for candidate in (bytes(raw), RAW[:keep]):
        try:
            quote = parse_quote(candidate)
        except MalformedEvidence:
            continue
        assert encode_quote(quote) == candidate


@pytest.mark.parametrize("size", [1, MAX_TRAILING])
def test_padding_of_the_container_is_kept(size: int) -> None:
    quote = parse_quote(RAW + bytes(size))
    assert len(quote.trailing) == size
    assert encode_quote(quote) == RAW + bytes(size)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (RAW + bytes(MAX_TRAILING + 1), "too many bytes follow"),
        (bytes(MAX_QUOTE + 1), "not that long"),
        (RAW[:1000], "ends inside"),
        (b"", "ends inside"),
        (b"\x06\x00" + RAW[2:], "version is not supported"),
        (RAW[:2] + b"\x03\x00" + RAW[4:], "not ECDSA P-256"),
        (RAW[:4] + b"\x81\x00\x00\x00" + RAW[8:], "SGX only"),
        (RAW[:12] + bytes(16) + RAW[28:], "not Intel's"),
        (RAW[:1046] + b"\x09\x00" + RAW[1048:], "certification data type"),
    ],
)
def test_what_is_wrong_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(MalformedEvidence, match=words):
        parse_quote(raw)


def test_slack_inside_the_signature_data_is_refused() -> None:
    """No byte may hide between the certification data and the end of the signature data."""
    size = int.from_bytes(RAW[432:436], "little")
    slack = RAW[:432] + (size + 8).to_bytes(4, "little") + RAW[436:] + bytes(8)
    with pytest.raises(MalformedEvidence, match="belong to nothing"):
        parse_quote(slack)
