"""Any bytes give a value or our malformed error, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.bundle import Collateral
from ambergate.core.collateral.certificates import read_certificate, read_pem_chain
from ambergate.core.collateral.crl import read_crl
from ambergate.core.collateral.needs import needs_of
from ambergate.core.collateral.pck import read_pck_extension
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.signed import split_signed
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import Malformed, MalformedCollateral
from ambergate.core.quote import parse_quote
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("parsers"))
QUOTE = parse_quote(PLATFORM.quote(SPECIMEN, bytes(64)))
COLLATERAL = PLATFORM.collateral(at=AT)
CHAIN = read_pem_chain(QUOTE.certification.data)
EXTENSION = CHAIN[0].sgx_extension or b""
CRL = bytes.fromhex(COLLATERAL.pck_crl)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """The data with a byte changed, or cut, or with something put in."""

    def damage(position: int, value: int, extra: bytes, how: int) -> bytes:
        at = position % len(data)
        return (
            data[:at] + bytes((value,)) + data[at + 1 :],
            data[:at],
            data[:at] + extra + data[at:],
        )[how]

    return st.builds(damage, st.integers(0, 1 << 16), st.integers(0, 255), st.binary(max_size=8), st.integers(0, 2))


@settings(max_examples=200)
@given(st.binary(max_size=400) | damaged(EXTENSION))
def test_sgx_extension(data: bytes) -> None:
    try:
        read_pck_extension(data)
    except MalformedCollateral:
        return


@settings(max_examples=200)
@given(st.binary(max_size=400) | damaged(CHAIN[0].der))
def test_certificate(data: bytes) -> None:
    try:
        read_certificate(data)
    except MalformedCollateral:
        return


@settings(max_examples=100)
@given(st.binary(max_size=400) | damaged(QUOTE.certification.data))
def test_chain(data: bytes) -> None:
    try:
        read_pem_chain(data)
    except MalformedCollateral:
        return


@settings(max_examples=200)
@given(st.text(max_size=100) | damaged(CRL).map(bytes.hex) | st.binary(max_size=200).map(bytes.hex))
def test_crl(text: str) -> None:
    try:
        read_crl(text)
    except MalformedCollateral:
        return


@pytest.mark.parametrize(
    ("read", "text"), [(read_tcb_info, COLLATERAL.tcb_info), (read_qe_identity, COLLATERAL.qe_identity)]
)
@settings(max_examples=150)
@given(data=st.data())
def test_statements(read: object, text: str, data: st.DataObject) -> None:
    """Any member anywhere replaced by any JSON, or removed, or any text at all."""
    assert callable(read)
    document = json.loads(text)
    spot = document
    while isinstance(spot, dict | list) and spot and data.draw(st.booleans()):
        keys = sorted(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            spot[key] = data.draw(json_values)
            break
        spot = spot[key]
    candidate = data.draw(st.sampled_from([json.dumps(document), text[: data.draw(st.integers(0, len(text)))]]))
    try:
        read(candidate)
    except MalformedCollateral:
        return


@given(st.text(max_size=200) | json_values.map(json.dumps))
def test_bundle_and_signed_reply(text: str) -> None:
    for read in (Collateral.from_json, lambda t: split_signed(t, "tcbInfo")):
        with pytest.raises(MalformedCollateral):
            read(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "9" * 5000, '"' + "x" * 2_000_000 + '"'])
def test_bombs(text: str) -> None:
    for read in (
        read_tcb_info,
        read_qe_identity,
        Collateral.from_json,
        lambda t: split_signed('{"tcbInfo":' + t, "tcbInfo"),
    ):
        with pytest.raises(MalformedCollateral):
            read(text)


def test_bundle_round_trip() -> None:
    assert Collateral.from_json(COLLATERAL.to_json()) == COLLATERAL


def test_split_signed_slices_the_exact_text() -> None:
    inner = '{ "a" : [1,  2], "b":"}" }'
    signature = "ab" * 64
    assert split_signed(f'{{"tcbInfo": {inner} ,"signature":"{signature}"}}\n', "tcbInfo") == (inner, signature)


@pytest.mark.parametrize(
    "body",
    [
        '{"tcbInfo":{}}',
        '{"tcbInfo":{},"signature":"12"}',
        '{"tcbInfo":{},"signature":"' + "0" * 128 + '","more":1}',
        '{"other":{},"signature":"' + "0" * 128 + '"}',
        '[{"tcbInfo":{}}]',
    ],
)
def test_split_signed_refuses(body: str) -> None:
    with pytest.raises(MalformedCollateral):
        split_signed(body, "tcbInfo")


def test_needs_come_from_the_quote() -> None:
    needs = needs_of(QUOTE)
    assert (needs.fmspc, needs.ca, needs.tee) == (PLATFORM.fmspc, PLATFORM.ca, "SGX")


def test_order_of_levels_in_the_file_never_matters() -> None:
    document = json.loads(COLLATERAL.tcb_info)
    assert len(document["tcbLevels"]) > 1
    document["tcbLevels"].reverse()
    assert read_tcb_info(json.dumps(document)).levels == read_tcb_info(COLLATERAL.tcb_info).levels


def test_equal_levels_are_refused() -> None:
    document = json.loads(COLLATERAL.tcb_info)
    document["tcbLevels"].append(document["tcbLevels"][0])
    with pytest.raises(MalformedCollateral, match="equal"):
        read_tcb_info(json.dumps(document))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 4), ("version", "3"), ("version", True), ("id", "SGY"), ("issueDate", "2026-02-30T00:00:00Z"),
        ("issueDate", "2026-02-01"), ("nextUpdate", None), ("fmspc", "00"), ("fmspc", "zz0000000000"), ("pceId", "000"),
        ("tcbType", 1), ("tcbEvaluationDataNumber", -1), ("tcbEvaluationDataNumber", 1.5), ("tcbLevels", []),
    ],
)  # fmt: skip
def test_tcb_info_is_strict(member: str, value: object) -> None:
    document = json.loads(COLLATERAL.tcb_info)
    document[member] = value
    with pytest.raises(Malformed):
        read_tcb_info(json.dumps(document))
