"""What an import brings along, seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Forges, verifies, appraises, issues and checks with everything but the bare install's dependencies out of reach.
_BARE = """
import sys
from importlib.abc import MetaPathFinder

EXTRAS = {"starlette", "msgspec", "sqlalchemy", "mfusepy", "uvicorn", "uvloop", "httptools", "regopy", "yaml"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{name} is not in the bare install", name=name)
        return None

sys.meta_path.insert(0, Absent())

import json
import uuid
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

import ambergate
from ambergate.core.appraise.appraisal import appraise
from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.token.check import KeySet
from ambergate.core.token.issue import Issuance, SigningKey, issue_token
from ambergate.simulator.faults import SPECIMEN
from ambergate.simulator.platform import SimulatedPlatform

at = datetime(2026, 3, 1, tzinfo=UTC)
platform = SimulatedPlatform.create(at=at)
verifier = ambergate.Verifier(anchor=ambergate.TrustAnchor.from_pem(platform.root_pem))
verified = verifier.verify(platform.quote(SPECIMEN, bytes(64)), platform.collateral(at=at), at=at)
assert verified.tcb_status is ambergate.TcbStatus.UP_TO_DATE

key = SigningKey("key", ec.generate_private_key(ec.SECP256R1()), ())
issuance = Issuance(
    issuer="https://attest.example/simulated", base_url="https://attest.example", token_id=uuid.uuid4(),
    instance_id=uuid.uuid4(), issued_at=at, expires_at=at + timedelta(minutes=5), simulated=True,
)
token = issue_token(appraise(verified, AppraisalPolicy()), issuance, key, "ES256")
claims = ambergate.check_token(
    token, KeySet.from_json(json.dumps({"keys": key.public_members()})),
    issuer="https://attest.example/simulated", at=at, accept_simulated=True,
)
assert claims.mr_enclave == SPECIMEN.mr_enclave.hex()

assert EXTRAS.isdisjoint(sys.modules)
try:
    import starlette
except ModuleNotFoundError:
    print("bare")
"""


def _fresh(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def _loaded_by(*modules: str) -> set[str]:
    program = f"import json, sys\nimport {', '.join(modules)}\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(_fresh(program)))


def test_the_bare_install_verifies_quotes_and_checks_tokens() -> None:
    assert _fresh(_BARE).strip() == "bare"


def test_the_package_itself_loads_nothing() -> None:
    assert {name for name in _loaded_by("ambergate") if name.startswith("ambergate.")} == set()


@pytest.mark.parametrize(
    "modules",
    [
        ("ambergate.client.session", "ambergate.client.loading"),
        ("ambergate.attester.gramine", "ambergate.attester.detect"),
        ("ambergate.devices.model", "ambergate.devices.delivery"),
    ],
)
def test_what_runs_inside_the_enclave_is_light(modules: tuple[str, ...]) -> None:
    """Neither code that judges quotes, nor cryptography before there is a secret to unwrap."""
    loaded = _loaded_by(*modules)
    ours = {name for name in loaded if name.startswith("ambergate.core.")}
    assert {name.split(".")[2] for name in ours} <= {"errors", "token"}
    assert loaded.isdisjoint({"cryptography", "httpx", "click", "joserfc", "msgspec", "starlette"})


def test_checking_tokens_needs_no_code_that_judges_quotes() -> None:
    ours = {name for name in _loaded_by("ambergate.core.token.check") if name.startswith("ambergate.core.")}
    assert {name.split(".")[2] for name in ours} <= {"errors", "token", "octets", "measurements"}


def test_the_command_starts_without_its_commands() -> None:
    loaded = _loaded_by("ambergate.cli.main")
    assert {name for name in loaded if name.startswith("ambergate.cli.")} == {"ambergate.cli.main"}
    assert loaded.isdisjoint({"cryptography", "httpx", "starlette", "sqlalchemy", "mfusepy"})
