"""docs/graminize.md: its commands run in their order, and what it says of settings is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts.pages import blocks_of, run_block

from ambergate.client.external import KEYS, MAY_VARY, WHY_MEASURED

PAGE = (Path(__file__).parents[3] / "docs" / "graminize.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("shim")
def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == len(re.findall(r"^```bash$", PAGE, re.MULTILINE)) >= 4
    for block in blocks:
        run_block(block, tmp_path)


def test_what_may_vary() -> None:
    rows = PAGE.partition("| key | may vary, because |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", rows)) == set(KEYS)
    assert set(KEYS.values()) == set(MAY_VARY)
    assert not set(WHY_MEASURED) & set(KEYS.values())
