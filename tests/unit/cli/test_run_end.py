"""How `amber run` ends: with the program's code, though threads of its own are still at work."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = "import atexit, threading; from ambergate.cli.run import leave; atexit.register(print, 'ended'); "
THREAD = "threading.Thread(target=threading.Event().wait, daemon=True).start(); "


@pytest.mark.parametrize("thread", [THREAD, ""])
def test_the_interpreter_is_not_ended_under_its_threads(thread: str) -> None:
    script = f"{BEGIN}{thread}print('written'); leave(143)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (143, "")
    assert done.stdout.split() == ["written"], "and no more: nothing was waited for or taken down"
