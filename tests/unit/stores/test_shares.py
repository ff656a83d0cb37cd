"""A key in shares: enough of them give it, fewer do not, and wrong ones spoil nothing."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import Malformed, SettingsError
from ambergate.stores.shares import Gathering, Share, ShareSet, split

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("Crypto", reason="pycryptodome is not installed")

KEY: Final = bytes(range(32))
SHARED, SHARES = split(KEY, threshold=3, count=5, token_bytes=secrets.token_bytes)


def gathered(*shares: Share) -> bytes | None:
    gathering = Gathering(SHARED)
    found = [gathering.take(share) for share in shares]
    return found[-1]


def test_any_three_of_five_give_the_key_in_any_order() -> None:
    for chosen in itertools.permutations(SHARES, 3):
        assert gathered(*chosen) == KEY


def test_two_of_them_do_not() -> None:
    for chosen in itertools.permutations(SHARES, 2):
        assert gathered(*chosen) is None
    assert gathered(SHARES[0], SHARES[0], SHARES[0]) is None, "one is one, however often it comes"


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 16), (8, 16)])
def test_other_numbers(threshold: int, count: int) -> None:
    shared, shares = split(KEY, threshold=threshold, count=count, token_bytes=secrets.token_bytes)
    gathering = Gathering(shared)
    assert [gathering.take(share) for share in shares[:threshold]] == [None] * (threshold - 1) + [KEY]


@pytest.mark.parametrize(("threshold", "count"), [(1, 5), (6, 5), (0, 0), (2, 17), (3, 2), (9, 16)])
def test_numbers_that_make_no_sense(threshold: int, count: int) -> None:
    with pytest.raises(SettingsError):
        split(KEY, threshold=threshold, count=count, token_bytes=secrets.token_bytes)


def forged(index: int) -> Share:
    return Share(SHARED.id, index, secrets.token_bytes(32))


def test_a_wrong_share_is_refused_when_it_comes_and_spoils_nothing() -> None:
    """However many there are: those that were handed out open it all the same."""
    gathering = Gathering(SHARED)
    for number in range(200):
        wrong = replace(SHARES[3], index=1) if number == 7 else forged(1 + number % 5)
        with pytest.raises(Malformed) as caught:
            gathering.take(wrong)
        assert caught.value.code == "wrong-share"
        assert wrong.value.hex()[:16] not in str(caught.value.as_dict())
        if number in {50, 100}:
            assert gathering.take(SHARES[number // 50]) is None
    assert (gathering.progress, gathering.failures) == (2, 200)
    assert gathering.take(SHARES[4]) == KEY
    assert gathering.progress == 0, "nothing is kept when it is done"


def test_shares_that_do_not_give_the_key_of_their_file() -> None:
    """Somebody put another key's id into it."""
    changed = replace(SHARED, key="00" * 8)
    gathering = Gathering(changed)
    with pytest.raises(SettingsError, match="do not give"):
        [gathering.take(share) for share in SHARES[:3]]
    assert gathering.progress == 0


def test_a_share_of_another_key_is_told_at_once() -> None:
    _, others = split(KEY, threshold=3, count=5, token_bytes=secrets.token_bytes)
    for share in (others[0], replace(SHARES[0], index=6)):
        with pytest.raises(Malformed) as caught:
            Gathering(SHARED).take(share)
        assert caught.value.code == "another-share-set"


def test_a_share_is_text_and_back() -> None:
    for share in SHARES:
        assert Share.parse(f" {share.text}\n") == share
        assert share.value.hex() not in repr(share)


@given(st.integers(0, 100), st.sampled_from("0123456789abcdef"))
def test_a_slip_is_noticed(at: int, digit: str) -> None:
    text = SHARES[0].text
    at %= len(text)
    slipped = text[:at] + digit + text[at + 1 :]
    if slipped != text:
        with pytest.raises(Malformed) as caught:
            Share.parse(slipped)
        assert SHARES[0].value.hex()[:16] not in str(caught.value.as_dict())


@given(st.text(max_size=200))
def test_any_text_is_no_share(text: str) -> None:
    with pytest.raises(Malformed):
        Share.parse(text)


def test_what_is_known_of_a_key_in_shares_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "shares").write_text(SHARED.to_json())
    assert ShareSet.load(tmp_path / "shares") == SHARED
    assert KEY.hex() not in SHARED.to_json()
    assert not any(share.value.hex() in SHARED.to_json() for share in SHARES)


def test_the_same_share_of_two_sets_has_two_fingerprints() -> None:
    """So that a list of such digests is of no use."""
    salted = [split(KEY, threshold=2, count=2, token_bytes=secrets.token_bytes)[0] for _ in range(2)]
    assert salted[0].salt != salted[1].salt


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"id": 7},
        {"count": 17},
        {"count": "5"},
        {"count": True},
        {"threshold": 1},
        {"key": ""},
        {"key": 1},
        {"salt": "00"},
        {"salt": 1},
        {"fingerprints": ()},
        {"fingerprints": ["00" * 32] * 4},
        {"fingerprints": ["x"] * 5},
        {"fingerprints": [7] * 5},
    ],
    ids=range(14),
)
def test_files_that_describe_no_shares(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "shares").write_text(replace(SHARED, **change).to_json())  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        ShareSet.load(tmp_path / "shares")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": "00000000"}', '{"more": 1}', "[" * 1000])
def test_files_of_another_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "shares").write_text(text)
    for file in (tmp_path / "shares", tmp_path / "absent"):
        with pytest.raises(SettingsError):
            ShareSet.load(file)
