"""docs/from-*.md and the examples' first page: commands run, and every setting, file and claim is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from scripts.pages import run_page
from tests.as_written import why_not

from ambergate.client.loading import MANIFEST_KEYS
from ambergate.core.appraise.evidence import CLAIMS
from ambergate.devices.nodes import FILES

WHY_NOT = why_not()
DOCS = Path(__file__).parents[2] / "docs"
FORK = (DOCS / "from-project-amber.md").read_text(encoding="utf-8")
TRUST_AUTHORITY = (DOCS / "from-intel-trust-authority.md").read_text(encoding="utf-8")


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
@pytest.mark.parametrize("page", [FORK, TRUST_AUTHORITY], ids=["fork", "trust authority"])
def test_the_commands_do_what_the_page_says(page: str, tmp_path: Path) -> None:
    assert len(list(run_page(page, tmp_path))) == len(re.findall(r"^```bash$", page, re.MULTILINE)) == 2


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_examples_run_without_sgx(tmp_path: Path) -> None:
    shutil.copytree(DOCS.parent / "examples", tmp_path / "examples")
    page = (tmp_path / "examples" / "README.md").read_text(encoding="utf-8")
    assert len(list(run_page(page, tmp_path))) == len(re.findall(r"^```", page, re.MULTILINE)) / 2 == 2


def test_every_setting_of_the_fork_is_named() -> None:
    settings = FORK.partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `sgx\.([a-z_]+)` \|", settings, re.MULTILINE)) == set(MANIFEST_KEYS)


def test_every_file_is_named() -> None:
    files = FORK.partition("## Files")[2].partition("\n## ")[0]
    assert set(re.findall(r"`/dev/amber/([a-z_]+)`", files)) == set(FILES)


def test_claims_are_those_that_there_are() -> None:
    named = set(re.findall(r"`((?:attester|sgx|tdx)_[a-z0-9_]+)`", TRUST_AUTHORITY))
    assert len(named) > 15
    assert named - CLAIMS.keys() == {"attester_held_data", "attester_runtime_data"}  # about the request
