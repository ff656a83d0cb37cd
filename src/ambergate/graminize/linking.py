"""Which libraries a program is linked to: the dynamic linker lists them, and runs nothing of the program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from ambergate.core.errors import Unavailable

LINKER: Final = Path("/lib64/ld-linux-x86-64.so.2")  # of the x86-64 ABI; SGX has no other
SECONDS: Final = 20.0
MAX_LISTED: Final = 256 * 1024  # bytes
_LINE: Final = re.compile(r"^\s*(?:(\S+) => )?(/[^\n]+?) \(0x[0-9a-f]+\)$", re.MULTILINE)


def linked(program: Path) -> list[tuple[str, Path]]:
    """Name, as it is looked for, and file of each library that a program takes, the linker too.

    Raises:
        Unavailable: the linker does not read it.
    """
    try:
        done = subprocess.run(  # noqa: S603  the system's linker
            [str(LINKER), "--list", str(program.resolve())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={},
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        seen = f"{program}: {exc}"
        raise Unavailable("the linker does not list a program's libraries", code="no-libraries", seen=seen) from exc
    text = done.stdout[:MAX_LISTED].decode("utf-8", "replace")
    return [(name or Path(file).name, Path(file)) for name, file in _LINE.findall(text)]
