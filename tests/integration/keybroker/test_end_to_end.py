"""The whole way over real TLS: simulated platform, attestation service, broker, client. Only the clock is ours."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode, urlsafe_b64decode
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from tests.integration.attestation.test_tdx import TD
from tests.integration.keybroker.forge import AT
from tests.integration.keybroker.outside import KINDS, key_manager
from tests.integration.keybroker.scene import SECRET, Broker, running_broker

from ambergate.client.session import Session
from ambergate.client.settings import Settings
from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.errors import AmberError
from ambergate.core.release.material import KeyKind
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.services.attestation import app as attestation_app
from ambergate.services.attestation import config as attestation_config
from ambergate.services.attestation.usecase import Trust
from ambergate.services.keybroker.fetch import KeySetUrl
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.server import TlsFiles, running
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.evidence import SimulatedEvidenceSource, SimulatedTdEvidenceSource
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "https://attest.example:8443"  # the issuer's name; where it listens is another matter
PROGRAM = EnclaveIdentity.of_program([b"the program that the owner approved"], isv_svn=3)
KEY = UUID("5f3c4a9e-0d5c-5c3b-9d3f-0d1c2b3a4f5e")
OLD_KEY = UUID("5f3c4a9e-0d5c-5c3b-9d3f-0d1c2b3a4f5f")
HARDWARE_KEY = UUID("5f3c4a9e-0d5c-5c3b-9d3f-0d1c2b3a4f60")
POLICY = ResourcePolicy.from_mapping(
    {
        "mr_enclave": PROGRAM.mr_enclave.hex(),
        "mr_signer": PROGRAM.mr_signer.hex(),
        "isv_prod_id": PROGRAM.isv_prod_id,
        "minimum_isv_svn": 3,
        "insecure_accept_simulated": True,
    }
)

CONFIG = """
base_url = "{base}"
[listen]
port = 0
certificate = "{tls.certificate}"
key = "{tls.key}"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
[[anchors]]
pem = "simulator/root_ca.pem"
simulated = true
collateral = "simulator/collateral"
[tokens]
insecure_allow_anonymous = true
[policy]
tcb_statuses = ["UpToDate", "OutOfDate"]
dangerously_allow_debug = true
"""


@dataclass
class System:
    """Everything running; the broker's clock is the attestation service's too."""

    platform: SimulatedPlatform
    folder: Path
    settings: Settings
    broker: Broker

    def session(self, enclave: EnclaveIdentity = PROGRAM, platform: SimulatedPlatform | None = None) -> Session:
        source = SimulatedEvidenceSource(platform or self.platform, enclave)
        return Session(self.settings, source, now=self.broker.clock, token_bytes=secrets.token_bytes)

    def reasons(self, enclave: EnclaveIdentity, key_id: UUID = KEY) -> tuple[str, ...]:
        """Why this enclave does not get the key, as the broker wrote it down."""
        before = len(self.broker.decisions)
        with pytest.raises(AmberError):
            self.session(enclave).secret(self.settings.changed("kbs_keyid", str(key_id).encode()))
        (decision,) = self.broker.decisions[before:]
        assert decision["verdict"] == "refused"
        return tuple(mismatch["rule"] for mismatch in decision["mismatches"])


@pytest.fixture(scope="module")
def system(tls: TlsFiles, ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    platform = SimulatedPlatform.create(at=AT)
    platform.save(folder / "simulator")
    platform.save_collateral(folder / "simulator", at=AT)
    (folder / "attestation.toml").write_text(CONFIG.format(base=BASE, tls=tls))
    config = attestation_config.load(folder / "attestation.toml")
    ticking: list[Broker] = []

    def now() -> datetime:
        return ticking[0].clock() if ticking else AT

    with ExitStack() as stack:
        state = stack.enter_context(attestation_app.open_state(config, at=AT))
        (anchor,) = config.anchors
        source = DirectoryCollateral(folder / "simulator" / "collateral")
        roots = [Trust(anchor=anchor.anchor, collateral=source, simulated=anchor.simulated)]
        port = stack.enter_context(running(attestation_app.create_app(config, state, roots, now=now), tls))
        keys = IssuerKeys(KeySetUrl(f"https://127.0.0.1:{port}/certs", cacerts=ca))
        issuer = TrustedIssuer(issuer=f"{BASE}/simulated", keys=keys, accept_simulated=True)
        broker = stack.enter_context(running_broker(TrustedIssuers([issuer]), tls, folder))
        ticking.append(broker)
        broker.store.add(KEY, SECRET, POLICY, at=AT)
        old = {**POLICY.to_mapping(), "tcb_statuses": ["UpToDate", "OutOfDate"], "dangerously_allow_debug": True}
        broker.store.add(OLD_KEY, SECRET, ResourcePolicy.from_mapping(old), at=AT)
        strict = {**POLICY.to_mapping(), "insecure_accept_simulated": False}
        broker.store.add(HARDWARE_KEY, SECRET, ResourcePolicy.from_mapping(strict), at=AT)
        settings = Settings(cacerts=ca.read_text())
        for name, value in (
            ("endpoint_url", f"https://127.0.0.1:{port}/appraisal/v1/"),
            ("kbs_url", f"https://127.0.0.1:{broker.port}/kbs/v1/keys/"),
            ("kbs_keyid", str(KEY)),
        ):
            settings = settings.changed(name, value.encode())
        yield System(platform, folder, settings, broker)


def test_an_approved_program_gets_its_secret(system: System) -> None:
    """Quote, token, release, unwrap; the record names the enclave, its issuer, and that it was simulated."""
    assert system.session().secret() == SECRET
    decision = system.broker.decisions[-1]
    assert decision["verdict"] == "released"
    assert decision["token"]["mr_enclave"] == PROGRAM.mr_enclave.hex()
    assert decision["token"]["issuer"] == f"{BASE}/simulated"
    assert decision["token"]["simulated"] is True
    assert decision["request_id"] is not None


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
@pytest.mark.parametrize(("envelope", "size"), [("RSA-OAEP-256", 388), ("ECDH-ES+A256KW", 120), ("", 388)])
def test_a_secret_comes_in_the_envelope_that_the_settings_ask_for(
    system: System, tee: str, envelope: str, size: int
) -> None:
    """As a JWE for the key that it is for; Intel's envelope is what comes when nothing is asked for."""
    policy = {"mr_td": [TD.mr_td.hex()], "insecure_accept_simulated": True}
    key = uuid4()
    system.broker.store.add(key, SECRET, POLICY if tee == "SGX" else ResourcePolicy.from_mapping(policy), at=AT)
    settings = system.settings.changed("kbs_envelope", envelope.encode()).changed("kbs_keyid", str(key).encode())
    source = (
        SimulatedEvidenceSource(system.platform, PROGRAM)
        if tee == "SGX"
        else SimulatedTdEvidenceSource(system.platform, TD)
    )
    session = Session(settings, source, now=system.broker.clock, token_bytes=secrets.token_bytes)
    assert session.secret() == SECRET
    held = b64decode(str(claims_of(session.token())["attester_held_data"]))
    assert len(held) == size  # a key of RSA-3072, or on P-384
    # And in another, when the settings change under the program.
    for other in ("ECDH-ES+A256KW", "", "RSA-OAEP-256"):
        assert session.secret(settings.changed("kbs_envelope", other.encode())) == SECRET


def test_a_key_that_only_its_token_wraps_comes_as_no_jwe(
    system: System, tls: TlsFiles, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It is told so: never another form than was asked for."""
    with key_manager("pkcs11", tls, tmp_path, request) as manager, system.broker.knowing("pkcs11", manager):
        key = system.broker.make("pkcs11", KeyKind.of("AES", bits=256), POLICY)
        settings = system.settings.changed("kbs_keyid", str(key).encode())
        with pytest.raises(AmberError) as caught:
            system.session().secret(settings.changed("kbs_envelope", b"RSA-OAEP-256"))
    assert caught.value.code == "form-not-taken"


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def test_a_later_version_of_it_gets_it_too(system: System) -> None:
    assert system.session(replace(PROGRAM, isv_svn=4)).secret() == SECRET


def test_one_enclaves_token_opens_nothing_for_another(system: System) -> None:
    """A stolen token gets an envelope that only the enclave of the token can open."""
    token = system.session().token()
    body = system.broker.transfer(token, KEY).raise_for_status().json()
    thief = system.session()
    thief.secret()  # it has a key of its own now
    with pytest.raises(AmberError):
        thief._key.open(body)


def test_another_program_is_refused(system: System) -> None:
    other = EnclaveIdentity.of_program([b"the program that the owner approved, with one byte more"], isv_svn=3)
    assert system.reasons(other) == ("mr_enclave",)


def test_an_older_version_is_refused(system: System) -> None:
    assert system.reasons(replace(PROGRAM, isv_svn=2)) == ("isv_svn",)


def test_a_debug_enclave_is_refused_unless_the_policy_says_so(system: System) -> None:
    debug = replace(PROGRAM, debug=True)
    assert system.reasons(debug) == ("debug",)
    assert system.session(debug).secret(system.settings.changed("kbs_keyid", str(OLD_KEY).encode())) == SECRET


def test_simulation_is_refused_where_only_the_operator_accepts_it(system: System) -> None:
    """The broker's configuration trusts the simulated issuer; this key's owner does not."""
    assert system.reasons(PROGRAM, HARDWARE_KEY) == ("simulated",)


def test_a_platform_out_of_date_is_refused_unless_the_policy_lists_it(system: System) -> None:
    platform = SimulatedPlatform.load(system.folder / "simulator")
    try:
        platform.save_collateral(system.folder / "simulator", at=AT, status=TcbStatus.OUT_OF_DATE)
        assert system.reasons(PROGRAM) == ("tcb_status",)
        assert system.session().secret(system.settings.changed("kbs_keyid", str(OLD_KEY).encode())) == SECRET
    finally:
        platform.save_collateral(system.folder / "simulator", at=AT)


def test_a_platform_under_another_root_gets_no_token_and_no_secret(system: System) -> None:
    before = len(system.broker.decisions)
    with pytest.raises(AmberError):
        system.session(platform=SimulatedPlatform.create(at=AT)).secret()
    assert len(system.broker.decisions) == before


def test_a_token_opens_nothing_after_it_expired(system: System) -> None:
    token = system.session().token()
    assert system.broker.transfer(token, KEY).status_code == 200
    try:
        system.broker.clock.instant = AT + timedelta(seconds=300)
        assert system.broker.transfer(token, KEY).json()["code"] == "expired"
    finally:
        system.broker.clock.instant = AT


def test_a_program_with_data_of_its_own_gets_the_brokers_words(system: System) -> None:
    """With `userdata`, the held data is the application's: here words, which are no key to seal for."""
    settings = system.settings.changed("userdata", b"some words")
    with pytest.raises(AmberError):
        system.session().secret(settings)
    assert system.broker.decisions[-1]["mismatches"][0]["rule"] == "workload_key"


@pytest.mark.parametrize("kind", KINDS)
def test_an_approved_program_gets_its_key_from_where_its_owner_keeps_it(
    system: System, tls: TlsFiles, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """From quote to key, as /dev/amber/secret asks: out of a token it comes wrapped there, and opens all the same."""
    aes = KeyKind.of("AES", bits=256)
    with key_manager(kind, tls, tmp_path, request) as manager, system.broker.knowing(kind, manager):
        key = system.broker.make(kind, aes, POLICY)
        settings = system.settings.changed("kbs_keyid", str(key).encode())
        first, again = (system.session().secret(settings) for _ in range(2))
        assert len(first) == 32
        assert first == again
        other = EnclaveIdentity.of_program([b"another program"], isv_svn=3)
        assert system.reasons(other, key) == ("mr_enclave",)
