"""The table of faults in docs/dev-amber.md, row by row: the real client against services that really misbehave."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trustme
from tests.unit.client.conftest import HOST, TlsServer, _accept, plain
from tests.unit.client.test_session import Services, Source

from ambergate.client.session import Session
from ambergate.client.settings import Settings
from ambergate.devices.model import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE: Final = Path(__file__).parents[3] / "docs" / "dev-amber.md"
NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINE: Final = 1.0  # seconds for one request; more than an honest service takes on a busy machine
LATE: Final = 1.0  # seconds after the deadline in which the errno must be there
TOKEN: Final = ("nonce", "attest")
SECRET: Final = ("transfer",)
BOTH: Final = (*TOKEN, *SECRET)
KEY: Final = "bm90LWEtcmVhbC1rZXk="


def refusal(status: str, **document: object) -> bytes:
    return plain(json.dumps({"error": "no", **document}).encode(), status=status)


# Faults that are answers: what is answered, and at which steps.
ANSWERS: Final[dict[str, tuple[bytes, tuple[str, ...]]]] = {
    "answer cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", BOTH),
    "answer too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{", BOTH),
    "answer too long, length not announced": (b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 300_000, BOTH),
    "answer that is no JSON": (plain(b"<html>hello</html>"), BOTH),
    "answer without what was asked for": (plain(b"{}"), BOTH),
    "redirected elsewhere": (plain(b"", status="302 Found", headers="Location: https://other.example/\r\n"), BOTH),
    "401: the API key is not accepted": (refusal("401 Unauthorized"), TOKEN),
    "404: no such thing there": (refusal("404 Not Found"), BOTH),
    "429: too many requests": (refusal("429 Too Many Requests"), BOTH),
    "500: the service fails": (refusal("500 Internal Server Error"), BOTH),
    "400: the evidence is not genuine": (refusal("400 Bad Request", code="pck-revoked", step="2.9"), ("attest",)),
    "400: the policy refuses": (
        refusal("400 Bad Request", code="not-welcome", mismatches=[{"rule": "mr_enclave", "seen": "a", "wanted": "b"}]),
        ("attest",),
    ),
    "403: the key broker refuses": (refusal("403 Forbidden", code="release-refused", mismatches=[]), SECRET),
    "401: the key broker takes no such token": (refusal("401 Unauthorized", code="token-rejected"), SECRET),
}


@lru_cache(maxsize=1)
def page_rows() -> dict[str, tuple[int, str]]:
    """The page's table: fault -> errno and code."""
    table = PAGE.read_text().split("| fault | errno | code |\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return {fault: (getattr(errno, name), code) for fault, name, code in rows}


@lru_cache(maxsize=1)
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.contextmanager
def serving(
    name: str = HOST, *, issuer: trustme.CA | None = None, until: datetime | None = None
) -> Iterator[tuple[TlsServer, Services]]:
    """Both services behind one port, with a certificate for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (issuer or authority()).issue_cert(name, not_after=until).configure_cert(context)
    services = Services()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = TlsServer(listener.getsockname()[1], authority().cert_pem.bytes().decode(), services)
        accepting = threading.Thread(target=_accept, args=(listener, context, server))
        accepting.start()
        try:
            yield server, services
        finally:
            server.released.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def tree(endpoint: int, broker: int | None = None) -> Tree:
    values = {
        "endpoint_url": f"https://{HOST}:{endpoint}/",
        "endpoint_ip": "127.0.0.1",
        "endpoint_apikey": KEY,
        "kbs_url": f"https://{HOST}:{broker or endpoint}/keys/",
        "kbs_ip": "127.0.0.1",
        "kbs_keyid": "k1",
        "cacerts": authority().cert_pem.bytes().decode(),
        "timeout": f"{DEADLINE:g}",
    }
    settings = Settings()
    for name, value in values.items():
        settings = settings.changed(name, value.encode())
    session = Session(settings, Source(), now=lambda: NOW, token_bytes=os.urandom)
    return Tree(session, settings, now=lambda: NOW)


def read(files: Tree, name: str) -> bytes:
    handle = files.open(name, os.O_RDONLY)
    try:
        return files.read(handle, 1 << 16, 0)
    finally:
        files.release(handle)


def check(files: Tree, name: str, fault: str, step: str) -> None:
    """A read fails as the page says, in time, and `status` tells why."""
    number, code = page_rows()[fault]
    began = time.monotonic()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what counts
        read(files, name)
    assert time.monotonic() - began < DEADLINE + LATE
    assert caught.value.errno == number, caught.value
    lines = read(files, "status").decode().splitlines()
    rejected = "rejected" if number == errno.EACCES else "failed"
    first = "Token retrieval failed with error: " if name == "token" else f"provision {rejected}: "
    assert lines[0].startswith(f"[ERROR] {first}")
    steps = {"release", "unwrap"} if step == "transfer" else {step}  # what is missing in an answer shows a step later
    assert f"code: {code}" in lines
    assert steps & {line.removeprefix("step: ") for line in lines}
    assert KEY not in "".join(lines)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(("fault", "step"), [(fault, step) for fault, (_, steps) in ANSWERS.items() for step in steps])
def test_an_answer(fault: str, step: str) -> None:
    answer = ANSWERS[fault][0]
    with serving() as (server, services):
        honest: Callable[[ssl.SSLSocket, bytes], None] = services

        def misbehaving(connection: ssl.SSLSocket, request: bytes) -> None:
            if request.split(b" ")[1].endswith(step.encode()):
                connection.sendall(answer)
                connection.unwrap()
            else:
                honest(connection, request)

        files = tree(server.port)
        if step != "nonce":
            read(files, "token")  # and its key: making one may take longer than a request
        server.answer = misbehaving
        check(files, "secret" if step == "transfer" else "token", fault, step)


@pytest.mark.parametrize("step", BOTH)
def test_an_answer_that_never_ends(step: str) -> None:
    fault = "answer one byte at a time (slow-loris)"
    with serving() as (server, services):
        files = tree(server.port)
        read(files, "token")

        def slowly(connection: ssl.SSLSocket, request: bytes) -> None:
            if not request.split(b" ")[1].endswith(step.encode()):
                services(connection, request)
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            while not server.released.wait(DEADLINE / 10):
                connection.sendall(b" ")

        server.answer = slowly
        check(files, "secret" if step == "transfer" else "token", fault, step)


def test_nothing_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        check(tree(mute.getsockname()[1]), "token", "connection taken, nothing said", "nonce")


def test_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plainly:

        def speak() -> None:
            connection, _ = plainly.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(plain(b"{}"))

        speaking = threading.Thread(target=speak)
        speaking.start()
        check(tree(plainly.getsockname()[1]), "token", "no TLS spoken", "nonce")
        speaking.join()


def test_nobody_there() -> None:
    check(tree(free_port()), "token", "service down", "nonce")


def test_no_broker_there() -> None:
    with serving() as (server, _):
        files = tree(server.port, free_port())
        read(files, "token")
        check(files, "secret", "key broker down", "release")


CERTIFICATES: Final = {
    "wrong address: another service answers": ("another.example", False, None),
    "certificate for another name": ("another.example", False, None),
    "certificate expired": (HOST, False, timedelta(days=-1)),
    "certificate of an unknown root": (HOST, True, None),
}


@pytest.mark.parametrize("fault", sorted(CERTIFICATES))
def test_a_certificate(fault: str) -> None:
    name, unknown, until = CERTIFICATES[fault]
    end = None if until is None else datetime.now(UTC) + until
    with serving(name, issuer=trustme.CA() if unknown else None, until=end) as (server, _):
        check(tree(server.port), "token", fault, "nonce")


def test_sealed_for_another() -> None:
    with serving() as (server, services):
        read(tree(server.port), "token")  # another process' key
        stolen = services.held
        files = tree(server.port)
        read(files, "token")

        def for_another() -> bytes:
            services.held = stolen
            return plain(services.sealed(b"the secret"))

        services.instead["transfer"] = for_another
        check(files, "secret", "a secret sealed for somebody else", "unwrap")


def test_the_page_has_these_faults_and_no_others() -> None:
    here = {
        *(*ANSWERS, *CERTIFICATES, "answer one byte at a time (slow-loris)", "connection taken, nothing said"),
        *("no TLS spoken", "service down", "key broker down", "a secret sealed for somebody else"),
    }
    assert set(page_rows()) == here
