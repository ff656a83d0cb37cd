"""The service recognises its own nonces, unchanged and in time, and keeps nothing for it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulator.stream import stream

from ambergate.core.errors import Malformed, NotGenuine
from ambergate.services.attestation.nonces import KEY_BYTES, MAX_MEMBER, STEP, Nonce, Nonces

AT = datetime(2026, 3, 1, 23, 59, 59, 900_000, tzinfo=UTC)
MADE = AT.replace(microsecond=0)  # what the nonce itself says
LIFETIME = timedelta(seconds=120)
MEMBERS = ["val", "iat", "signature"]


def service(name: str = "ours") -> Nonces:
    return Nonces(stream(name)(KEY_BYTES), lifetime=LIFETIME, token_bytes=stream(f"{name} nonces"))


def refusal(nonce: Nonce, at: datetime = AT, *, nonces: Nonces | None = None) -> str:
    with pytest.raises(NotGenuine) as caught:
        (nonces or service()).check(nonce, at)
    assert caught.value.step == STEP
    return caught.value.code


def test_a_nonce_is_in_the_form_that_clients_read() -> None:
    """Wire protocol, section 3: `val` is base64 of base64 of 64 bytes, `iat` is base64 of Go's time text."""
    nonce = service().make(AT)
    val = b64decode(nonce.val, validate=True)
    assert len(val) == 88
    assert b64decode(val, validate=True) == stream("ours nonces")(64)
    assert b64decode(nonce.iat, validate=True) == b"2026-03-01 23:59:59 +0000 UTC"
    assert len(val + b64decode(nonce.iat)) <= 256, "the oldest client has no more room"
    assert all(len(getattr(nonce, name)) % 4 == 0 for name in MEMBERS)
    assert nonce.octets == val + b"2026-03-01 23:59:59 +0000 UTC"


def test_the_service_knows_its_own() -> None:
    nonces = service()
    nonce = nonces.make(AT)
    assert nonces.check(nonce, AT) == nonce.octets
    assert nonces.check(nonce, AT) == nonce.octets, "clients may use one twice"
    assert service().check(nonce, AT) == nonce.octets, "after a restart, and on another node"


def test_two_nonces_differ() -> None:
    nonces = service()
    assert nonces.make(AT).val != nonces.make(AT).val


def test_a_nonce_is_said_in_utc() -> None:
    there = AT.astimezone(timezone(timedelta(hours=-7)))
    assert service().make(there) == service().make(AT)
    assert service().check(service().make(AT), there)


def test_how_long_a_nonce_is_good() -> None:
    nonce = service().make(AT)
    for inside in (MADE - timedelta(seconds=1), MADE, MADE + LIFETIME):
        service().check(nonce, inside)
    for outside in (MADE + LIFETIME + timedelta(microseconds=1), MADE + timedelta(days=400)):
        assert refusal(nonce, outside) == "nonce-expired"


def test_a_nonce_from_the_future_is_refused() -> None:
    assert refusal(service().make(AT), MADE - timedelta(seconds=1, microseconds=1)) == "nonce-expired"
    assert refusal(service().make(AT + timedelta(days=1)), AT) == "nonce-expired"


def test_a_nonce_of_another_service_is_refused() -> None:
    assert refusal(service("theirs").make(AT)) == "nonce-unknown"


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_bound(name: str) -> None:
    """One bit anywhere, one byte less or more, or another nonce's member."""
    nonces = service()
    nonce, other = nonces.make(AT), nonces.make(AT + timedelta(seconds=1))
    octets = b64decode(getattr(nonce, name))
    wrong = [
        bytes([octets[0] ^ 1]) + octets[1:],
        octets[:-1] + bytes([octets[-1] ^ 1]),
        octets[:-1],
        octets + b"0",
        b"",
    ]
    for text in (*(b64encode(each).decode() for each in wrong), getattr(other, name)):
        assert refusal(nonce._replace(**{name: text})) == "nonce-unknown"


def test_bytes_do_not_move_between_val_and_iat() -> None:
    """Their concatenation is the same, so it is what a careless MAC would accept."""
    nonce = service().make(AT)
    val, iat = b64decode(nonce.val), b64decode(nonce.iat)
    moved = Nonce(b64encode(val + iat[:1]).decode(), b64encode(iat[1:]).decode(), nonce.signature)
    assert moved.octets == nonce.octets
    assert refusal(moved) == "nonce-unknown"


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("text", ["*", "A", "AA", "AA=", "é", "A" * (MAX_MEMBER + 4), "AAAA\n", "_-AA"])
def test_what_is_not_base64_is_malformed(name: str, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        service().check(service().make(AT)._replace(**{name: text}), AT)
    assert name in str(caught.value)


@settings(max_examples=200)
@given(val=st.text(), iat=st.text(), signature=st.text())
def test_whatever_the_text_only_our_refusals_leave(val: str, iat: str, signature: str) -> None:
    with pytest.raises((Malformed, NotGenuine)):
        service().check(Nonce(val, iat, signature), AT)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_the_key_has_one_size(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Nonces(bytes(size), lifetime=LIFETIME, token_bytes=stream("x"))
