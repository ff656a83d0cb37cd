"""What the broker's tests play with: a clock that they turn, an issuer's key set, a running broker."""

from __future__ import annotations

import json
import ssl
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import argon2
import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.integration.keybroker.forge import AT, MR_ENCLAVE, MR_SIGNER

from ambergate.core.release.resource_policy import ResourcePolicy
from ambergate.services.keybroker.app import Options, State, create_app
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.passwords import Passwords
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.services.keybroker.users import OPERATOR, Users
from ambergate.services.web.server import running
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_rows import read_entries
from ambergate.stores.checkpoints import CheckpointSigner
from ambergate.stores.engine import open_database, reading
from ambergate.stores.sealing import Sealer
from ambergate.stores.secrets import SecretStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Engine
    from starlette.requests import Request

    from ambergate.core.release.material import KeyKind
    from ambergate.services.keybroker.admin_place import AdminPlace, Listening
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.keybroker.ports import KeyManager
    from ambergate.services.keybroker.trust import TrustedIssuers
    from ambergate.services.web.server import TlsFiles

# Of a broker whose commands are tried: its files need not be there.
CONFIG: Final = """\
[listen]
port = 0
certificate = "cert.pem"
key = "key.pem"
[store]
database = "broker.sqlite"
key_encryption_key = "broker.kek"
[[issuers]]
issuer = "https://attest.example:8443"
jwks_file = "keys.json"
"""
PASSWORDS: Final = Passwords(argon2.profiles.CHEAPEST)
OPTIONS: Final = Options(passwords=PASSWORDS)
PASSWORD: Final = "testUserPassword"
SECRET: Final = b"thirty-two bytes of real secret!"
# Version 3, as in the original's sample configuration: any version must do.
KEY_ID: Final = UUID("ae6281b3-e4fe-3db5-82fd-000000000001")
LOOSE_KEY_ID: Final = UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
STRICT: Final = ResourcePolicy.from_mapping(
    {"mr_enclave": MR_ENCLAVE, "mr_signer": MR_SIGNER, "isv_prod_id": 7, "minimum_isv_svn": 3}
)
LOOSE: Final = ResourcePolicy.from_mapping(
    {**STRICT.to_mapping(), "dangerously_allow_debug": True, "insecure_accept_simulated": True}
)


@dataclass
class Clock:
    """The broker's clock."""

    instant: datetime = AT

    def __call__(self) -> datetime:
        return self.instant


@dataclass
class KeySetServer:
    """What the issuer answers at /certs, and how often it was asked."""

    body: object
    status: int = 200
    asked: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def app(self) -> Starlette:
        async def certs(request: Request) -> Response:
            del request
            self.asked += 1
            return JSONResponse(self.body, self.status, self.headers)

        return Starlette(routes=[Route("/certs", certs)])


@dataclass
class Broker:
    """A running key broker."""

    client: httpx.Client
    port: int
    clock: Clock
    state: State
    engine: Engine
    app: Starlette
    admin: Listening | None = None

    @property
    def store(self) -> SecretStore:
        return self.state.secrets

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Every record of its audit log."""
        with reading(self.engine) as connection:
            return [json.loads(entry.record) for entry in read_entries(connection, 0, 1_000_000)]

    def user(self, name: str, password: str, permissions: Sequence[str]) -> UUID:
        """A user, made as on the broker's own machine."""
        trail = AuditTrail(self.state.audit, lambda: (None, None))
        users = Users(store=self.state.users, passwords=PASSWORDS, journal=trail)
        return users.create(name, password, permissions, by=OPERATOR, at=AT).id

    @contextmanager
    def knowing(self, name: str, manager: KeyManager) -> Iterator[None]:
        """For a while one more key manager, by this name."""
        held = self.state.managers
        assert isinstance(held, dict)
        held[name] = manager
        try:
            yield
        finally:
            del held[name]

    def make(self, manager: str, kind: KeyKind, policy: ResourcePolicy = LOOSE) -> UUID:
        """A key in this key manager, made as on the broker's own machine."""
        key = uuid4()
        keys = self.state.keys(AuditTrail(self.state.audit, lambda: (None, None)), by="test")
        keys.create(key, kind, policy, at=AT, manager=manager)
        return key

    def transfer(self, token: str, key_id: object = KEY_ID, **headers: str) -> httpx.Response:
        return self.client.post(f"/kbs/v1/keys/{key_id}/transfer", json={"attestation_token": token}, headers=headers)


@contextmanager
def running_broker(
    trust: TrustedIssuers,
    tls: TlsFiles,
    folder: Path,
    *,
    options: Options = OPTIONS,
    metrics: BrokerMetrics | None = None,
    admin: AdminPlace | None = None,
) -> Iterator[Broker]:
    """A key broker on a real socket with two keys, one under a strict and one under a loose policy."""
    clock = Clock()
    with ExitStack() as stack:
        engine = open_database(folder / "broker.sqlite")
        stack.callback(engine.dispose)
        store = SecretStore(engine, Sealer(b"k" * 32))
        store.add(KEY_ID, SECRET, STRICT, at=AT)
        store.add(LOOSE_KEY_ID, SECRET, LOOSE, at=AT)
        signer = CheckpointSigner("keybroker/audit/v1", bytes(32))
        log = stack.enter_context(closing(AuditLog(engine, signer, now=clock)))
        state = State(engine, store, log, b"b" * 32)
        more, listening = ([], None) if admin is None else ([(bound := admin.bind())[0]], bound[1])
        options = replace(options, listening=listening)
        app = create_app(state, trust, now=clock, options=options, metrics=metrics)
        port = stack.enter_context(running(app, tls, *more))
        context = ssl.create_default_context(cafile=str(tls.certificate.with_name("ca.pem")))
        base = f"https://127.0.0.1:{port}"
        client = stack.enter_context(httpx.Client(base_url=base, verify=context, trust_env=False))
        yield Broker(client, port, clock, state, engine, app, listening)


class Person:
    """A user of the broker who is logged in, and their client."""

    def __init__(self, broker: Broker, *permissions: str) -> None:
        self.broker = broker
        self.name = f"user-{uuid4()}"
        self.id = broker.user(self.name, PASSWORD, permissions or PERMISSIONS)
        self.token = login(broker, self.name).text

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401  httpx's own
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.broker.client.request(method, path, headers=headers, **more)


def login(broker: Broker, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    """As Intel's documentation has it."""
    said = {"accept": "application/jwt", "content-type": "application/json", **headers}
    return broker.client.post("/kbs/v1/token", json={"username": name, "password": password}, headers=said)
