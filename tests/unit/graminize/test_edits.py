"""An edited text says exactly what was meant, whatever it was; and a masked template comes back as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambergate.graminize.edits import attempted, edited, toml_value
from ambergate.graminize.masking import masked

NAMES = st.sampled_from(["a", "b", "c-d", "e f"])
SCALARS = st.one_of(st.integers(-9, 9), st.booleans(), st.text('ab"\\\n\x7f #é', max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)


def written(document: dict[str, Any], path: str = "", *, headers: bool) -> str:
    """A document as its user may have written it: by full names, or by tables."""
    lines, tables = [], []
    for name, value in document.items():
        key = toml_value(name) if " " in name else name
        if headers and not path and isinstance(value, dict):
            tables.append(f"[{key}] # a table\n{written(value, 'x', headers=False).replace('x.', '', 1)}")
            tables[-1] = f"[{key}] # a table\n" + "".join(
                f"{toml_value(k)} = {toml_value(v)}\n" for k, v in value.items()
            )
        elif isinstance(value, dict) and value and not headers:
            lines.append(written(value, f"{path}{key}.", headers=False))
        else:
            lines.append(f"{path}{key} = {toml_value(value)} # a value\n")
    return "".join([*lines, *tables])


@settings(max_examples=60)
@given(DOCUMENTS, DOCUMENTS, st.booleans())
def test_it_says_what_was_meant(before: dict[str, Any], after: dict[str, Any], headers: bool) -> None:  # noqa: FBT001
    text = written(before, headers=headers)
    assert tomllib.loads(text) == before
    assert tomllib.loads(edited(text, before, after).text) == after
    assert edited(text, before, before).text == text


@given(SCALARS)
def test_values(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


def test_the_trap_of_the_editor() -> None:
    """New tables below keys with dots in them: the known way to lose what follows."""
    text = 'loader.entrypoint = "a"\nlibos.entrypoint = "b"\n'
    before = tomllib.loads(text)
    after = {"loader": {"entrypoint": "a", "env": {"A": "1"}}, "libos": {"entrypoint": "b"}}
    result = edited(text, before, after)
    assert result.kept
    assert result.text == f'{text}loader.env.A = "1"\n'


def test_new_keys_come_before_headers_with_their_comments() -> None:
    text = "a.b = 1\n\n# about c\n[[c]]\nx = 1\n"
    after = {"a": {"b": 1, "n": {"m": [1]}}, "c": [{"x": 1}], "d": {"e": True}}
    result = edited(text, tomllib.loads(text), after)
    assert result.kept
    assert result.text.index("d.e = true") < result.text.index("# about c\n[[c]]")


def test_what_the_editor_wrote_is_not_believed() -> None:
    text = "a = 1\n"
    assert attempted(text, {"a": 1}, {"a": 2}, says=lambda _text: False) is None
    assert attempted("a = ", {}, {"a": 2}, says=lambda _text: True) is None


@pytest.mark.parametrize(
    "template",
    [
        'a = "{{ x }}"\n',
        "a = {{ x }} # why\n",
        "a = {% if x %}1{% else %}2{% endif %}\n",
        "a = [\n  {% for x in y %}\n  '{{ x }}', # each\n  {% endfor %}\n]\n",
        "{# over\nlines #}\n  {% set a = '}' %}{{ x }}  \nb = 1\n",
        "a = 1\n",
    ],
)
def test_masks(template: str) -> None:
    """TOML behind the marks, and the same text when they are taken off."""
    mask = masked(template)
    assert mask is not None
    tomllib.loads(mask.text)
    assert mask.unmasked(mask.text) == template


def test_marks_that_are_not_ours() -> None:
    assert masked("a = '\ue000'") is None
    mask = masked("a = '{{ x }}'")
    assert mask is not None
    for wrong in (mask.text * 2, mask.text.replace("0", "7")):
        with pytest.raises(ValueError, match="marks"):
            mask.unmasked(wrong)
    assert mask.unmasked("b = 1") == "b = 1"


@settings(max_examples=100)
@given(st.text("{%#} \nab='\"[],.", max_size=40))
def test_any_text_comes_back(template: str) -> None:
    mask = masked(template)
    assert mask is not None
    assert mask.unmasked(mask.text) == template
