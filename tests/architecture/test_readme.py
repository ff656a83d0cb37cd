"""What README tells people to type is typed here, as written but for the ports and in one fresh directory.

A comment before a block says that it is tested, and how it must end:

    <!-- tested -->                          with exit code 0
    <!-- tested, exit 4 -->                  with this one
    <!-- tested, shows "words" -->           and these words are in what it printed
    <!-- tested, until "words" -->           it goes on in the background once it has printed these words
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROJECT = Path(__file__).resolve().parents[2]
_MARKED = re.compile(r"<!-- tested(?P<how>[^>]*) -->\n```(?P<language>bash|python)\n(?P<text>.*?)```\n", re.DOTALL)
_SECONDS = 60.0
_PORTS = ("8443", "9443")


@dataclass(frozen=True)
class Block:
    """One block of commands, and how it must end."""

    language: str
    text: str
    exit_code: int
    shows: tuple[str, ...]
    until: str | None


def _blocks() -> list[Block]:
    return blocks_of((_PROJECT / "README.md").read_text(encoding="utf-8"))


def blocks_of(page: str) -> list[Block]:
    """The tested blocks of a page, in their order."""
    return [_block(match["how"], match["language"], match["text"]) for match in _MARKED.finditer(page)]


def _block(how: str, language: str, text: str) -> Block:
    exit_code = re.search(r"exit (\d+)", how)
    shows = re.findall(r'shows "([^"]+)"', how)
    until = re.search(r'until "([^"]+)"', how)
    return Block(
        language=language,
        text=text,
        exit_code=int(exit_code[1]) if exit_code else 0,
        shows=tuple(shows),
        until=until[1] if until else None,
    )


def _free_ports() -> dict[str, str]:
    """Others may listen on the ports that the page names."""
    with contextlib.ExitStack() as held:
        found = {}
        for port in _PORTS:
            listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            found[port] = str(listener.getsockname()[1])
        return found


def _environment() -> dict[str, str]:
    """A user's own, without settings of theirs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMBER_", "COV_CORE"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _command(block: Block) -> list[str]:
    shell = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c"]
    return [*shell, block.text] if block.language == "bash" else [sys.executable, "-c", block.text]


def run_block(block: Block, folder: Path) -> None:
    """Run it in the foreground, and compare."""
    done = subprocess.run(
        _command(block),
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == block.exit_code, f"{block.text}\n{done.stdout}"
    missing = [words for words in block.shows if words not in done.stdout]
    assert missing == [], f"{block.text}\n{done.stdout}"


@contextlib.contextmanager
def _running(block: Block, folder: Path) -> Iterator[None]:
    """The block's command, from the words that it prints when it is ready until the end of the page."""
    process = subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-c", f"exec {block.text}"],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(block.until or "", process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=_SECONDS)


def _wait_for(words: str, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + _SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while words.encode() not in said:
            assert selector.select(max(0.0, deadline - time.monotonic())), said.decode()
            piece = os.read(process.stdout.fileno(), 4096)
            assert piece, said.decode()
            said += piece


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    ports = _free_ports()
    exported = ""  # as in a terminal that stays open
    with contextlib.ExitStack() as background:
        for block in _blocks():
            text = block.text
            for named, free in ports.items():
                text = text.replace(named, free)
            if block.until is not None:
                background.enter_context(_running(replace(block, text=text), tmp_path))
                continue
            run_block(replace(block, text=exported + text if block.language == "bash" else text), tmp_path)
            exported += "".join(re.findall(r"^export .*\n", text, re.MULTILINE))


def test_blocks_are_tested_unless_they_run_the_tests() -> None:
    readme = (_PROJECT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|python|console)$.*?^```$", readme, re.MULTILINE | re.DOTALL)
    untested = [block for block in blocks if "make test" not in block]
    assert len(untested) == len(_blocks()) >= 8


@pytest.mark.parametrize("target", ["setup", "demo", "test", "check", "bench", "lock", "clean", "fmt", "site"])
def test_make_lists_its_targets(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=_PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE)
