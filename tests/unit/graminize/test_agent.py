"""The agent's files: all that it takes, nothing else, copied so that they are the same everywhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ambergate.cli._manifest_convert import REHEARSAL
from ambergate.core.errors import SettingsError, TooLarge
from ambergate.graminize import agent
from ambergate.graminize.agent import Agent, Measured, gather, measure, staged
from ambergate.graminize.writing import write_file

TEXTS = {"launch.py": agent.SCRIPT.encode()}


@pytest.fixture(scope="module")
def tokens() -> Agent:
    return gather(REHEARSAL, secrets=False, shim=None)


def small(place: Path, **files: Path) -> Measured:
    library = place / "os.py"
    library.write_text("# nothing")
    return measure(Agent(files={"lib/python3.1/os.py": library, **files}, texts=TEXTS))


def test_only_what_a_token_takes(tokens: Agent) -> None:
    names = set(tokens.files) | set(tokens.texts)
    assert {"bin/python3", "launch.py", "site/ambergate/cli/enclave.py", "site/ambergate/client/session.py"} <= names
    assert not [name for name in names if "cryptography" in name or "click" in name or "/graminize" in name]
    assert not [name for name in names if name.startswith("site/ambergate/simulator") or name.endswith(".pyc")]
    assert not [name for name in names if Path(name).name.startswith(("libc.so", "libm.so", "ld-linux"))]
    assert len(names) < 250  # of about 1,500 that a standard library has


def test_secrets_take_cryptography() -> None:
    names = set(gather(REHEARSAL, secrets=True, shim=Path("/dev/null"), roots=b"PEM").files)
    assert {"site/cryptography/exceptions.py", "site/ambergate/core/release/envelope.py"} <= names
    assert "site/ambergate/devices/shim/libamber_dev.so" in names


def test_secrets_come_in_every_form_that_the_client_asks_for() -> None:
    """What is imported late, for a JWE or for what a token wrapped, is there too: inside there is nothing else."""
    names = set(gather(REHEARSAL, secrets=True, shim=None).files)
    ours = {f"site/ambergate/core/release/{name}.py" for name in ("envelope", "jwe", "keywrap", "material")}
    theirs = {
        f"site/cryptography/hazmat/primitives/{name}.py" for name in ("keywrap", "kdf/concatkdf", "asymmetric/ec")
    }
    assert ours | theirs <= names
    assert not [name for name in names if "joserfc" in name]


def test_the_same_files_are_the_same_directory(tmp_path: Path) -> None:
    """Bytes, modes and times, whatever the mask of the process and the clock."""
    (tmp_path / "x").write_bytes(b"x")
    measured = small(tmp_path, **{"bin/python3": tmp_path / "x"})
    before = os.umask(0o077)
    try:
        with staged(measured, tmp_path / "one"):
            pass
    finally:
        os.umask(before)
    with staged(measured, tmp_path / "two"):
        pass
    found = []
    for place in (tmp_path / "one", tmp_path / "two"):
        paths = sorted((place, *place.rglob("*")))
        found.append([(path.relative_to(place), path.stat().st_mode, path.stat().st_mtime_ns) for path in paths])
    assert found[0] == found[1]
    assert {time for _, _, time in found[0]} == {agent.BORN * 10**9}
    assert stat.S_IMODE((tmp_path / "one" / "bin" / "python3").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "one" / "launch.py").stat().st_mode) == 0o644


def test_links_are_followed_and_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to("real")
    measured = small(tmp_path, a=tmp_path / "link")
    with staged(measured, tmp_path / "agent"):
        pass
    assert measured.contents["a"] == b"content"
    assert not any(path.is_symlink() for path in (tmp_path / "agent").rglob("*"))


def test_what_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "loop", tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError, match="a file of the agent"):
            small(tmp_path, a=path)


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    monkeypatch.setattr(agent, "MAX_FILE", 4)
    with pytest.raises(TooLarge, match="too long"):
        measure(Agent(files={"a": tmp_path / "x"}, texts={}))
    with pytest.raises(TooLarge, match="too many"):
        measure(Agent(files={str(each): tmp_path for each in range(agent.MAX_FILES + 1)}, texts={}))


def test_only_an_agent_is_replaced(tmp_path: Path) -> None:
    measured = small(tmp_path)
    target = tmp_path / "agent"
    target.mkdir()
    (target / "mine").write_text("not to be lost")
    with pytest.raises(SettingsError, match="something else"), staged(measured, target):
        pass
    assert (target / "mine").exists()
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(SettingsError, match="something else"), staged(measured, link):
        pass


def test_nor_is_a_link_to_one(tmp_path: Path) -> None:
    measured = small(tmp_path)
    with staged(measured, tmp_path / "agent"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "agent")
    with pytest.raises(SettingsError, match="something else"), staged(measured, tmp_path / "link"):
        pass


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    measured = small(tmp_path)
    target = tmp_path / "agent"
    with staged(measured, target):
        pass
    (target / "mark").touch()
    message = "what goes on inside went wrong"
    with pytest.raises(SettingsError, match=message), staged(measured, target):
        raise SettingsError(message)
    assert (target / "mark").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent", "os.py"]
    with staged(measured, target):
        pass
    assert not (target / "mark").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent", "os.py"]


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        write_file(tmp_path / "none" / "file", b"x")
    (tmp_path / "file").write_bytes(b"old")
    write_file(tmp_path / "file", b"new", mode=0o600)
    assert (tmp_path / "file").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError):
        write_file(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
