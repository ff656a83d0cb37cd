"""Ids of tokens are in the order of time, and cannot be guessed from it."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ambergate.services.attestation.token_ids import RANDOM_BYTES, token_id

AT = datetime(2026, 11, 27, 14, tzinfo=UTC)


def test_the_example_of_the_standard() -> None:
    """RFC 9562, A.6."""
    at = datetime.fromtimestamp(0x017F22E279B0 / 1000, UTC)
    drawn = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert token_id(at, lambda size: drawn[:size]) == uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  it has one
    st.integers(1, 10**9),
    st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES),
)
def test_a_later_millisecond_is_a_greater_id(at: datetime, later: int, drawn: bytes) -> None:
    at = min(at, AT)
    first, second = (token_id(each, lambda _: drawn) for each in (at, at + timedelta(milliseconds=later)))
    assert first < second
    assert str(first) < str(second), "as texts too: so the index has them"
    assert (first.version, first.variant) == (7, uuid.RFC_4122)


def test_in_one_instant_no_two_are_alike() -> None:
    assert len({token_id(AT, secrets.token_bytes) for _ in range(1000)}) == 1000
