"""The line of each key in a TOML text, whatever form it is written in."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambergate.graminize.lines import lines_of

TEXT = '''\
# a comment with "quotes and [brackets
loader.entrypoint = "file:x" # and one behind
loader . env . "A b" = { value = "}", more = ["]", { deep = 1 }] }
fs.mounts = [
  { path = "/a", uri = "file:a" }, # one
  # none
  { path = "/b",
    uri = """
file:b ]""" },
]
[sgx]
debug = true
dates = [1979-05-27T07:32:00Z, 1.5e3]

[[sgx.trusted_files]]
uri = 'file:c'
[[sgx.trusted_files]]
uri = "file:d"
  [sgx.trusted_files.more]
  x = [[1, 2], [3]]
'''.replace('{ path = "/b",\n    uri = ', '{ path = "/b", uri = ')


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:  # noqa: ANN401
    """Every key, table and element that a document has."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path} | {each for name, member in inner for each in paths(member, (*path, name))}


def test_every_key_has_its_line() -> None:
    lines = lines_of(TEXT)
    document = tomllib.loads(TEXT)
    assert set(lines) == paths(document) - {()}
    rows = TEXT.splitlines()
    assert lines["loader", "env", "A b"] == 3
    assert rows[lines["fs", "mounts", 1] - 1].lstrip().startswith('{ path = "/b"')
    assert rows[lines["sgx", "trusted_files", 1, "uri"] - 1] == 'uri = "file:d"'
    assert rows[lines["sgx", "dates", 1] - 1].startswith("dates")
    assert rows[lines["sgx", "trusted_files", 1, "more", "x", 1, 0] - 1].strip().startswith("x =")


@pytest.mark.parametrize("text", ["", "# only this", "\n\n", "a = 1", 'a = ""', "a = ''''''"])
def test_small_texts(text: str) -> None:
    assert set(lines_of(text)) == paths(tomllib.loads(text)) - {()}


NAMES = st.text("ab-_09", min_size=1, max_size=3)
VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_the_keys_are_those_that_tomllib_finds(document: dict[str, Any]) -> None:
    tomli_w = pytest.importorskip("tomli_w")
    assert set(lines_of(tomli_w.dumps(document))) == paths(document) - {()}


@settings(max_examples=100)
@given(st.text("ab=[]{}\"'.,#\n\\ ", max_size=40))
def test_no_text_is_too_much(text: str) -> None:
    """Whatever it is: an answer, and no exception; of what tomllib accepts all keys."""
    lines = lines_of(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines) == paths(document) - {()}
