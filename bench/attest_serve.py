"""`python -m bench.attest_serve KIND FOLDER`: one of the servers that are compared, each its own process.

    service      the attestation service as its operator runs it
    unrecorded   the same without its audit log: what the record of a decision costs is the difference
    watched      the service with metrics, and with an access log in JSON that is thrown away
    bare         an ASGI handler under the same server and TLS that does the two crypto operations and nothing else: one
                 P-256 verification and the signature of a token

Writes its port, and then for every line that it reads how much CPU it has taken, in nanoseconds. Ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from ambergate.cli.attestation import open_roots
from ambergate.services.attestation.app import create_app, open_state
from ambergate.services.attestation.config import load
from ambergate.services.attestation.metrics import AttestationMetrics
from ambergate.services.web.live import Live
from ambergate.services.web.logs import log_to
from ambergate.services.web.server import TlsFiles, bound_socket, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambergate.stores.audit import AuditLog
    from ambergate.stores.audit_rows import Draft

    Message = dict[str, Any]

SIGNED = b"x" * 432  # header and body of an SGX quote
CLAIMS = b"c" * 2100  # characters of a token in front of its signature


def main() -> None:
    """Serve until the input ends."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    tls = TlsFiles(certificate=folder / "cert.pem", key=folder / "key.pem")
    listener = bound_socket("127.0.0.1", 0)
    port = listener.getsockname()[1]

    def started() -> None:
        print(port, flush=True)
        threading.Thread(target=_tell, daemon=True).start()

    with application(kind, folder) as app:
        serve(Live.lasting(app, tls), listener, on_start=started)


@contextlib.contextmanager
def application(kind: str, folder: Path) -> Iterator[Any]:
    """The ASGI application of this kind."""
    logging.basicConfig(level=logging.WARNING)
    if kind == "bare":
        yield bare_handler()
        return
    config = load(folder / "attestation.toml")
    with contextlib.ExitStack() as stack:
        metrics = None
        if kind == "watched":
            log_to(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8")), form="json")
            metrics = AttestationMetrics()
        state = stack.enter_context(open_state(config, at=_now()))
        roots = stack.enter_context(open_roots(config, state.collateral))
        kept = state if kind != "unrecorded" else replace(state, audit=cast("AuditLog", Unrecorded()))
        yield create_app(config, kept, roots, now=_now, metrics=metrics)


class Unrecorded:
    """An audit log that forgets."""

    def append_soon(self, draft: Draft) -> asyncio.Future[int]:
        """Nothing."""
        del draft
        done = asyncio.get_running_loop().create_future()
        done.set_result(0)
        return done

    def check(self) -> None:
        """Nothing."""


def bare_handler() -> Any:  # noqa: ANN401  an ASGI application
    """One verification and one signature a request; which signature, the path says."""
    verify, sign = _operations()

    async def handle(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        verify()
        body = json.dumps({"token": CLAIMS.decode() + sign[scope["path"]]().hex()}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return handle


def _operations() -> tuple[Callable[[], None], dict[str, Callable[[], bytes]]]:
    attester, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    modulus = rsa.generate_private_key(65537, 3072)
    public, algorithm = attester.public_key(), ec.ECDSA(hashes.SHA256())
    signature = attester.sign(SIGNED, algorithm)
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
    return lambda: public.verify(signature, SIGNED, algorithm), {
        "/ES256": lambda: signer.sign(CLAIMS, algorithm),
        "/PS384": lambda: modulus.sign(CLAIMS, pss, hashes.SHA384()),
    }


def _now() -> datetime:
    return datetime.now(UTC)


def _tell() -> None:
    for _ in sys.stdin:
        print(time.process_time_ns(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
