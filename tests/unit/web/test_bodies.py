"""Bodies are read the same way by the shorter reader as by the strict one, or by the latter."""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ambergate.core.errors import Malformed
from ambergate.services.attestation.wire import AttestRequest, CompositeRequest, NonceWire, decode_base64
from ambergate.services.web import bodies
from ambergate.services.web.bodies import decode, parse, shaped

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NONCE = '{"val": "AA==", "iat":"AA==" , "signature": "x"}'
NAMES = ("quote", "policy_ids", "policy_must_match", "verifier_nonce", "nonce", "runtime_data", "quo\\u0074e", "other")
VALUES = (
    '"AA=="',
    '"a:b"',
    '"\\u0041"',
    '"\\ud800"',
    "null",
    "true",
    "1",
    "[]",
    '["x", "y"]',
    '["x:"]',
    "{}",
    NONCE,
    "NaN",
)
MEMBERS = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from(("", " ", "\n")))


def told(read: Callable[[], T]) -> T | str:
    try:
        return read()
    except Malformed as exc:
        return str(exc.seen)


@given(st.lists(MEMBERS, max_size=6), st.sampled_from(("", " ", "x", ",")))
@example([("quote", '"AA=="', ""), ("quote", '"BB=="', "")], "")
@example([("quote", '"AA=="', ""), ("nonce", NONCE.replace('x"', 'x", "val": "y"'), "")], "")
@pytest.mark.parametrize("kind", [AttestRequest, CompositeRequest, NonceWire])
def test_the_shorter_reader_reads_as_the_strict_one(
    kind: type[AttestRequest], members: list[tuple[str, str, str]], tail: str
) -> None:
    body = ("{" + ",".join(f'{gap}"{name}"{gap}:{gap}{value}' for name, value, gap in members) + "}" + tail).encode()
    assert told(lambda: decode(body, kind)) == told(lambda: shaped(parse(body), kind))


@given(st.binary(max_size=40))
@example(b'{"quote":"\xff"}')
@example(b'\xef\xbb\xbf{"quote":"AA"}')
def test_and_whatever_the_bytes(body: bytes) -> None:
    assert told(lambda: decode(body, AttestRequest)) == told(lambda: shaped(parse(body), AttestRequest))


class Defaulted(msgspec.Struct, forbid_unknown_fields=True):
    """As a body of the key broker: members that need not be sent have values."""

    name: str
    kind: str = "plain"
    label: str = ""


@pytest.mark.parametrize("body", [b'{"name":"a","name":"b"}', b'{"name":"a","name":"b","name":"c"}'])
def test_a_member_that_was_not_sent_hides_none_that_was_sent_twice(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body, Defaulted)
    assert decode(b'{"name":"a","label":""}', Defaulted) == Defaulted("a")


def test_what_clients_send_takes_the_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(body: bytes) -> object:
        raise AssertionError(body)

    monkeypatch.setattr(bodies, "parse", never)
    nonce = json.loads(NONCE)
    body = {
        "quote": "AA==",
        "verifier_nonce": nonce,
        "runtime_data": "AA==",
        "policy_ids": ["x"],
        "policy_must_match": True,
    }
    read = decode(json.dumps(body).encode(), AttestRequest)
    assert (read.quote, read.policy_ids, read.policy_must_match) == ("AA==", ["x"], True)


BASE64 = st.text(st.sampled_from("QUJDab01+/-_= \n\x00\u00e9"), max_size=12)


@given(BASE64)
@example("QQ=")
@example("QR==")
@example("QUJD====")
def test_base64_is_as_strict_as_the_standard_librarys(text: str) -> None:
    standard = text.replace("-", "+").replace("_", "/")
    try:
        wanted: bytes | None = binascii.a2b_base64(standard + "=" * (-len(standard) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        wanted = None
    try:
        read: bytes | None = decode_base64(text, "x", limit=100)
    except Malformed:
        read = None
    assert read == (None if "===" in standard else wanted), "that takes four signs for padding behind whole bytes"
