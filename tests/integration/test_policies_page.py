"""docs/policies.md: its commands run in their order, and what it lists is what there is."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from scripts.pages import blocks_of, run_block
from tests.unit.appraise.told import AT, SGX, rego

from ambergate.core.appraise.named import MAX_TEXT
from ambergate.core.appraise.typed import read_typed
from ambergate.rego.builtins import ALLOWED
from ambergate.rego.engine import MAX_CACHED, RegoEngine
from ambergate.rego.pool import Limits
from ambergate.rego.verdict import MAX_EXPORT, MAX_EXPORT_DEPTH, MAX_EXPORT_NAME

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    assert len(blocks) == len(re.findall(r"^```bash$", PAGE, re.MULTILINE)) >= 6
    for block in blocks:
        run_block(block, tmp_path)


def test_the_typed_policy_loads() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    policy = read_typed(text)
    assert len(policy.enclaves) == 2
    assert policy.graces
    assert policy.advisories


def test_the_policy_in_rego_loads_and_matches() -> None:
    (text,) = re.findall(r"```rego\n(.*?)```", PAGE, re.DOTALL)
    with RegoEngine(workers=1, limits=Limits(seconds=60)) as engine:
        engine.check(rego(text))
        assert engine.evaluate(rego(text), SGX, at=AT).matched
        assert not engine.evaluate(rego(text), SGX, at=AT + timedelta(days=366)).matched


def test_the_functions_are_those_that_may_be_called() -> None:
    listed = PAGE.partition("<!-- functions -->")[2].partition("###")[0]
    assert set(re.findall(r"`([a-z_.0-9]+)`", listed)) == ALLOWED


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    words = " ".join(PAGE.split())
    assert f"at most {MAX_TEXT:,} bytes" in words
    assert f"{MAX_EXPORT:,} characters of JSON, {MAX_EXPORT_DEPTH} levels, and names of {MAX_EXPORT_NAME}" in words
    assert f"{limits.memory_mib} MiB above" in words
    assert limits.seconds == 2
    assert "two seconds on the wall" in words
    assert f"{MAX_CACHED:,} of them" in words
