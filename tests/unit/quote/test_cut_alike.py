"""Both ways to cut a quote up cut alike, and the quick one refuses nothing: it leaves that to the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote import encode_quote, parse_quote
from ambergate.core.quote.layout import MAX_TRAILING
from ambergate.core.quote.parts import QuoteParts, cut_any, cut_plain, cut_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("cut alike"))
SGX = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
PLAIN = {
    "SGX 3": encode_quote(SGX),
    "SGX 4": encode_quote(replace(SGX, header=replace(SGX.header, version=4))),
    "TDX 4": PLATFORM.td_quote(TD_SPECIMEN, bytes(64), version=4),
}
DESCRIBED = (
    encode_quote(replace(SGX, header=replace(SGX.header, version=5))),
    PLATFORM.td_quote(TD_SPECIMEN, bytes(64), version=5),
)


def in_full(raw: bytes) -> QuoteParts | None:
    try:
        return cut_any(raw)
    except MalformedEvidence:
        return None


@pytest.mark.parametrize("name", list(PLAIN))
def test_whatever_is_wrong_with_one_octet_both_see(name: str) -> None:
    raw = PLAIN[name] + b"\1"
    assert cut_plain(raw) == cut_any(raw) != cut_plain(raw[:-1])
    for at in range(len(raw)):
        changed = bytearray(raw)
        for mask in (1, 2, 0x80, 0xFF):
            changed[at] = raw[at] ^ mask
            mutant = bytes(changed)
            plain = cut_plain(mutant)
            # A version that became 5 is not plain, and a quote all the same where its descriptor happens to be right.
            assert plain == in_full(mutant) or (plain is None and mutant[0] == 5), (at, mask)


@pytest.mark.parametrize("name", list(PLAIN))
def test_wherever_it_ends_both_see(name: str) -> None:
    raw = PLAIN[name]
    for size in range(len(raw)):
        assert cut_plain(raw[:size]) is None
    for more in (0, 1, MAX_TRAILING, MAX_TRAILING + 1):
        assert cut_plain(raw + bytes(more)) == in_full(raw + bytes(more))


@given(st.sampled_from(list(PLAIN.values())), st.data())
def test_whatever_its_sizes_say_both_see(raw: bytes, data: st.DataObject) -> None:
    """Several octets of several sizes change at once, so that sizes may agree with each other again."""
    ends = 48 + (584 if raw[4] else 384)
    outer = ends + 4 + 128
    inner = outer + (6 if raw[0] > 3 else 0) + 384 + 64
    changed = bytearray(raw + bytes(8))
    for at, width in ((ends, 4), (outer + 2, 4 if raw[0] > 3 else 0), (inner, 2), (inner + 2 + 32 + 2, 4)):
        if width and data.draw(st.booleans()):
            size = int.from_bytes(changed[at : at + width], "little") + data.draw(st.integers(-70, 70))
            changed[at : at + width] = (size % (1 << 8 * width)).to_bytes(width, "little")
    assert cut_plain(bytes(changed)) == in_full(bytes(changed))


def test_a_version_with_a_descriptor_is_left_to_the_other() -> None:
    for raw in DESCRIBED:
        assert cut_plain(raw) is None
        assert cut_quote(raw) == cut_any(raw)
