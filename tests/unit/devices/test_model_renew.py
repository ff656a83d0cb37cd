"""What is written to `renew` is done at once, and says how it went."""

from __future__ import annotations

import errno
import os

import pytest
from tests.unit.devices.test_model import NOW, URL, Fetcher, fails_with, first_line, opened, read, write

from ambergate.client.settings import Settings
from ambergate.core.errors import NotGenuine
from ambergate.devices.model import Tree


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher()


@pytest.fixture
def tree(fetcher: Fetcher) -> Tree:
    return Tree(fetcher, Settings().changed("endpoint_url", URL.encode()), now=lambda: NOW)


@pytest.mark.parametrize("word", [b"token", b"TOKEN\n", b"Secret", b"secret\n"])
def test_renew_obeys_at_the_write(tree: Tree, fetcher: Fetcher, word: bytes) -> None:
    with opened(tree, "renew", os.O_WRONLY) as handle:
        assert tree.write(handle, word, 0) == len(word)
        assert len(fetcher.asked) == 1
        tree.flush(handle)
    assert len(fetcher.asked) == 1
    assert read(tree, "renew") == word.strip().lower()


def test_renew_asks_for_a_fresh_token_whatever_may_be_kept(fetcher: Fetcher) -> None:
    settings = Settings().changed("endpoint_url", URL.encode()).changed("token_cache", b"60")
    tree = Tree(fetcher, settings, now=lambda: NOW)
    read(tree, "token")
    write(tree, "renew", b"token")
    assert [asked.token_cache for asked in fetcher.asked] == [60, 0]


def test_renew_understands_a_word_in_pieces(tree: Tree, fetcher: Fetcher) -> None:
    write(tree, "renew", b"to", b"ken", b"\n")
    assert len(fetcher.asked) == 1


@pytest.mark.parametrize("pieces", [(b"tok",), (b"tok\n",), (b"x",), (b"tokens",), (b"\xff",), (b"secre", b"x")])
def test_renew_refuses_an_unknown_word(tree: Tree, fetcher: Fetcher, pieces: tuple[bytes, ...]) -> None:
    with fails_with(errno.EINVAL):
        write(tree, "renew", *pieces)
    assert fetcher.asked == []
    assert first_line(tree) == "[ERROR] renew failed: this word is not known"


def test_renew_fails_as_the_read_would(tree: Tree, fetcher: Fetcher) -> None:
    fetcher.failure = NotGenuine("x", step="1")
    with fails_with(errno.EACCES):
        write(tree, "renew", b"token\n")
    assert read(tree, "renew") == b""
