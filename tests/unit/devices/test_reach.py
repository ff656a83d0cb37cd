"""Which programs a preloaded library reaches: told from the file, whatever it is."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from ambergate.devices.reach import why_not_preloaded

DYNAMIC = Path(shutil.which("sh") or "/bin/sh").resolve()
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
ENTRY = struct.Struct("<IIQQQQQQ")
INTERP, LOAD = 3, 1
ACROSS = (1 << 20) - HEADER.size - 2 * ENTRY.size - 5  # the mark lies across the end of a piece that is read


def elf(*kinds: int, tail: bytes = b"", size: int = ENTRY.size, count: int | None = None) -> bytes:
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = HEADER.pack(
        ident, 2, 62, 1, 0, HEADER.size, 0, 0, 64, size, len(kinds) if count is None else count, 0, 0, 0
    )
    return header + b"".join(ENTRY.pack(kind, 0, 0, 0, 0, 0, 0, 0) for kind in kinds) + tail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (elf(LOAD, INTERP), None),
        (elf(LOAD), "linked statically"),
        (elf(LOAD, INTERP, tail=bytes(3 << 20) + b"\xff Go buildinf:" + bytes(100)), "Go program"),
        (elf(LOAD, INTERP, tail=bytes(ACROSS) + b"\xff Go buildinf:"), "Go program"),
        (elf(LOAD, INTERP, size=1), "unusual"),
        (elf(LOAD, count=60_000), "unusual"),
        (elf(LOAD, count=9), "cut off"),
        (b"", "no 64-bit ELF"),
        (b"\x7fELF\x01\x01".ljust(100, b"\0"), "no 64-bit ELF"),
        (f"#! {DYNAMIC} -e\n".encode(), None),
        (b"#!/none/there\n", "cannot be read"),
        (b"#!\n", "no interpreter"),
    ],
)  # fmt: skip
def test_a_program_is_judged_by_its_file(tmp_path: Path, content: bytes, words: str | None) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    found = why_not_preloaded(program)
    assert found is None if words is None else words in (found or "")


def test_a_program_that_changes_its_user_is_not_reached(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(elf(INTERP))
    program.chmod(0o4755)
    if not os.stat(program).st_mode & 0o4000:  # noqa: PTH116
        pytest.skip("this file system keeps no set-uid bits")
    assert "changes its user" in (why_not_preloaded(program) or "")


def test_a_script_of_itself_has_an_end(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{program}\n")
    assert "script of scripts" in (why_not_preloaded(program) or "")
