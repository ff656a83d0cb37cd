"""Requests of the shim: the whole, a beginning, or none; whatever the bytes."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.devices.agent_wire import MAGIC, Request, request_in

REQUEST = MAGIC + (os.O_WRONLY | os.O_CLOEXEC).to_bytes(4, "little") + b"\5token"


def test_only_the_flags_that_count_are_kept() -> None:
    assert request_in(REQUEST) == Request("token", os.O_WRONLY)


@given(st.integers(0, len(REQUEST) - 1))
def test_a_beginning_is_not_yet_a_request(size: int) -> None:
    assert request_in(REQUEST[:size]) is None


@given(st.binary(max_size=300).map(lambda tail: MAGIC + tail) | st.binary(max_size=300))
def test_any_bytes_are_a_request_a_beginning_or_none(received: bytes) -> None:
    try:
        found = request_in(received)
    except ValueError:
        return
    assert found is None or len(received) >= 9


@pytest.mark.parametrize("received", [REQUEST + b"x", b"AMB2", b"x", MAGIC + b"\0" * 6])
def test_what_is_none_is_told_at_once(received: bytes) -> None:
    with pytest.raises(ValueError, match="request"):
        request_in(received)
