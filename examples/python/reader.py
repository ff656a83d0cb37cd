#!/usr/bin/env python3
"""Prints an attestation token, as any program would print a file.

    amber run --simulate -- examples/python/reader.py [FILE...]

Without arguments it reads /dev/amber/token. A read that fails says why by errno, and more in /dev/amber/status.
"""

import os
import sys

DIRECTORY = os.environ.get("AMBER_DIR", "/dev/amber")


def main(paths: list[str]) -> int:
    """Print each file; 1 if one of them could not be read."""
    failed = 0
    for path in paths or [f"{DIRECTORY}/token"]:
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - as most programs do
                print(file.read().decode())
        except OSError as error:
            failed = 1
            print(f"reader.py: {path}: {error.strerror}", file=sys.stderr)
            with open(f"{DIRECTORY}/status", encoding="utf-8") as status:  # noqa: PTH123
                print(status.read(), end="", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
