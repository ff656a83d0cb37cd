"""A real KMIP server, PyKMIP's, as a process of its own, over mutual TLS 1.2."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trustme

from ambergate.keymanagers.kmip import KmipPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """\
import sys
from kmip.services.server import KmipServer
server = KmipServer(config_path=sys.argv[1], log_path=sys.argv[2])
with server:
    server.serve()
"""
_CONFIG = """\
[server]
hostname=127.0.0.1
port={port}
certificate_path={folder}/server.pem
key_path={folder}/server.key
ca_path={folder}/ca.pem
auth_suite=TLS1.2
policy_path={folder}/policies
enable_tls_client_auth=False
logging_level=WARNING
database_path={folder}/kmip.sqlite
"""
START = 60  # seconds


@contextmanager
def running_server(folder: Path) -> Iterator[KmipPlace]:
    """The server, and how the broker reaches it."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, identity in (("server", "127.0.0.1"), ("broker", "broker.example")):
        made = authority.issue_cert(identity, common_name=name, key_type=trustme.KeyType.RSA)
        made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    (folder / "policies").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "server.conf").write_text(_CONFIG.format(folder=folder, port=port))
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(folder / "server.conf"), str(folder / "log")]
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait(port, server)
        yield KmipPlace(
            host="127.0.0.1",
            port=port,
            certificate=folder / "broker.pem",
            key=folder / "broker.key",
            cacerts=folder / "ca.pem",
            timeout=20,
        )
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # it has a process of its own for its policies
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)  # there is no other way to know that it listens
        else:
            return
