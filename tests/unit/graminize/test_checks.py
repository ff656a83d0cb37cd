"""Each rule finds its problem, and nothing where there is none; all of them at once, by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.graminize.told import RIGHT, manifest

from ambergate.client.external import MAY_VARY, WHY_MEASURED
from ambergate.client.settings import Settings
from ambergate.devices.agent import WORKERS
from ambergate.graminize.application import INTERPRETER, START
from ambergate.graminize.checks import RULES, check
from ambergate.graminize.problems import Severity
from ambergate.graminize.sizes import AGENT_THREADS, parse_size, size_text

if TYPE_CHECKING:
    from pathlib import Path

DCAP = 'sgx.remote_attestation = "dcap"'
URL = 'sgx.amber_url = "https://attest.example/appraisal/v1/"'
MOUNTS = '  { type = "tmpfs", path = "/dev/amber" },\n'
MOUNTED = (MOUNTS, MOUNTS + '  { type = "encrypted", path = "/data", uri = "file:data", key_name = "data" },\n')
START_TEXT = str([*START, "--delivery", "shim", "--", "/app/server", "server"]).replace("'", '"')


NO_BROKER = 'loader.env.AMBER_KBS_KEYID = ""'


def handing(*places: str) -> str:
    """Arguments of a launcher that hands a secret over."""
    told = [word for each in places for word in ("--secret-to", each)]
    return str([*START, "--delivery", "shim", *told, "--", "/app/server", "server"]).replace("'", '"')


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "server").touch()
    return tmp_path


def found(place: Path, *changes: tuple[str, str], more: str = "", delivery: str | None = None) -> dict[str, Severity]:
    """Rules that find something, but for the one that the right manifest has as well: `sgx.amber_*` keys."""
    problems = check(manifest(*changes, more=more, at=place), delivery=delivery)
    return {problem.rule: problem.severity for problem in problems if problem.rule != "stock-gramine"}


def test_one_that_is_right(place: Path) -> None:
    assert found(place) == {}
    (only,) = check(manifest(at=place))
    assert (only.rule, only.severity, only.key) == ("stock-gramine", Severity.CONVERTED, "sgx.amber_ip")
    assert RIGHT.splitlines()[(only.line or 0) - 1].startswith("sgx.amber_ip")


ERROR, WARNING, CONVERTED = Severity
CASES = [
    ("dcap-missing", ERROR, (DCAP, ""), ""),
    ("dcap-missing", ERROR, (DCAP, 'sgx.remote_attestation = "none"'), ""),
    ("dcap-missing", ERROR, (DCAP, 'sgx.remote_attestation = "epid"'), ""),
    ("deprecated", CONVERTED, (DCAP, "sgx.remote_attestation = true"), ""),
    ("debug", WARNING, (DCAP, DCAP + "\nsgx.debug = true"), ""),
    ("amber-url", ERROR, (URL, ""), 'sgx.amber_userdata = "x"'),
    ("amber-value", ERROR, (URL, URL.replace("https", "http")), ""),
    ("amber-value", ERROR, ('amber_ip = "192.0.2.1"', 'amber_ip = "attest.example"'), ""),
    ("amber-slash", WARNING, ("appraisal/v1/", "appraisal/v1"), ""),
    ("amber-address", ERROR, ("https://attest.example", "https://192.0.2.9"), ""),
    ("amber-unknown", ERROR, ("sgx.amber_ip", "sgx.amber_ipp"), "sys.enable_extra_runtime_domain_names_conf = true"),
    ("amber-kind", ERROR, ('"192.0.2.1"', "7"), "sys.enable_extra_runtime_domain_names_conf = true"),
    ("amber-twice", ERROR, (DCAP, DCAP), 'loader.env.AMBER_IP = "192.0.2.3"'),
    ("amber-resolver", CONVERTED, ('sgx.amber_ip = "192.0.2.1"', ""), ""),
    ("amber-cacerts", WARNING, ('sgx.amber_cacerts = "roots.pem"', ""), ""),
    ("apikey-measured", ERROR, (DCAP, DCAP), 'sgx.amber_apikey = "a key that nobody should see"'),
    ("apikey-measured", ERROR, (DCAP, DCAP), 'loader.env.AMBER_APIKEY = { value = "a key" }'),
    ("apikey-file", WARNING, (DCAP, DCAP), 'loader.env.AMBER_APIKEY_FILE = "/key"'),
    ("amber-passthrough", ERROR, (DCAP, DCAP), "loader.env.AMBER_KBS_KEYID = { passthrough = true }"),
    ("amber-passthrough", ERROR, (DCAP, DCAP), "loader.env.AMBER_TOKEN_CACHE = { passthrough = true }"),
    ("amber-value", ERROR, (DCAP, DCAP), 'loader.env.AMBER_TOKEN_CACHE = "for ever"'),
    ("kbs-incomplete", ERROR, ('sgx.kbs_keyid = "ae6281b3-e4fe-3db5-82fd-eed40f6e4f18"', ""), ""),
    ("host-arguments", ERROR, (DCAP, DCAP), "loader.insecure__use_cmdline_argv = true"),
    ("host-environment", ERROR, (DCAP, DCAP), "loader.insecure__use_host_env = true"),
    ("host-files", ERROR, (DCAP, DCAP), 'sgx.file_check_policy = "allow_all_but_log"'),
    ("host-variable", ERROR, (DCAP, DCAP), "loader.env.LD_PRELOAD = { passthrough = true }"),
    ("weaker", WARNING, (DCAP, DCAP), "loader.insecure__disable_aslr = true"),
    ("weaker", WARNING, (DCAP, DCAP), "sgx.insecure__rpc_thread_num = 4"),
    ("key-in-manifest", ERROR, (DCAP, DCAP), 'fs.insecure__keys.data = "00112233445566778899aabbccddeeff"'),
    ("log-level", WARNING, ('"error"', '"trace"'), ""),
    ("enclave-size", CONVERTED, ('"512M"', '"128M"'), ""),
    ("enclave-size", ERROR, ('"512M"', '"500M"'), ""),
    ("enclave-size", ERROR, ('"512M"', '"much"'), ""),
    ("threads", CONVERTED, ("sgx.max_threads = 64", ""), ""),
    ("subprocesses", CONVERTED, ("subprocesses = false", "subprocesses = true"), ""),
    ("mount-missing", CONVERTED, ('  { type = "tmpfs", path = "/dev/amber" },\n', ""), ""),
    ("mount-amber", ERROR, ('{ type = "tmpfs", path = "/dev/amber" }', '{ path = "/dev/amber", uri = "file:x" }'), ""),
    ("mount-attestation", ERROR, ('path = "/app"', 'path = "/dev"'), ""),
    ("mount-path", ERROR, ('path = "/app"', 'path = "app"'), ""),
    ("program-mount", WARNING, ('"/app/server"', '"/bin/server"'), ""),
    ("file-uri", ERROR, ('"file:app/server"', '"app/server"'), ""),
    ("file-path", ERROR, ('"file:app/server"', '"file:app/../app/server"'), ""),
    ("file-path", ERROR, ('"file:app/server"', '"file:app//server"'), ""),
    ("file-path", WARNING, ('"file:app/server"', '"file:../server"'), ""),
    ("file-missing", WARNING, ('"file:app/server"', '"file:app/none"'), ""),
    ("file-missing", WARNING, ('"file:app/server"', '"file:app"'), ""),
    ("allowed-code", ERROR, (DCAP, DCAP), 'sgx.allowed_files = ["file:app/"]'),
    ("allowed-code", ERROR, (DCAP, DCAP), 'sgx.allowed_files = ["file:/usr/lib/"]'),
    ("mount-key", WARNING, MOUNTED, ""),
    ("mount-key", WARNING, (DCAP, DCAP), 'fs.root = { type = "encrypted", uri = "file:root" }'),
    ("secret-key", ERROR, ('"/app/server"', f'"{INTERPRETER}"'), f"loader.argv = {handing('gramine-key:data')}"),
    ("secret-none", ERROR, ('"/app/server"', f'"{INTERPRETER}"'), f"loader.argv = {handing('env:X')}\n{NO_BROKER}"),
    ("schema", ERROR, ("sgx.max_threads", "sgx.max_thread"), ""),
    ("arguments", ERROR, (DCAP, DCAP), 'loader.argv = ["a"]\nloader.argv_src_file = "file:b"'),
    ("deprecated", CONVERTED, (DCAP, DCAP), "sgx.require_avx = true"),
    ("deprecated", ERROR, (DCAP, DCAP), 'sgx.protected_files.x = "file:y"'),
]


@pytest.mark.parametrize(("rule", "severity", "change", "more"), CASES)
def test_each_rule(place: Path, rule: str, severity: Severity, change: tuple[str, str], more: str) -> None:
    assert found(place, change, more=more).get(rule) is severity


def test_every_rule_has_a_case(place: Path) -> None:
    """What no case here trips, could be removed and nobody would see."""
    tripped = set()
    for rule, _, change, more in CASES:
        tripped |= {problem.rule for problem in check(manifest(change, more=more, at=place))}
        assert rule in tripped
    assert len(tripped) >= len(RULES)


@pytest.mark.parametrize(
    ("name", "handed", "finds"),
    [
        ("data", ("gramine-key:data",), set()),
        ("data", ("gramine-key:other",), {"secret-key", "mount-key"}),
        ("data", ("env:X",), {"mount-key"}),
        ("_sgx_mrenclave", (), set()),
        ("_sgx_mrsigner", ("gramine-key:_sgx_mrsigner",), {"secret-key"}),
    ],
)
def test_an_encrypted_mount_opens_with_the_key_that_is_handed_over(
    place: Path, name: str, handed: tuple[str, ...], finds: set[str]
) -> None:
    start = ('"/app/server"', f'"{INTERPRETER}"')
    mounted = (MOUNTED[0], MOUNTED[1].replace('"data" }', f'"{name}" }}'))
    wrong = found(place, start, mounted, more=f"loader.argv = {handing(*handed)}")
    assert {rule for rule in wrong if "key" in rule} == finds
    at_conversion = check(manifest(mounted, at=place), delivery="shim", secret_to=handed, converting=True)
    assert {problem.rule for problem in at_conversion if "key" in problem.rule} == finds


def test_a_loop_of_links(place: Path) -> None:
    (place / "app" / "loop").symlink_to("loop")
    assert found(place, ('"file:app/server"', '"file:app/loop"'))["file-loop"] is Severity.ERROR


def test_everything_at_once_and_by_line(place: Path) -> None:
    changes = ((DCAP, "sgx.debug = true"), ('"512M"', '"100M"'), ("appraisal/v1/", "appraisal/v1"))
    problems = check(manifest(*changes, at=place))
    assert [each.line for each in problems] == sorted(each.line or 0 for each in problems)
    assert {"dcap-missing", "debug", "enclave-size", "amber-slash"} <= {each.rule for each in problems}
    for each in problems:
        assert all((each.message, each.seen, each.wanted, each.why))


def test_a_converted_manifest_is_held_to_what_the_agent_needs(place: Path) -> None:
    """What convert would have mended is an error once it has been there."""
    started = (('"/app/server"', f'"{INTERPRETER}"'),)
    more = f"loader.argv = {START_TEXT}"
    wrong = found(place, *started, ("sgx.max_threads = 64", "sgx.max_threads = 19"), more=more)
    assert wrong["threads"] is Severity.ERROR
    right = found(place, *started, ("sgx.max_threads = 64", "sgx.max_threads = 20"), more=more)
    assert "threads" not in right
    assert "threads" not in found(place, ("sgx.max_threads = 64", "sgx.max_threads = 5"), delivery="prefetch")


def test_secrets_are_not_shown(place: Path) -> None:
    key = "kept-quite-secret"
    text = (
        f'sgx.amber_apikey = "{key}"\nfs.insecure__keys.a = "{key}"\nsgx.apikey = "{key}"\nloader.env.AMBER_APIKEY = 7'
    )
    problems = check(manifest(more=text, at=place))
    assert {"apikey-measured", "key-in-manifest", "schema"} <= {each.rule for each in problems}
    assert key not in str([each.as_dict() for each in problems])


def test_the_agents_threads_are_those_that_it_has() -> None:
    assert AGENT_THREADS == WORKERS + 1


def test_each_setting_may_vary_or_is_measured() -> None:
    """A new setting is one that somebody has thought about."""
    assert MAY_VARY.keys() | WHY_MEASURED.keys() == Settings.__dataclass_fields__.keys()
    assert MAY_VARY.keys().isdisjoint(WHY_MEASURED)


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("4K", 4096), ("1G", 1 << 30), ("0x10M", 16 << 20), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize("text", ["", "M", "1T", "-1", "1.5G", "1 G", "010", 7, None, "9" * 40])
def test_what_is_no_size(text: object) -> None:
    assert parse_size(text) is None
