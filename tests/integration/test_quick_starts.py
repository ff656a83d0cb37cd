"""Each quick start, as it is written; and the services that three of them are written against."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.pages import Block, NotAsWritten, blocks_of, run_block, run_page
from scripts.quick_starts import PAGES
from tests.as_written import why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

WHY_NOT = why_not()
PROJECT = Path(__file__).resolve().parents[2]
QUICK_STARTS = sorted((PROJECT / "docs" / "quick-start").glob("*.md"))
AMBER = (sys.executable, "-m", "ambergate.cli")


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("page", QUICK_STARTS, ids=lambda page: page.stem)
def test_the_commands_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    done = list(run_page(text, tmp_path))
    assert len(done) == len(re.findall(r"^```(?:bash|python)$", text, re.MULTILINE)) >= 8
    assert not any(block.in_clone for block in done)


@pytest.mark.parametrize("page", QUICK_STARTS, ids=lambda page: page.stem)
def test_each_says_what_is_real(page: Path) -> None:
    assert "\n## What is real here, and what changes\n\n| | here | " in page.read_text(encoding="utf-8")


def test_there_is_one_for_each_role_and_the_script_runs_all() -> None:
    roles = ["application-developer", "relying-party", "secret-owner", "service-operator"]
    assert [page.stem for page in QUICK_STARTS] == roles
    assert ("README.md", *(f"docs/quick-start/{role}.md" for role in roles)) == PAGES


def test_a_block_that_does_something_else_is_told(tmp_path: Path) -> None:
    page = """<!-- tested, exit 3, shows "one", shows "two" -->
```bash
echo one two
exit {code}
```
"""
    (good,) = blocks_of(page.format(code=3))
    assert good == Block("bash", "echo one two\nexit 3\n", 3, ("one", "two"), None, in_clone=False)
    run_block(good, tmp_path)
    with pytest.raises(NotAsWritten, match="exit code 4, not 3"):
        run_block(blocks_of(page.format(code=4))[0], tmp_path)
    with pytest.raises(NotAsWritten, match="three"):
        run_block(blocks_of(page.format(code=3).replace('two" -->', 'three" -->'))[0], tmp_path)
    with pytest.raises(NotAsWritten, match="never said"):
        list(run_page('<!-- tested, until "there" -->\n```bash\necho here\n```\n', tmp_path))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str], dict[str, Any]]]:
    """`amber simulator services`, ready, with what it told."""
    folder = tmp_path / "stage"
    process = _services(folder)
    try:
        yield folder, process, _told(process)
    finally:
        process.kill()
        process.communicate(timeout=30)


def _services(folder: Path) -> subprocess.Popen[str]:
    command = [*AMBER, "simulator", "services", str(folder), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    told: dict[str, Any] = json.loads(text)
    return told


def test_the_services_come_back_with_what_they_kept(
    stage: tuple[Path, subprocess.Popen[str], dict[str, Any]],
) -> None:
    folder, process, told = stage
    environment = (folder / "environment").read_text()
    apikey = (folder / "apikey").read_text()
    assert f"export ATTESTATION_URL={told['attestation_url']}\n" in environment
    assert apikey.strip() not in environment
    assert (folder / "apikey").stat().st_mode & 0o077 == folder.stat().st_mode & 0o077 == 0
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    again = _services(folder)
    try:
        assert _told(again) == told
        assert (folder / "apikey").read_text() == apikey
    finally:
        again.terminate()
        again.communicate(timeout=30)


def test_the_end_of_one_service_ends_all(stage: tuple[Path, subprocess.Popen[str], dict[str, Any]]) -> None:
    _, process, _ = stage
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 5
    assert json.loads(told)["error"]["message"] == "the attestation service ended"
    assert not Path(f"/proc/{children[1]}").exists()


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = subprocess.run(
        [*AMBER, "simulator", "services", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "the directory holds something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
