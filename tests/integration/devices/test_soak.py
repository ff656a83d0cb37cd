"""The soak of `make soak`, for a moment; and that it sees what it is there to see."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from bench.files.building import STARTER, readers, why_not
from bench.soak import GROWTH, LARGEST, STEADY, Soaked

from ambergate.devices.agent import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT: Final = Path(__file__).resolve().parents[3]
SECONDS: Final = 120  # until a soak that should have ended is called hung
WELL: Final = Soaked(
    delivery="fuse",
    seconds=1,
    processes=1,
    threads=1,
    read=1,
    wrong=0,
    twice=0,
    failed=0,
    leaked=0,
    rss_first_half=1,
    rss_second_half=1,
    descriptors_before=4,
    descriptors_most=9,
    descriptors_after=4,
    threads_before=4,
    threads_most=9,
)


@pytest.mark.parametrize("way", ["fuse", "shim"])
def test_many_threads_of_many_processes_read_whole_tokens_of_their_own(way: str, tmp_path: Path) -> None:
    reason = why_not(way)
    if reason is not None:
        pytest.skip(f"{way}: {reason}")
    output = tmp_path / "soak.json"
    command = [sys.executable, "-m", "bench.soak", "--seconds", "2", "--delivery", way, "--output", str(output)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=SECONDS)
    soaked: dict[str, Any] = json.loads(output.read_text())[0]
    assert (done.returncode, soaked["faults"]) == (0, []), done.stderr
    assert (soaked["processes"], soaked["threads"]) == (8, 64)
    assert soaked["read"] >= soaked["processes"] * soaked["threads"]
    if way == "shim":
        assert soaked["threads_most"] == soaked["threads_before"] == 1 + WORKERS  # none is started for a request


def test_a_token_that_is_given_twice_is_seen(tmp_path: Path) -> None:
    """What was fetched before the start: one token for all."""
    reason = why_not("fuse")
    if reason is not None:
        pytest.skip(reason)
    load = (str(readers(tmp_path)), "soak", "0.1", "2", "2")
    user = "root" if os.geteuid() == 0 else "user"
    done = subprocess.run([*STARTER, "directory", user, *load], cwd=PROJECT, capture_output=True, check=True)
    counted = json.loads(done.stdout)
    assert counted["twice"] == counted["read"] - 1
    assert counted["wrong"] == counted["failed"] == 0


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.swapcase(), lambda text: "0" + text[1:]])
def test_a_token_that_was_cut_or_mixed_is_seen(tmp_path: Path, change: Callable[[str], str]) -> None:
    """A directory of ours stands where the files would be."""
    reason = why_not("fuse")
    if reason is not None:
        pytest.skip(reason)
    (tmp_path / "amber").mkdir()
    (tmp_path / "amber" / "token").write_text(change("1 3 bcd"))
    program = readers(tmp_path)
    script = """
import os, sys
from pathlib import Path
from ambergate.devices import directory, namespace
staging = directory.staging()
namespace.enter(user_namespace=os.geteuid() != 0)
namespace.mount_amber(namespace.bind_mounter(Path(sys.argv[1])), staging)
os.execv(sys.argv[2], sys.argv[2:])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "amber"), str(program), "soak", "0.05", "1", "1"]
    counted = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert counted["wrong"] == counted["read"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"read": 0},
        {"wrong": 1},
        {"twice": 1},
        {"failed": 1},
        {"leaked": 1},
        {"rss_second_half": LARGEST + 1},
        {"rss_second_half": GROWTH + 2, "seconds": STEADY},
        {"descriptors_after": 5},
    ],
)
def test_what_is_wrong_is_told(change: dict[str, Any]) -> None:
    assert WELL.faults() == []
    assert len(dataclasses.replace(WELL, **change).faults()) == 1
