"""Any bytes to any parser: a value or our malformed error, within a second of CPU and 64 MiB.

Shapes that are made to cost much, and valid inputs changed in structure (`fuzz.mutators`), not only at random.
"""

from __future__ import annotations

import base64
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from fuzz.judges import quietly
from fuzz.mutators.chains import armour, mutate_chain, mutate_der
from fuzz.mutators.json_text import mutate_json, mutate_spelling
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.collateral.archive import decode_archive
from ambergate.core.collateral.bundle import MAX_BUNDLE, MAX_DOCUMENT, Collateral
from ambergate.core.collateral.certificates import MAX_CERTIFICATE, read_certificate, read_pem_chain
from ambergate.core.collateral.crl import MAX_CRL, read_crl
from ambergate.core.collateral.pck import read_pck_extension
from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.signed import split_signed
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.errors import Malformed
from ambergate.core.quote import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.faults.scene import TD_SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

SECONDS = (
    2.0  # of CPU, ten times what the worst takes on a quiet machine: what grows faster than its input takes minutes
)
BYTES = 64 * 1024 * 1024

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("limits"))
SGX, TDX = PLATFORM.quote(SPECIMEN, bytes(64)), PLATFORM.td_quote(TD_SPECIMEN, bytes(64), version=5, extended=True)
COLLATERAL = PLATFORM.td_collateral(at=AT)
CHAIN = parse_quote(SGX).certification.data
LEAF = read_pem_chain(CHAIN)[0]
CRL = bytes.fromhex(COLLATERAL.pck_crl)
EXTENSION = LEAF.sgx_extension or b""

Reader = Callable[[Any], object]
JSON_READERS: dict[str, Reader] = {
    "TCB info": read_tcb_info,
    "QE identity": read_qe_identity,
    "bundle": Collateral.from_json,
    "archive": lambda text: decode_archive(text.encode("utf-8", "surrogatepass")),
    "signed": lambda text: split_signed(text, "tcbInfo"),
}
BINARY_READERS: dict[str, Reader] = {
    "quote": parse_quote,
    "chain": read_pem_chain,
    "certificate": read_certificate,
    "SGX extension": read_pck_extension,
    "CRL": read_crl,
}


def within_limits(read: Reader, data: object) -> None:
    """Read it; whatever comes of it comes in time and in room."""
    with quietly():
        tracemalloc.start()
        try:
            _read(read, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < BYTES
        assert any(_seconds(read, data) < SECONDS for _ in range(3)), "what others do on the machine costs us time too"


def _seconds(read: Reader, data: object) -> float:
    started = time.thread_time()
    _read(read, data)
    return time.thread_time() - started


def _read(read: Reader, data: object) -> None:
    try:
        read(data)
    except Malformed:
        return


def filled(piece: str, limit: int, *, head: str = "", tail: str = "") -> str:
    """As many pieces as fit into the limit."""
    return head + piece * ((limit - len(head) - len(tail)) // len(piece)) + tail


def json_bombs(limit: int) -> dict[str, str]:
    return {
        "arrays in arrays": "[" * 100_000,
        "closed arrays in arrays": "[" * 900 + "]" * 900,
        "objects in objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
        "a number of many digits": "9" * 5000,
        "numbers of many digits": filled("9" * 4000 + ",", limit, head="[", tail="1]"),
        "an exponent": '{"version":1e999,"a":-1e999,"b":1e-999}',
        "many exponents": filled("1e999,", limit, head="[", tail="1]"),
        "a long string": '"' + "x" * (limit - 2) + '"',
        "a long string of escapes": filled("\\u0041", limit, head='"', tail='"'),
        "surrogates": filled("\\ud800", limit, head='"', tail='"'),
        "no end of a string": filled("\\", limit, head='"'),
        "spaces": " " * limit,
        "too long": "x" * (limit + 1),
    }


@pytest.mark.parametrize("shape", list(json_bombs(100_000)))
@pytest.mark.parametrize("name", list(JSON_READERS))
def test_json_that_costs_much(name: str, shape: str) -> None:
    limit = MAX_BUNDLE if name in ("bundle", "archive") else MAX_DOCUMENT
    text = json_bombs(limit - 100)[shape]
    within_limits(JSON_READERS[name], '{"tcbInfo":' + text if name == "signed" else text)


@pytest.mark.parametrize("name", ["TCB info", "QE identity", "signed"])
@pytest.mark.parametrize("piece", ["[],", '{"a":1},'])
def test_many_small_things_in_a_document(name: str, piece: str) -> None:
    text = filled(piece, MAX_DOCUMENT - 200, head='{"tcbLevels":[', tail="1]}")
    within_limits(JSON_READERS[name], '{"tcbInfo":' + text if name == "signed" else text)


@pytest.mark.parametrize("name", ["bundle", "archive"])
def test_many_small_things_in_a_bundle(name: str) -> None:
    within_limits(JSON_READERS[name], filled("[],", MAX_BUNDLE - 200, head='{"tcb_info":[', tail="1]}"))


def binary_bombs() -> dict[str, bytes]:
    return {
        "empty": b"",
        "zeros": bytes(MAX_CRL),
        "ones": b"\xff" * MAX_CRL,
        "a quote of zeros": SGX[:432] + bytes(MAX_QUOTE - 432),
        "sizes as large as can be": SGX[:432] + b"\xff\xff\xff\xff" + SGX[436:],
        "a huge DER length": b"\x30\x84\xff\xff\xff\xff" + EXTENSION,
        "a DER length of many octets": b"\x30\xfe" + b"\xff" * 200,
        "DER in DER": b"\x30\x80" * 4000,
        "DER in DER, closed": _nested(300),
        "a huge integer": b"\x30\x83\x07\xa1\x24\x02\x83\x07\xa1\x20" + b"\x7f" * 500_000,
        "empty elements": b"\x30\x83\x01\xff\xfe" + b"\x30\x00" * 65_535,
        "many PEM blocks": armour(LEAF.der) * 500,
        "many empty PEM blocks": b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" * 20_000,
        "many beginnings": b"-----BEGIN CERTIFICATE-----" * 20_000,
        "a beginning and no end": b"-----BEGIN CERTIFICATE-----" + b"A" * 500_000,
        "dashes": b"-" * 500_000,
        "a long PEM block": armour(bytes(MAX_CERTIFICATE * 20)),
        "white space in PEM": b"-----BEGIN CERTIFICATE-----" + b" \n" * 250_000 + b"-----END CERTIFICATE-----",
        "a long certificate": LEAF.der + bytes(500_000),
    }


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        size = len(data)
        head = (
            bytes((size,)) if size < 0x80 else b"\x82" + size.to_bytes(2, "big") if size > 0xFF else bytes((0x81, size))
        )
        data = b"\x30" + head + data
    return data


@pytest.mark.parametrize("shape", list(binary_bombs()))
@pytest.mark.parametrize("name", list(BINARY_READERS))
def test_bytes_that_cost_much(name: str, shape: str) -> None:
    within_limits(BINARY_READERS[name], binary_bombs()[shape])


@pytest.mark.parametrize(
    "text",
    [
        filled("ab", 2 * MAX_CRL),
        filled("0 ", 2 * MAX_CRL),
        "-----BEGIN X509 CRL-----\n" * 20_000,
        "-----BEGIN X509 CRL-----\n" + "A" * 1_000_000 + "\n-----END X509 CRL-----\n",
        "-----BEGIN X509 CRL-----\n"
        + base64.b64encode(b"\x30\x84\xff\xff\xff\xff").decode()
        + "\n-----END X509 CRL-----",
        "\ud800" * 100_000,
        "\u0661" * 100_000,
    ],
)
def test_text_that_is_no_crl(text: str) -> None:
    within_limits(read_crl, text)


# --- Valid inputs, changed in structure ---------------------------------------------------------------------------

SEEDS = st.integers(0, 2**64 - 1)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(("TCB info", "QE identity", "bundle", "signed")))
def test_documents_changed_in_structure(seed: int, name: str) -> None:
    rng = Random(seed)
    text = {
        "TCB info": COLLATERAL.tcb_info,
        "QE identity": COLLATERAL.qe_identity,
        "bundle": COLLATERAL.to_json(),
        "signed": f'{{"tcbInfo":{COLLATERAL.tcb_info},"signature":"{COLLATERAL.tcb_info_signature}"}}',
    }[name]
    for _ in range(rng.randrange(1, 4)):
        changed = mutate_json(rng, text) if rng.random() < 0.7 else mutate_spelling(rng, text)
        text = changed[1] if changed else text
    within_limits(JSON_READERS[name], text)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from(("chain", "certificate", "SGX extension", "CRL", "CRL in hex")))
def test_der_and_pem_changed_in_structure(seed: int, name: str) -> None:
    rng = Random(seed)
    if name == "chain":
        changed = mutate_chain(rng, CHAIN, COLLATERAL.tcb_info_issuer_chain.encode())
        within_limits(read_pem_chain, changed[1] if changed else CHAIN)
        return
    data = {"certificate": LEAF.der, "SGX extension": EXTENSION}.get(name, CRL)
    for _ in range(rng.randrange(1, 4)):
        data = mutate_der(rng, data) if data else data
    within_limits(BINARY_READERS[name.removesuffix(" in hex")], data.hex() if name.endswith("hex") else data)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from((SGX, TDX)), st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=6)), max_size=4))
def test_quotes_changed_where_sizes_and_types_stand(raw: bytes, changes: list[tuple[int, bytes]]) -> None:
    for place, octets in changes:
        at = place % len(raw)
        raw = raw[:at] + octets + raw[at + len(octets) :]
    within_limits(parse_quote, raw)
