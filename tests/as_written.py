"""Whether the pages' commands can do here what the pages say: some ask by curl, and programs read /dev/amber."""

from __future__ import annotations

import shutil

from ambergate.devices import fuse


def why_not() -> str | None:
    """What is missing; None: nothing is."""
    if shutil.which("curl") is None:
        return "curl is not installed (scripts/system-packages)"
    without = fuse.why_not()
    if without is not None and shutil.which("cc") is None:
        return f"{without}; and no C compiler makes the shim (scripts/system-packages)"
    return None
