"""An attestation service on a real TLS socket, a software platform, and a clock that the tests turn."""

from __future__ import annotations

import hashlib
import json
import ssl
from base64 import b64decode, b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import jwt
from tests.unit.simulator.stream import stream

from ambergate.core.token.check import AttestationClaims, KeySet, check_token
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.pcs.offline import DirectoryCollateral
from ambergate.services.attestation.app import State, create_app, open_state
from ambergate.services.attestation.config import Config, load
from ambergate.services.attestation.usecase import Trust
from ambergate.services.web.server import TlsFiles, running
from ambergate.simulator.cpu import EnclaveIdentity
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.measurements import Fmspc
    from ambergate.services.attestation.metrics import AttestationMetrics

AT: Final = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
BASE_URL: Final = "https://attest.example:8443"
ISSUER: Final = f"{BASE_URL}/simulated"
ENCLAVE: Final = EnclaveIdentity.of_program([b"an application"], isv_svn=3)
CONFIG: Final = """\
base_url = "{base_url}"
[listen]
port = 0
certificate = "{certificate}"
key = "{key}"
[store]
database = "attestation.sqlite"
key_encryption_key = "attestation.kek"
{more}
"""
SIMULATED: Final = '[[anchors]]\npem = "root_ca.pem"\nsimulated = true\ncollateral = "collateral"\n'
INTEL: Final = '[[anchors]]\nintel = true\ncollateral = "collateral"\n'

Body = dict[str, Any]


@dataclass
class Clock:
    """The service's clock."""

    instant: datetime = AT

    def __call__(self) -> datetime:
        return self.instant


@dataclass
class Shelf:
    """A source of collateral that hands out what a test put there."""

    held: Collateral | None = None

    def collateral(self, *, fmspc: Fmspc, ca: str, tee: str) -> Collateral:
        del fmspc, ca, tee
        assert self.held is not None
        return self.held


@dataclass(frozen=True)
class Service:
    """A running service and how to reach it."""

    client: httpx.Client
    port: int
    ca: Path
    api_key: str
    folder: Path
    platform: SimulatedPlatform
    clock: Clock = field(default_factory=Clock)

    def nonce(self) -> dict[str, str]:
        answer = self.client.get("/appraisal/v1/nonce")
        assert answer.status_code == 200
        return dict(answer.json())

    def evidence(self, nonce: dict[str, str] | None, data: bytes = b"", *, enclave: EnclaveIdentity = ENCLAVE) -> Body:
        """A request as an honest client makes it: the quote binds the nonce and the data."""
        body: Body = {"quote": b64(self.platform.quote(enclave, bound(nonce, data)))}
        if nonce is not None:
            body["verifier_nonce"] = nonce
        if data:
            body["runtime_data"] = b64(data)
        return body

    def attest(self, body: object, *, path: str = "/appraisal/v1/attest", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        usual = {"content-type": "application/json", "accept": "application/json"}
        return self.client.post(path, content=content, headers={**usual, **headers})

    def keys(self, path: str = "/certs") -> KeySet:
        return KeySet.from_json(self.client.get(path).text)

    def claims(self, answer: httpx.Response) -> AttestationClaims:
        """What a relying party makes of an answer, with the keys that the token says it needs."""
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"token"}
        token = answer.json()["token"]
        path = str(jwt.get_unverified_header(token)["jku"]).removeprefix(BASE_URL)
        return check_token(token, self.keys(path), issuer=ISSUER, at=self.clock.instant, accept_simulated=True)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def bound(nonce: dict[str, str] | None, data: bytes = b"") -> bytes:
    """REPORTDATA for nonce and data: wire protocol, section 2."""
    fresh = b"" if nonce is None else b64decode(nonce["val"]) + b64decode(nonce["iat"])
    return hashlib.sha256(fresh + data).digest() + bytes(32)


def new_platform(folder: Path, name: str = "attestation service") -> SimulatedPlatform:
    """A platform whose root and collateral lie in the folder as its operator would put them."""
    platform = SimulatedPlatform.create(at=AT, random=stream(name))
    (folder / "root_ca.pem").write_text(platform.root_pem)
    platform.save_collateral(folder, at=AT)
    return platform


def configure(folder: Path, tls: TlsFiles, more: str = SIMULATED) -> Config:
    text = CONFIG.format(base_url=BASE_URL, certificate=tls.certificate, key=tls.key, more=more)
    (folder / "attestation.toml").write_text(text)
    return load(folder / "attestation.toml")


def directory_roots(config: Config) -> list[Trust]:
    return [
        Trust(
            anchor=anchor.anchor,
            collateral=DirectoryCollateral(config.checkpoint.parent / "collateral"),
            simulated=anchor.simulated,
        )
        for anchor in config.anchors
    ]


def shelf_root(platform: SimulatedPlatform, shelf: Shelf) -> list[Trust]:
    return [Trust(anchor=TrustAnchor.from_pem(platform.root_pem), collateral=shelf, simulated=True)]


@contextmanager
def serving(
    config: Config,
    state: State,
    roots: Sequence[Trust],
    platform: SimulatedPlatform,
    *,
    clock: Clock | None = None,
    metrics: AttestationMetrics | None = None,
) -> Iterator[Service]:
    """The service on a socket, with one API key, its clock at `AT` unless one is given."""
    clock = clock or Clock()
    _, api_key = state.api_keys.create("tests", at=AT)
    ca = config.tls.certificate.with_name("ca.pem")
    with ExitStack() as stack:
        port = stack.enter_context(running(create_app(config, state, roots, now=clock, metrics=metrics), config.tls))
        client = stack.enter_context(
            httpx.Client(
                base_url=f"https://127.0.0.1:{port}",
                verify=ssl.create_default_context(cafile=str(ca)),
                trust_env=False,
                headers={"x-api-key": api_key},
            )
        )
        yield Service(client, port, ca, api_key, config.checkpoint.parent, platform, clock)


@contextmanager
def started(folder: Path, tls: TlsFiles, more: str = SIMULATED) -> Iterator[Service]:
    """A service in a folder of its own, as its operator starts it."""
    platform = new_platform(folder)
    config = configure(folder, tls, more)
    with open_state(config, at=AT) as state, serving(config, state, directory_roots(config), platform) as service:
        yield service
