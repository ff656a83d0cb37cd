"""What services write as JSON is what the standard library reads, whatever stands in it."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from ambergate.services.web.json_text import ascii_json_bytes, json_bytes

TEXT = st.text(st.characters(exclude_categories=[]), max_size=6)  # halves of characters too
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(VALUES)
@example({"a": "\ud800", "b": 2**80, "c": "\u00fc"})
def test_what_is_written_is_what_is_read(value: object) -> None:
    for written in (json_bytes(value), ascii_json_bytes(value)):
        assert json.loads(written) == value
    assert ascii_json_bytes(value).isascii()
