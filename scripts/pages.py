"""What pages tell people to type, typed: as written but for the ports, in one fresh directory for each page.

A comment before a block says that it is tested, and how it must end:

    <!-- tested -->                          with exit code 0
    <!-- tested, exit 4 -->                  with this one
    <!-- tested, shows "words" -->           and these words are in what it printed
    <!-- tested, until "words" -->           it goes on in the background once it has printed these words
    <!-- tested, in a clone -->              in a fresh clone of the project, by scripts/quick_starts.py alone
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
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 240.0  # for one block, on a machine that is busy with others
PORTS: Final = ("8443", "9443")  # that pages name; others may listen there
_MARKED: Final = re.compile(
    r"<!-- tested(?P<how>[^>]*) -->\n```(?P<language>bash|python)\n(?P<text>.*?)```\n", re.DOTALL
)
# What stays in force in a terminal that stays open.
_KEPT: Final = re.compile(r"^(?:export |\. ).*\n", re.MULTILINE)
_SHELL: Final = ("bash", "--noprofile", "--norc")


class NotAsWritten(AssertionError):
    """A block did not do what its page says."""


@dataclass(frozen=True)
class Block:
    """One block of commands, and how it must end."""

    language: str
    text: str
    exit_code: int
    shows: tuple[str, ...]
    until: str | None
    in_clone: bool

    @property
    def title(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]


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
        in_clone="in a clone" in how,
    )


def run_block(block: Block, folder: Path, *, python: str = sys.executable, seconds: float = SECONDS) -> None:
    """Run it in the foreground, and compare.

    Args:
        block: what to run.
        folder: where.
        python: the interpreter beside which `amber` is.
        seconds: until it must have ended.

    Raises:
        NotAsWritten: it ended in another way, or did not show what the page says.
    """
    command = (
        [*_SHELL, "-euo", "pipefail", "-c", block.text] if block.language == "bash" else [python, "-c", block.text]
    )
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(python),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode != block.exit_code:
        raise NotAsWritten(f"exit code {done.returncode}, not {block.exit_code}:\n{block.text}\n{done.stdout}")
    missing = [words for words in block.shows if words not in done.stdout]
    if missing:
        raise NotAsWritten(f"{missing} is not in what it printed:\n{block.text}\n{done.stdout}")


def run_page(page: str, folder: Path, *, python: str = sys.executable) -> Iterator[Block]:
    """Run a page's blocks in their order, but for those of a clone; each comes out once it has done what the page says.

    What is started in the background ends with the page.
    """
    ports = _free_ports()
    kept = ""
    with contextlib.ExitStack() as background:
        for block in blocks_of(page):
            if block.in_clone:
                continue
            text = block.text
            for named, free in ports.items():
                text = text.replace(named, free)
            if block.until is not None:
                background.enter_context(_running(replace(block, text=text), kept, folder, python))
            else:
                before = kept if block.language == "bash" else ""
                run_block(replace(block, text=before + text), folder, python=python)
                kept += "".join(_KEPT.findall(text)) if block.language == "bash" else ""
            yield block


def _free_ports() -> dict[str, str]:
    with contextlib.ExitStack() as held:
        found = {}
        for port in PORTS:
            listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            found[port] = str(listener.getsockname()[1])
        return found


def _environment(python: str) -> dict[str, str]:
    """A user's own, without settings of theirs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMBER_", "COV_CORE"))}
    return {**kept, "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"}


@contextlib.contextmanager
def _running(block: Block, kept: str, folder: Path, python: str) -> Iterator[None]:
    """The block's command, from the words that it prints when it is ready until the end of the page."""
    process = subprocess.Popen(
        [*_SHELL, "-c", f"{kept}exec {block.text}"],
        cwd=folder,
        env=_environment(python),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(block.until or "", process)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def _wait_for(words: str, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while words.encode() not in said:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                raise NotAsWritten(f"it never said {words!r}:\n{said.decode(errors='replace')}")
            said += piece
