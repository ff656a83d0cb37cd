"""The closed schema: what Gramine's documentation shows is accepted, and nothing beside it."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from ambergate.graminize.deprecated import modernised, old_options
from ambergate.graminize.schema import violations

LEAST = """
loader.entrypoint = "file:libsysdb.so"
libos.entrypoint = "/app"
fs.mounts = []
"""
FULL = """
[loader]
entrypoint = { uri = "file:libsysdb.so", sha256 = "00" }
argv = ["a", "b"]
env.A = "x"
env.B = { value = "x" }
env.C = { passthrough = true }
uid = 1000
gid = 1000
insecure__use_host_env = false
log_level = "none"
log_file = "log"
[libos]
entrypoint = "/app"
check_invalid_pointers = false
[fs]
root = { type = "chroot", uri = "file:/" }
start_dir = "/work"
mounts = [
  { path = "/a", uri = "file:a" },
  { type = "chroot", path = "/b", uri = "file:b" },
  { type = "tmpfs", path = "/tmp" },
  { type = "encrypted", path = "/c", uri = "file:c", key_name = "k" },
  { type = "encrypted", path = "/d", uri = "file:d" },
  { type = "untrusted_shm", path = "/dev/shm", uri = "dev:/dev/shm" },
]
[sgx]
enclave_size = "1G"
max_threads = 4
isvprodid = 1
isvsvn = 2
edmm_enable = true
remote_attestation = "dcap"
trusted_files = ["file:a", { uri = "file:b", sha256 = "00" }]
allowed_files = ["file:c"]
cpu_features = { avx = "required", mpx = "disabled" }
seal_key.flags_mask = "0xffffffffffffffff"
profile = { enable = "main", mode = "aex", with_stack = true, frequency = 50 }
[sys]
stack.size = "1M"
brk.max_size = "1M"
fds.limit = 900
enable_sigterm_injection = true
allowed_ioctls = [{ request_code = 0x1234, struct = "s" }]
ioctl_structs.s = [{ size = 8, direction = "out" }, { ptr = [{ size = "n" }] }]
"""


def wrong(text: str) -> list[str]:
    return [each.key for each in violations(tomllib.loads(text))]


@pytest.mark.parametrize("text", [LEAST, FULL])
def test_what_is_documented(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize("table", ["loader", "libos", "fs"])
def test_tables_that_must_be_there(table: str) -> None:
    document = tomllib.loads(LEAST)
    del document[table]
    assert [(each.key, each.message) for each in violations(document)] == [(table, "is missing")]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('sgx.amber_url = "x"', "sgx.amber_url"),
        ('amber.url = "x"', "amber"),
        ("sgx.debug = 1", "sgx.debug"),
        ('sgx.debug = "true"', "sgx.debug"),
        ("sgx.max_threads = true", "sgx.max_threads"),
        ("sgx.enclave_size = 1024", "sgx.enclave_size"),
        ('sgx.remote_attestation = "amber"', "sgx.remote_attestation"),
        ("sgx.trusted_files = [1]", "sgx.trusted_files[0]"),
        ('sgx.trusted_files = [{ uri = "file:a", md5 = "x" }]', "sgx.trusted_files[0].md5"),
        ('sgx.trusted_files = [{ sha256 = "x" }]', "sgx.trusted_files[0].uri"),
        ('sgx.trusted_files.a = "file:a"', "sgx.trusted_files"),
        ('sgx.cpu_features.mpx = "unspecified"', "sgx.cpu_features.mpx"),
        ("loader.env.A = 1", "loader.env.A"),
        ("loader.env.A = { passthrough = false }", "loader.env.A.passthrough"),
        ("loader.env.A = { passthrough = 1 }", "loader.env.A.passthrough"),
        ('loader.argv = "a"', "loader.argv"),
        ('sys.x.y = "a"', "sys.x"),
        ("libos.x = 1", "libos.x"),
    ],
)
def test_what_is_not(more: str, key: str) -> None:
    assert wrong(LEAST + more) == [key]


@pytest.mark.parametrize(
    ("mount", "key"),
    [
        ('{ path = "/a" }', "fs.mounts[0].uri"),
        ('{ uri = "file:a" }', "fs.mounts[0].path"),
        ('{ type = "tmpfs" }', "fs.mounts[0].path"),
        ('{ type = "nfs", path = "/a", uri = "x" }', "fs.mounts[0].type"),
        ('{ type = "chroot", path = "/a", uri = "x", key_name = "k" }', "fs.mounts[0].key_name"),
    ],
)
def test_mounts(mount: str, key: str) -> None:
    assert wrong(LEAST.replace("[]", f"[{mount}]")) == [key]


def test_the_nearest_name_is_offered() -> None:
    (only,) = violations(tomllib.loads(LEAST + "sgx.max_thread = 4"))
    assert only.wanted == "sgx.max_threads?"


OLD = [
    ("sgx.thread_num = 8", {"sgx": {"max_threads": 8}}),
    ("sgx.rpc_thread_num = 2", {"sgx": {"insecure__rpc_thread_num": 2}}),
    ("sgx.require_exinfo = true", {"sgx": {"use_exinfo": True}}),
    ("sgx.require_avx512 = true", {"sgx": {"cpu_features": {"avx512": "required"}}}),
    ("sgx.require_mpx = false", {"sgx": {}}),
    ("sgx.remote_attestation = true", {"sgx": {"remote_attestation": "dcap"}}),
    ("sgx.remote_attestation = false", {"sgx": {"remote_attestation": "none"}}),
    (
        'sgx.trusted_files.a = "file:a"\nsgx.trusted_files.b = "file:b"',
        {"sgx": {"trusted_files": ["file:a", "file:b"]}},
    ),
    ('loader.pal_internal_mem_size = "64M"', {}),
    ("fs.experimental__enable_sysfs_topology = true", {}),
    ("sgx.nonpie_binary = true", {"sgx": {}}),
    ("sgx.allowed_ioctls = [{ request_code = 1 }]", {"sgx": {}, "sys": {"allowed_ioctls": [{"request_code": 1}]}}),
]


@pytest.mark.parametrize(("text", "members"), OLD)
def test_options_of_earlier_gramines(text: str, members: dict[str, Any]) -> None:
    """They are mended, the result is accepted, and what was given stays as it was."""
    document = tomllib.loads(LEAST + text)
    before = copy.deepcopy(document)
    changed, done = modernised(document)
    assert (document, len(done)) == (before, 1)
    assert {name: changed[name] for name in members} == members
    assert violations(changed) == []
    assert old_options(changed) == []


def test_mounts_by_name_become_a_list() -> None:
    text = LEAST.replace("fs.mounts = []", 'fs.mount.z = { type = "chroot", path = "/a", uri = "file:a" }')
    changed, _ = modernised(tomllib.loads(text + 'fs.mount.a = { type = "chroot", path = "/a/b", uri = "file:b" }'))
    assert [mount["path"] for mount in changed["fs"]["mounts"]] == ["/a", "/a/b"]
    assert violations(changed) == []


def test_what_nobody_can_mend_alone_stays() -> None:
    changed, done = modernised(tomllib.loads(LEAST + 'sgx.protected_files.a = "file:a"'))
    assert done == []
    assert [option.instead for option in old_options(changed)] == [
        'fs.mounts with { type = "encrypted", key_name = ... }'
    ]
