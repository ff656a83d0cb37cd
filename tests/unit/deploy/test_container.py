"""The Containerfile, as hadolint reads it, and what a build sees of a checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.unit.deploy.conftest import PROJECT

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Tool

CONTAINER = PROJECT / "deploy" / "container"


def test_hadolint_finds_nothing(tool: Tool) -> None:
    done = tool("hadolint", "--no-color", str(CONTAINER / "Containerfile"))
    assert (done.returncode, done.stdout) == (0, "")


def test_a_build_sees_what_is_allowed_and_nothing_else() -> None:
    """A key or a database beside the checkout's files gets into no stage."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == {
        *("LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "requirements", "src", "wheels"),
        "deploy/container/install",
    }
    assert [name for name in allowed - {"wheels"} if not (PROJECT / name).exists()] == []


def test_services_are_started_alike() -> None:
    """Two stages that differ in names and numbers alone: what is mended in one is mended in the other."""
    text = (CONTAINER / "Containerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    (first,) = (stage for stage in stages if stage.startswith("${BASE} AS attestation"))
    (second,) = (stage for stage in stages if stage.startswith("${BASE} AS keybroker"))
    second = second.partition("\n# ")[0]
    # Rego's library is the attestation service's alone: the broker judges no policy in Rego.
    first = re.sub(r"^# What the interpreter of Rego.*\nCOPY .*/libatomic\.so\.1 .*\n", "", first, flags=re.MULTILINE)
    for theirs, ours in (("keybroker", "attestation"), ("broker.toml", "attestation.toml"), ("9443", "8443")):
        second = second.replace(theirs, ours)
    different = {line.split("=")[0].strip() for line in set(first.splitlines()) ^ set(second.splitlines())}
    assert different <= {
        "LABEL org.opencontainers.image.title",
        "org.opencontainers.image.description",
        "",
    }, different
