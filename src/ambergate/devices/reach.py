"""Whether a preloaded library reaches a program: it must be linked dynamically, and go through libc."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final

MAX_SCRIPTS: Final = 4  # interpreters that are scripts themselves; the kernel's own limit (fs/exec.c)
_MAX_LINE: Final = 256  # bytes of a `#!` line that the kernel reads (BINPRM_BUF_SIZE)
_MAX_HEADERS: Final = 512  # program headers looked at; ordinary programs have about ten
_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
_PT_INTERP: Final = 3
_SET_ID: Final = 0o6000
_GO: Final = b"\xff Go buildinf:"  # debug/buildinfo: at the start of a section of every Go program
_GO_WITHIN: Final = 64 * 1024 * 1024  # bytes searched for it
_CHUNK: Final = 1 << 20


def why_not_preloaded(program: Path) -> str | None:
    """Why a preloaded library would not reach this program; None when it would.

    Args:
        program: the file that is executed.
    """
    for _ in range(MAX_SCRIPTS + 1):
        try:
            with program.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _SET_ID:
                    return f"{program} changes its user: the loader ignores LD_PRELOAD"
                head = file.read(_MAX_LINE)
                if not head.startswith(b"#!"):
                    return _why_not_elf(program, file)
        except OSError as exc:
            return f"{program} cannot be read: {exc.strerror}"
        words = head[2:].split(b"\n")[0].split()
        if not words:
            return f"{program} names no interpreter"
        program = Path(os.fsdecode(words[0]))
    return f"{program} is a script of scripts"


def _why_not_elf(program: Path, file: BinaryIO) -> str | None:
    file.seek(0)
    header = file.read(_ELF_HEADER.size)
    if len(header) < _ELF_HEADER.size or header[:6] != b"\x7fELF\x02\x01":
        return f"{program} is no 64-bit ELF program"
    fields = _ELF_HEADER.unpack(header)
    offset, size, count = fields[5], fields[9], fields[10]
    if size != _PROGRAM_HEADER.size or count > _MAX_HEADERS:
        return f"{program} has unusual program headers"
    file.seek(offset)
    table = file.read(size * count)
    if len(table) < size * count:
        return f"{program} is cut off"
    if not any(entry[0] == _PT_INTERP for entry in _PROGRAM_HEADER.iter_unpack(table)):
        return f"{program} is linked statically"
    return f"{program} is a Go program: it calls the kernel without libc" if _is_go(file) else None


def _is_go(file: BinaryIO) -> bool:
    file.seek(0)
    kept = b""
    for _ in range(_GO_WITHIN // _CHUNK):
        chunk = file.read(_CHUNK)
        if not chunk:
            return False
        if _GO in kept + chunk:
            return True
        kept = chunk[-len(_GO) :]
    return False
