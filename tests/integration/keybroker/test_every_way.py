"""Every way to a key: passport and background check, SGX and TDX, both databases, each key manager. All 40 of them.

Attestation service and broker are configured as their operators would, run over real TLS, and keep what they keep in
SQLite or PostgreSQL; platforms are simulated. SoftHSM and PyKMIP's server are real; of Vault there is a double.
"""

from __future__ import annotations

import json
import secrets
import ssl
from base64 import b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.attestation.scene import (
    AT,
    BASE_URL,
    CONFIG,
    ENCLAVE,
    ISSUER,
    SIMULATED,
    Clock,
    bound,
    directory_roots,
    new_platform,
    serving,
)
from tests.integration.attestation.test_tdx import TD, td_bound
from tests.integration.keybroker.outside import KINDS, key_manager

from ambergate.client import keybroker
from ambergate.client.session import Session
from ambergate.client.settings import Settings
from ambergate.core.errors import ReleaseRefused
from ambergate.core.measurements import MrEnclave
from ambergate.core.release.envelope import encode_held_key
from ambergate.core.release.material import KeyKind
from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.attestation import app as attestation
from ambergate.services.attestation.config import load as load_attestation
from ambergate.services.keybroker import app as broker
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.config import load
from ambergate.services.keybroker.keyring import BUILT_IN
from ambergate.services.web.server import TlsFiles, running
from ambergate.simulator.evidence import SimulatedEvidenceSource, SimulatedTdEvidenceSource
from ambergate.stores.audit_rows import read_entries
from ambergate.stores.engine import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Postgres
    from tests.integration.attestation.scene import Service

    from ambergate.client.ports import EvidenceSource
    from ambergate.core.release.envelope import Tee
    from ambergate.services.keybroker.ports import KeyManager

AES: Final = KeyKind.of("AES", bits=256)
WORKLOAD: Final = rsa.generate_private_key(65537, 3072)
POLICIES: Final = {
    "SGX": {"mr_enclave": [ENCLAVE.mr_enclave.hex()], "insecure_accept_simulated": True},
    "TDX": {"mr_td": [TD.mr_td.hex()], "rtmr3": [TD.rtmrs[3].hex()], "insecure_accept_simulated": True},
}
BROKER: Final = """\
[listen]
port = 0
certificate = "{tls.certificate}"
key = "{tls.key}"
[store]
database = "{database}"
key_encryption_key = "broker.kek"
[[issuers]]
issuer = "{issuer}"
jwks_url = "https://127.0.0.1:{service.port}/certs"
cacerts = "{service.ca}"
insecure_accept_simulated = true
[verifier]
url = "https://127.0.0.1:{service.port}/appraisal/v1/"
api_key_file = "verifier.key"
cacerts = "{service.ca}"
timeout_seconds = 60
"""


@dataclass
class Outside:
    """The key managers beside the built-in one, by name; and why those that are not there are not."""

    made: dict[str, KeyManager] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """An attestation service and a broker, each on a database of one kind."""

    service: Service
    state: broker.State
    client: httpx.Client
    sessions: dict[EvidenceSource, Session] = field(default_factory=dict)

    def key(self, manager: str, tee: Tee) -> UUID:
        """A key that this manager makes, for the one program or machine that its owner means."""
        keys, key = self.state.keys(AuditTrail(self.state.audit, lambda: (None, None)), by="test"), uuid4()
        keys.create(key, AES, ResourcePolicy.from_mapping(POLICIES[tee]), at=AT, manager=manager)
        return key

    def source(self, tee: Tee, *, other: bool = False) -> EvidenceSource:
        """Evidence of it, or of one that differs in a single register."""
        if tee == "SGX":
            other_enclave = replace(ENCLAVE, mr_enclave=MrEnclave(bytes(32)))
            return SimulatedEvidenceSource(self.service.platform, other_enclave if other else ENCLAVE)
        other_td = replace(TD, rtmrs=(*TD.rtmrs[:3], TD.rtmrs[2]))
        return SimulatedTdEvidenceSource(self.service.platform, other_td if other else TD)

    def passport(self, key: UUID, source: EvidenceSource) -> bytes:
        """The workload gets a token, and shows that: as /dev/amber/secret asks."""
        settings = Settings(cacerts=self.service.ca.read_text())
        for name, value in (
            ("endpoint_url", f"https://127.0.0.1:{self.service.port}/appraisal/v1/"),
            ("endpoint_apikey", self.service.api_key),
            ("kbs_url", f"{self.client.base_url}/kbs/v1/keys/"),
            ("kbs_keyid", str(key)),
            ("timeout", "60"),
        ):
            settings = settings.changed(name, value.encode())
        if source not in self.sessions:  # each makes a key of its own, which takes longer than all the rest
            self.sessions[source] = Session(settings, source, now=self.service.clock, token_bytes=secrets.token_bytes)
        return self.sessions[source].secret(settings)

    def background(self, key: UUID, source: EvidenceSource) -> bytes:
        """The workload hands its evidence to the broker, which asks the attestation service about it."""
        path, tee = f"/kbs/v1/keys/{key}/transfer", source.tee
        first = self.client.post(path)
        assert (first.status_code, first.headers["attestation-type"]) == (200, tee)
        nonce, data = first.json(), encode_held_key(WORKLOAD.public_key(), tee="TDX" if tee == "TDX" else "SGX")
        quote = source.quote((td_bound if tee == "TDX" else bound)(nonce, data))
        body = {"quote": b64encode(quote).decode(), "nonce": nonce, "user_data": b64encode(data).decode()}
        second = self.client.post(path, json=body, headers={"attestation-type": tee, "amber-wrapping": "key-wrap"})
        if second.status_code == 401:
            raise ReleaseRefused("refused", mismatches=second.json()["mismatches"])
        assert second.status_code == 200, second.text
        return keybroker.opened(WORKLOAD, second.json(), limit=65536)

    def records(self, key: UUID) -> list[tuple[str, list[str]]]:
        """What the audit log says became of requests for this key: verdicts, and the rules that refused."""
        with reading(self.state.database) as connection:
            told = [json.loads(entry.record) for entry in read_entries(connection, 0, 1_000_000)]
        return [
            (each["verdict"], [mismatch["rule"] for mismatch in each.get("mismatches", ())])
            for each in told
            if each.get("key_id") == str(key)
        ]


@pytest.fixture(scope="module")
def outside(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Outside]:
    found = Outside()
    with ExitStack() as stack:
        for kind in KINDS:
            try:
                place = key_manager(kind, tls, tmp_path_factory.mktemp(kind), request)
                found.made[kind] = stack.enter_context(place)
            except pytest.skip.Exception as exc:
                found.missing[kind] = str(exc)
        yield found


@contextmanager
def site_on(databases: tuple[str, str], folder: Path, tls: TlsFiles, outside: Outside) -> Iterator[Site]:
    """Both services, from the files that their operators write."""
    clock, platform = Clock(), new_platform(folder)
    told = CONFIG.format(base_url=BASE_URL, certificate=tls.certificate, key=tls.key, more=SIMULATED)
    (folder / "attestation.toml").write_text(told.replace("attestation.sqlite", databases[0]))
    theirs = load_attestation(folder / "attestation.toml")
    with ExitStack() as stack:
        kept = stack.enter_context(attestation.open_state(theirs, at=AT))
        service = stack.enter_context(serving(theirs, kept, directory_roots(theirs), platform, clock=clock))
        (beside := folder / "broker").mkdir()
        (beside / "verifier.key").write_text(kept.api_keys.create("the broker", at=AT)[1])
        text = BROKER.format(tls=tls, database=databases[1], issuer=ISSUER, service=service)
        (beside / "broker.toml").write_text(text)
        ours = load(beside / "broker.toml")
        assert ours.verifier is not None
        stack.callback(ours.verifier.close)
        opened = stack.enter_context(broker.open_state(ours, now=clock))
        state = replace(opened, managers={**opened.managers, **outside.made})
        app = broker.create_app(state, ours.trust, now=clock, options=broker.Options.of(ours))
        port = stack.enter_context(running(app, tls))
        context = ssl.create_default_context(cafile=str(service.ca))
        base = f"https://127.0.0.1:{port}"
        client = stack.enter_context(httpx.Client(base_url=base, verify=context, trust_env=False, timeout=60))
        yield Site(service, state, client)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory, outside: Outside, request: pytest.FixtureRequest
) -> Iterator[Site]:
    databases = ("attestation.sqlite", "broker.sqlite")
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        databases = (server.fresh(), server.fresh())
    with site_on(databases, tmp_path_factory.mktemp("site"), tls, outside) as site:
        yield site


@pytest.mark.parametrize("manager", [BUILT_IN, *KINDS])
@pytest.mark.parametrize("tee", ["SGX", "TDX"])
@pytest.mark.parametrize("flow", [Site.passport, Site.background], ids=lambda flow: flow.__name__)
def test_who_is_meant_gets_the_key_and_nobody_else(
    site: Site, outside: Outside, manager: str, tee: Tee, flow: Callable[[Site, UUID, EvidenceSource], bytes]
) -> None:
    """Each release and each refusal is in the audit log of that database."""
    if manager in outside.missing:
        pytest.skip(outside.missing[manager])
    site.service.clock.instant += timedelta(minutes=10)  # no token, and no key set, of the time before counts
    key = site.key(manager, tee)
    first, again = (flow(site, key, site.source(tee)) for _ in range(2))
    assert len(first) == 32
    assert first == again
    with pytest.raises(ReleaseRefused) as caught:
        flow(site, key, site.source(tee, other=True))
    rule = "mr_enclave" if tee == "SGX" else "rtmr3"
    assert [each["rule"] for each in caught.value.mismatches] == [rule]
    assert site.records(key) == [("released", []), ("released", []), ("refused", [rule])]
