"""Sizes as Gramine writes them, and what the agent needs of an enclave."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})([KMG]?)")
_SCALES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Gramine documentation, manifest syntax: defaults of sgx.enclave_size and sgx.max_threads.
DEFAULT_ENCLAVE: Final = 256 << 20
DEFAULT_THREADS: Final = 4
# Gramine's own of each process: one for messages between processes, one for timers, one while a pipe is made.
HELPER_THREADS: Final = 3
# The agent's: its loop, and those that fetch (16, by `devices.agent`).
AGENT_THREADS: Final = 17
LEAST_THREADS: Final = {"shim": AGENT_THREADS + HELPER_THREADS, "prefetch": HELPER_THREADS + 2}
# What convert sets where there are fewer: each connection under way takes one of Gramine's for a moment.
GOOD_THREADS: Final = {"shim": 64, "prefetch": 16}
# Of each process. Interpreter, client and TLS take 40 MiB outside; the rest is Gramine's own, and room.
LEAST_ENCLAVE: Final = 256 << 20


def parse_size(text: object) -> int | None:
    """A size in bytes; None where it is none."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    return int(match[1], 0) * _SCALES[match[2]] if match and not _octal(match[1]) else None


def size_text(size: int) -> str:
    """A size as Gramine writes it, by the largest unit that divides it."""
    unit = next(unit for unit in ("G", "M", "K", "") if size % _SCALES[unit] == 0)
    return f"{size // _SCALES[unit]}{unit}"


def is_power_of_two(size: int) -> bool:
    """Which an enclave's size must be. Source: Intel SDM volume 3D, ECREATE."""
    return size > 0 and size & (size - 1) == 0


def _octal(digits: str) -> bool:
    return len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
