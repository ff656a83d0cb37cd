"""The key broker without its database, or without room for it: nothing leaves without a record, nothing is lost."""

from __future__ import annotations

import json
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from tests.integration.keybroker.forge import ISSUER, MR_ENCLAVE, Forge
from tests.integration.keybroker.scene import PASSWORDS, SECRET, Clock
from tests.integration.outages.scene import SECOND, TURNS, fill
from tests.postgres import postgres_wheel

from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.keybroker.app import Options, State, create_app, open_state
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.config import load
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.services.keybroker.users import OPERATOR, Users
from ambergate.services.web.server import TlsFiles, running
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import read_entries
from ambergate.stores.transactions import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """\
[listen]
port = 0
certificate = "{tls.certificate}"
key = "{tls.key}"
[store]
database = "{database}"
key_encryption_key = "broker.kek"
[[issuers]]
issuer = "{issuer}"
jwks_file = "keys.json"
"""
KEY = UUID("5f3c4a9e-0d5c-4c3b-9d3f-0d1c2b3a4f88")
PASSWORD = "a good password"


@dataclass
class BrokerOutage:
    """A broker, and all that it has said that it did."""

    client: httpx.Client
    clock: Clock
    state: State
    forge: Forge
    bearer: str = ""
    policy: str = ""
    released: int = 0
    made: list[UUID] = field(default_factory=list)

    def release(self) -> str:
        """Ask for the key: "released", or the code of the 503. Each release is counted, too: the policy has a bound."""
        answer = self.client.post(f"/kbs/v1/keys/{KEY}/transfer", json={"attestation_token": self.forge.token()})
        if answer.status_code == 200:
            self.released += 1
            return "released"
        assert "wrapped" not in answer.text
        assert answer.status_code == 503, answer.text
        return str(answer.json()["code"])

    def make(self) -> str:
        """Have a key made: "made", or the code of the 503."""
        body = {"policy_id": self.policy, "algorithm": "AES", "bits": 256}
        answer = self.client.post("/broker/v1/keys", json=body, headers={"authorization": f"Bearer {self.bearer}"})
        if answer.status_code == 201:
            self.made.append(UUID(answer.json()["id"]))
            return "made"
        assert answer.status_code == 503, answer.text
        return str(answer.json()["code"])

    def ready(self) -> list[str]:
        """The names of the checks that fail. A second passes, so that it is looked anew."""
        self.clock.instant += SECOND
        answer = self.client.get("/readyz")
        assert self.client.get("/healthz").status_code == 200, "it lives all the time"
        return [name for name, check in answer.json()["checks"].items() if not check["ok"]]

    def prepare(self) -> None:
        """A user who may do all, their policy, and a key that is released a bounded number of times."""
        users = Users(
            store=self.state.users, passwords=PASSWORDS, journal=AuditTrail(self.state.audit, lambda: (None, None))
        )
        users.create("operator", PASSWORD, PERMISSIONS, by=OPERATOR, at=self.clock.instant)
        said = {"accept": "application/jwt", "content-type": "application/json"}
        login = {"username": "operator", "password": PASSWORD}
        self.bearer = self.client.post("/kbs/v1/token", json=login, headers=said).raise_for_status().text
        document = {"release_policy": {"mr_enclave": MR_ENCLAVE}}
        headers = {"authorization": f"Bearer {self.bearer}"}
        made = self.client.post("/kbs/v1/key-transfer-policies", json=document, headers=headers)
        self.policy = made.raise_for_status().json()["id"]
        bounded = ResourcePolicy.from_mapping({"mr_enclave": MR_ENCLAVE, "max_releases": 1_000_000})
        self.state.secrets.add(KEY, SECRET, bounded, at=self.clock.instant)

    def goes_on(self) -> None:
        """Within `TURNS` looks it does all again, and nothing that it said is lost."""
        turns = iter(range(TURNS))
        while self.release() != "released":
            next(turns)
        while self.make() != "made":
            next(turns)
        assert self.ready() == []
        self.check_nothing_is_lost()

    def check_nothing_is_lost(self) -> None:
        """The log is whole, has a record of each release, and every key that was said to be made opens."""
        with reading(self.state.database) as connection:
            check_whole(connection, self.state.audit.key)
            records: list[dict[str, Any]] = [
                json.loads(entry.record) for entry in read_entries(connection, 0, 1_000_000)
            ]
        assert len([each for each in records if each["verdict"] == "released"]) >= self.released
        for key in self.made:
            found = self.state.secrets.find(key)
            assert found is not None
            assert len(self.state.secrets.reveal(found)) == 32


@contextmanager
def broker_outage(folder: Path, tls: TlsFiles, database: str) -> Iterator[BrokerOutage]:
    """A broker as its operator configures it, its clock turned by the test."""
    forge, clock = Forge(), Clock()
    (folder / "keys.json").write_text(json.dumps(forge.key_set()))
    (folder / "broker.toml").write_text(CONFIG.format(tls=tls, database=database, issuer=ISSUER))
    config = load(folder / "broker.toml")
    with ExitStack() as stack:
        state = stack.enter_context(open_state(config, now=clock))
        options = replace(Options.of(config), passwords=PASSWORDS)
        port = stack.enter_context(running(create_app(state, config.trust, now=clock, options=options), tls))
        context = ssl.create_default_context(cafile=str(tls.certificate.with_name("ca.pem")))
        base = f"https://127.0.0.1:{port}"
        client = stack.enter_context(httpx.Client(base_url=base, verify=context, trust_env=False, timeout=60))
        it = BrokerOutage(client, clock, state, forge)
        it.prepare()
        yield it


def test_the_database_is_gone_for_a_while(tmp_path: Path, tls: TlsFiles, server: Any) -> None:  # noqa: ANN401  # the wheel has no types
    uri = server.get_uri().replace("postgres:@", "postgres@")
    with broker_outage(tmp_path, tls, uri) as it:
        assert (it.release(), it.make(), it.ready()) == ("released", "made", [])
        server.stop()
        for _ in range(3):
            assert it.release() in {"unavailable", "audit-unavailable"}
            assert it.make() in {"unavailable", "audit-unavailable"}
        assert {"database", "audit"} <= set(it.ready())

        server.start()
        it.goes_on()


def test_the_databases_disk_is_full(disk: Path, tls: TlsFiles) -> None:
    with broker_outage(disk, tls, "broker.sqlite") as it:
        assert (it.release(), it.make()) == ("released", "made")
        ballast = fill(disk)
        turns = iter(range(TURNS))
        while it.release() == "released":  # into room that the database had taken before: these are kept
            next(turns)
        for _ in range(5):
            assert it.release() in {"unavailable", "audit-unavailable"}
            assert it.make() in {"unavailable", "audit-unavailable"}
            fill(disk)
        assert it.ready() == ["audit"], "reading goes on"

        ballast.unlink()
        assert (it.release(), it.make(), it.ready()) == ("released", "made", [])
        it.check_nothing_is_lost()


def test_the_servers_disk_is_full(tmp_path: Path, tls: TlsFiles, server_disk: Path) -> None:
    """A PostgreSQL that takes no row more."""
    pgserver = postgres_wheel()
    with pgserver.get_server(server_disk / "data", cleanup_mode="delete") as server:
        uri = server.get_uri().replace("postgres:@", "postgres@")
        with broker_outage(tmp_path, tls, uri) as it:
            assert (it.release(), it.make()) == ("released", "made")
            ballast = fill(server_disk)
            turns = iter(range(TURNS))
            while it.release() == "released":
                next(turns)
            for _ in range(5):
                assert it.release() in {"unavailable", "audit-unavailable"}
                assert it.make() in {"made", "unavailable", "audit-unavailable"}

            ballast.unlink()
            it.goes_on()
