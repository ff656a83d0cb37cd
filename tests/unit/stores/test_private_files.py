"""Whose files may hold a key: the owner's alone, or root's for a group of this process."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ambergate.core.errors import SettingsError
from ambergate.stores.private_files import Reader, is_private, read_private

if TYPE_CHECKING:
    from collections.abc import Iterator

US = Reader(uid=10001, groups=frozenset({10001, 3000}))
ROOT, OURS, THEIRS = 0, 3000, 4000


def found(mode: int, *, owner: int, group: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, group, 64, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "private"),
    [
        (0o600, 10001, 10001, True),
        (0o400, 10001, 4000, True),
        (0o600, 4000, THEIRS, True),  # we could not even read it
        (0o440, ROOT, OURS, True),  # as Kubernetes mounts a Secret
        (0o640, ROOT, OURS, True),
        (0o440, ROOT, THEIRS, False),
        (0o440, ROOT, ROOT, False),
        (0o440, 10001, OURS, False),  # our own: a mode that nobody chose
        (0o440, 4000, OURS, False),
        (0o460, ROOT, OURS, False),
        (0o450, ROOT, OURS, False),
        (0o444, ROOT, OURS, False),
        (0o442, ROOT, OURS, False),
        (0o404, ROOT, OURS, False),
        (0o640, 10001, 10001, False),
    ],
)
def test_who_else_may_read_it(mode: int, owner: int, group: int, private: bool) -> None:  # noqa: FBT001  a table
    assert is_private(found(mode, owner=owner, group=group), US) is private


def test_root_needs_no_group() -> None:
    root = Reader(uid=ROOT, groups=frozenset({ROOT, OURS}))
    assert not is_private(found(0o440, owner=ROOT, group=OURS), root)
    assert is_private(found(0o400, owner=ROOT, group=OURS), root)


def test_the_refusal_says_whose_it_is_and_not_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text("4711")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="the PIN's file is open to others") as caught:
        read_private(path, 10, "the PIN's file")
    told = str(caught.value.as_dict())
    assert f"mode 0644, owner {os.geteuid()}" in told
    assert f"chmod 600 {path}" in told
    assert "4711" not in told


PROGRAM = """
import os, sys
from pathlib import Path
from ambergate.core.errors import SettingsError
from ambergate.stores.sealing import load_or_create_key
os.setgroups([int(sys.argv[2])]); os.setgid(10001); os.setuid(10001)
try:
    print(load_or_create_key(Path(sys.argv[1])).hex())
except SettingsError as exc:
    print(exc)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="ambergate-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group and become another user")
def test_a_service_that_is_not_root_reads_what_root_gave_to_its_group(place: Path) -> None:
    path = place / "kek"
    path.write_text("ab" * 32 + "\n")
    os.chown(path, 0, 10002)
    path.chmod(0o440)

    def read_as(group: int) -> str:
        command = [sys.executable, "-c", PROGRAM, str(path), str(group)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert read_as(10002).strip() == "ab" * 32
    path.chmod(0o460)
    assert "open to others" in read_as(10002)
