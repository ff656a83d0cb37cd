"""A named policy is bounded wherever it comes from, and its hash says which words it has."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest

from ambergate.core.appraise.named import MAX_TEXT, Policy, PolicyKind, PolicyLanguage
from ambergate.core.errors import MalformedPolicy


def policy(text: str = "x", *, name: str = "night-shift_1", version: int = 1) -> Policy:
    return Policy(
        id=UUID(int=7),
        version=version,
        name=name,
        kind=PolicyKind("Appraisal policy"),
        language=PolicyLanguage("rego"),
        text=text,
    )


def test_the_hash_is_that_of_the_text() -> None:
    assert policy("söme text").hash == hashlib.sha384("söme text".encode()).digest()
    assert len(policy().hash) == 48


def test_the_longest_text() -> None:
    assert policy("x" * MAX_TEXT).text
    assert policy("é" * (MAX_TEXT // 2)).text


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "é" * (MAX_TEXT // 2 + 1), "\ud800"])
def test_a_text_that_nobody_would_keep(text: str) -> None:
    with pytest.raises(MalformedPolicy):
        policy(text)


@pytest.mark.parametrize("name", ["abc", "A-9", "a" + "_" * 62 + "z"])
def test_names(name: str) -> None:
    assert policy(name=name).name == name


@pytest.mark.parametrize("name", ["", "ab", "-ab", "ab-", "a b", "a" * 65, "ab\n", "äbc", "a/b"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(MalformedPolicy, match="name"):
        policy(name=name)


def test_versions_count_from_one() -> None:
    with pytest.raises(MalformedPolicy, match="from 1"):
        policy(version=0)


def test_the_text_is_not_printed() -> None:
    assert "secret-ish" not in repr(policy("secret-ish"))
