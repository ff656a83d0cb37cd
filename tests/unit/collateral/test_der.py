"""The reader of DER: one form for each value, and nothing past the end."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.collateral.written import integer, tlv

from ambergate.core.collateral import der
from ambergate.core.errors import MalformedCollateral


@given(st.integers(0, 255), st.binary(max_size=300), st.binary(max_size=4))
def test_an_element_and_what_follows_it(tag: int, content: bytes, after: bytes) -> None:
    data = tlv(tag, content)
    start = len(data) - len(content)
    assert der.element(data + after) == (tag, start, len(data))
    assert (der.content_of(data + after, 0), der.end_of(data + after, 0)) == (start, len(data))
    if after:
        with pytest.raises(MalformedCollateral):
            der.whole(data + after, tag, "it")
    else:
        assert der.whole(data, tag, "it") == (start, len(data))
        with pytest.raises(MalformedCollateral):
            der.whole(data, tag ^ 1, "it")


@given(st.binary(max_size=3), st.lists(st.binary(max_size=300), max_size=6))
def test_elements_one_behind_the_other(before: bytes, contents: list[bytes]) -> None:
    elements = [tlv(0x30, content) for content in contents]
    data = before + b"".join(elements)
    starts = der.siblings(data + b"\x30\x03", len(before), len(data))
    assert starts[-1] == len(data)
    assert starts[:-1] == [start for _, start, _, _ in der.children(data, len(before), len(data))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x80\x00\x00",  # no definite length
        b"\x30\x84\x00\x00\x00\x00",  # four octets of length
        b"\x30\x82\x01",  # length cut off
        b"\x30\x81\x7f" + bytes(127),  # not the shortest form
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x82\x01\x00" + bytes(255),
    ],
)
def test_what_is_no_element(data: bytes) -> None:
    with pytest.raises(MalformedCollateral):
        der.element(data)


def test_an_element_ends_where_the_one_around_it_does() -> None:
    data = tlv(0x30, tlv(0x04, b"abc"))
    assert der.element(data, 2, 7) == (0x04, 4, 7)
    with pytest.raises(MalformedCollateral):
        der.element(data + bytes(8), 2, 6)
    with pytest.raises(MalformedCollateral):
        list(der.children(data, 2, 6))


@given(st.integers(0, 1 << 300))
@example(0)
@example(127)
@example(128)
@example(255)
@example(256)
def test_numbers(value: int) -> None:
    data = integer(value)
    assert der.encode_integer(value) == data
    start, end = der.whole(data, der.INTEGER, "it")
    assert der.integer(data[start:end]) == value


@pytest.mark.parametrize("content", [b"", b"\x80", b"\xff\xff", b"\x00\x00", b"\x00\x7f"])
def test_what_is_no_number(content: bytes) -> None:
    with pytest.raises(MalformedCollateral, match="integer"):
        der.integer(content)


def test_truth_values() -> None:
    assert der.boolean(b"\xff") is True
    assert der.boolean(b"\x00") is False
    for content in (b"", b"\x01", b"\xff\xff"):
        with pytest.raises(MalformedCollateral, match="boolean"):
            der.boolean(content)


half = st.integers(0, (1 << 256) - 1) | st.sampled_from([0, 1, 0x7F << 248, 0x80 << 248, 0xFF << 240, 0x7F << 240])


@given(half, half)
def test_raw_signatures(r: int, s: int) -> None:
    signature = der.raw_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert signature == encode_dss_signature(r, s)
    assert decode_dss_signature(signature) == (r, s)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_raw_signature_has_64_octets(size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        der.raw_signature(bytes(size))
