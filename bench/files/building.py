"""What soak and latency share: the readers, compiled; the starter; whether a delivery works here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ambergate.devices import fuse, shim_build

STARTER: Final = (sys.executable, "-m", "bench.files.starter")
_SOURCE: Final = Path(__file__).parent / "readers.c"


def why_not(way: str) -> str | None:
    """Why a delivery cannot be measured here; None when it can."""
    if shutil.which("cc") is None:
        return "no C compiler (Debian package gcc)"
    return fuse.why_not() if way == "fuse" else shim_build.why_no_shim()


def readers(folder: Path) -> Path:
    """The readers, compiled into a folder."""
    program = folder / "readers"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", str(program), str(_SOURCE)]
    subprocess.run(command, check=True)
    return program


@dataclass(frozen=True, slots=True)
class Sight:
    """A process at one moment."""

    rss: int  # KiB
    descriptors: int
    threads: int


def sight(pid: int) -> Sight:
    """A process now."""
    rows = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    told = {row.partition(":")[0]: row.partition(":")[2].split()[0] for row in rows if row.partition(":")[2].split()}
    return Sight(int(told["VmRSS"]), len(os.listdir(f"/proc/{pid}/fd")), int(told["Threads"]))  # noqa: PTH208


def agent_of(starter: int) -> int:
    """The starter's child that is still this interpreter: the other one became the program."""
    children = Path(f"/proc/{starter}/task/{starter}/children").read_text(encoding="utf-8").split()
    ours = os.readlink(f"/proc/{starter}/exe")  # noqa: PTH115
    return next(int(child) for child in children if os.readlink(f"/proc/{child}/exe") == ours)  # noqa: PTH115
