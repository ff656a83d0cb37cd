"""docs/release-policies.md: its commands run in their order, its policies load, and it names every member."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scripts.pages import blocks_of, run_block

from ambergate.core.release.kbs_form import from_kbs
from ambergate.core.release.resource_policy import MAX_ALTERNATIVES, ResourcePolicy
from ambergate.core.release.terms import MAX_DEPTH, MAX_TABLES, MEMBERS

PAGE = (Path(__file__).parents[2] / "docs" / "release-policies.md").read_text(encoding="utf-8")


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == len(re.findall(r"^```bash$", PAGE, re.MULTILINE)) == 3
    for block in blocks:
        run_block(block, tmp_path)


def test_its_policies_load() -> None:
    one, owned, two = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(ResourcePolicy.from_toml(one).alternatives) == 1
    assert len(ResourcePolicy.from_toml(two).alternatives) == 2
    owners = ResourcePolicy.from_toml(owned).owners
    assert owners is not None
    assert owners.needed == len(owners.keys) == 2
    (kbs,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert from_kbs(json.loads(kbs)).tees == ("SGX",)


def test_it_names_every_member_and_the_limits() -> None:
    named = set(re.findall(r"`\[*([a-z0-9_]+)\]*", PAGE)) | {"rtmr1", "rtmr2"}
    assert MEMBERS.keys() - named == set()
    words = " ".join(PAGE.split())
    assert (MAX_DEPTH, "four deep" in words) == (4, True)
    assert f"with {MAX_TABLES} tables and {MAX_ALTERNATIVES} alternatives at most" in words
