"""The plainest client there is, of the standard library: what it sees is what was sent."""

from __future__ import annotations

import contextlib
import http.client
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.unit.simulator.stream import stream

from ambergate.simulator.pcs import Armed, Dialect, Shelf, SimulatedPcs
from ambergate.simulator.platform import SimulatedPlatform

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from email.message import Message

AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
PLATFORM = SimulatedPlatform.create(at=AT, random=stream("pcs"))
FMSPC = PLATFORM.fmspc.hex()
TCB = f"/sgx/certification/v4/tcb?fmspc={FMSPC}"
IDENTITY = "/sgx/certification/v4/qe/identity"
PCK_CRL = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"
ROOT_CRL = "/sgx/certification/v4/rootcacrl"


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes

    def chain(self, name: str) -> list[x509.Certificate]:
        """The certificates in a header."""
        return x509.load_pem_x509_certificates(unquote(self.headers[name]).encode())


@contextlib.contextmanager
def serving(
    *faults: str,
    dialect: Dialect = Dialect.PCS,
    platform: SimulatedPlatform = PLATFORM,
    now: Callable[[], datetime] = lambda: AT,
    drip: float = 0.01,
) -> Iterator[SimulatedPcs]:
    """A server on loopback."""
    shelf = Shelf(platform, now=now, random=stream("stranger"))
    with SimulatedPcs(shelf, dialect=dialect, faults=[Armed.parse(text) for text in faults], drip=drip) as server:
        yield server


def get(server: SimulatedPcs, target: str) -> Reply:
    """One request on a connection of its own."""
    with contextlib.closing(connect(server)) as connection:
        connection.request("GET", target)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())


def connect(server: SimulatedPcs, context: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
    trusting = context or server.client_context()
    return http.client.HTTPSConnection(urlsplit(server.url).netloc, context=trusting, timeout=60)


def inner(body: bytes, name: str) -> tuple[bytes, bytes]:
    """The exact text of the inner object, and the signature."""
    head, middle = f'{{"{name}":'.encode(), b',"signature":"'
    assert body.startswith(head)
    text, _, rest = body.removeprefix(head).rpartition(middle)
    return text, bytes.fromhex(rest.removesuffix(b'"}').decode())


def signed_by(certificate: x509.Certificate, text: bytes, signature: bytes) -> None:
    """Raises InvalidSignature when it is not."""
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    key.verify(der, text, ec.ECDSA(hashes.SHA256()))
