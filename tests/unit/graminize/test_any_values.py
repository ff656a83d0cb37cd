"""Whatever a manifest's keys say, of whatever kind: problems, a conversion or our error, never one of Python's."""

from __future__ import annotations

import contextlib
import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.graminize.told import RIGHT, manifest

from ambergate.core.errors import AmberError, SettingsError
from ambergate.graminize.checks import check
from ambergate.graminize.convert import Mounted, Plan, converted
from ambergate.graminize.deprecated import _REMOVED, _RENAMED
from ambergate.graminize.difference import differences
from ambergate.graminize.gsc.composition import Rules, composed
from ambergate.graminize.gsc.program import Program
from ambergate.graminize.schema import violations
from ambergate.graminize.source import Manifest

BASE = tomllib.loads(RIGHT + 'loader.argv = ["a"]\nloader.env.X = "y"\nfs.root = { uri = "file:/" }\n')
AGENT = Mounted(uri="file:amber-agent", hashes={"bin/python3": "1" * 64})
PROGRAM = Program(executable="/a", argv=("a",), environment={}, directory="/", uid=0, gid=0)
VALUES: tuple[Any, ...] = (
    *(3, 1.5, True, "", "x", [], [[]], [3], ["file:x"], {}, {"a": 1}, {"value": 3}, {"passthrough": True}),
    *([{"path": 3}], [{"uri": 3}], {"type": "encrypted", "key_name": 3}, [{"type": "encrypted"}]),
)
KEYS: tuple[tuple[str, ...], ...] = (
    *(("sgx",), ("loader",), ("libos",), ("fs",), ("sys",), ("fs", "mounts"), ("fs", "mount"), ("fs", "root")),
    *(
        ("fs", "insecure__keys"),
        ("loader", "env"),
        ("loader", "argv"),
        ("loader", "argv_src_file"),
        ("libos", "entrypoint"),
    ),
    *(("loader", "env", "LD_LIBRARY_PATH"), ("loader", "env", "LD_PRELOAD"), ("loader", "env", "AMBER_URL")),
    *(
        ("sgx", name)
        for name in ("trusted_files", "allowed_files", "cpu_features", "require_avx", "remote_attestation")
    ),
    *(("sgx", name) for name in ("protected_files", "enclave_size", "max_threads", "amber_url", "amber_ip", "kbs_url")),
    *_RENAMED,
    *_REMOVED,
)


def put(document: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        if not isinstance(document.get(name), dict):
            return
        document = document[name]
    document[path[-1]] = copy.deepcopy(value)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=3))
def test_any_value_at_any_key(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    document = copy.deepcopy(BASE)
    for path, value in changes:
        put(document, path, value)
    read = Manifest(name="m", directory=Path(), source="", text="", template=False, document=document, lines={})
    check(read)
    differences(BASE, document)
    for plan in (Plan(delivery="native"), Plan(delivery="shim", agent=AGENT, external="file:outside.toml")):
        with contextlib.suppress(AmberError):
            made = converted(read, plan).document
            assert plan.delivery == "native" or violations(made) == []
    with contextlib.suppress(AmberError):
        composed(PROGRAM, document, Rules(debug=True))


@pytest.mark.parametrize(("user", "what"), [({"sgx": 3}, "sgx"), ({"loader": {"env": "x"}}, "loader.env")])
def test_a_value_in_a_tables_place_is_named(user: dict[str, Any], what: str) -> None:
    with pytest.raises(SettingsError, match=f"the manifest's {what} is no table"):
        composed(PROGRAM, user, Rules())


@pytest.mark.parametrize("allowed", ["file:amber-agent/", "file:amber-agent/site/x.py", "file:kept/"])
def test_the_host_may_change_nothing_of_the_agent(allowed: str) -> None:
    source = manifest(more=f'sgx.allowed_files = ["{allowed}"]')
    agent = Mounted(uri="file:kept/amber-agent" if allowed == "file:kept/" else "file:amber-agent", hashes={})
    with pytest.raises(SettingsError, match="change the agent's files"):
        converted(source, Plan(delivery="shim", agent=agent))
