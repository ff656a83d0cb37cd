"""Management at a place of its own: nothing of it is where enclaves ask."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.keybroker.forge import ISSUER, Forge
from tests.integration.keybroker.scene import PASSWORD, running_broker

from ambergate.core.errors import SettingsError, Unavailable
from ambergate.services.keybroker.access import ManagementRoute
from ambergate.services.keybroker.admin_place import AdminPlace
from ambergate.services.keybroker.permissions import PERMISSIONS
from ambergate.services.keybroker.trust import IssuerKeys, TrustedIssuer, TrustedIssuers
from ambergate.services.web.server import bound_unix_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.services.web.server import TlsFiles


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: a UNIX socket's path has 107 octets at most."""
    with tempfile.TemporaryDirectory(prefix="amber") as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["socket", "port"])
def test_management_is_there_and_nowhere_else(
    tls: TlsFiles, ca: Path, tmp_path: Path, short: Path, forge: Forge, kind: str
) -> None:
    context = ssl.create_default_context(cafile=ca)
    place = AdminPlace(unix=short / "s") if kind == "socket" else AdminPlace()
    keys = IssuerKeys(lambda: json.dumps(forge.key_set()))
    trust = TrustedIssuers([TrustedIssuer(issuer=ISSUER, keys=keys)])
    with running_broker(trust, tls, tmp_path, admin=place) as broker:
        assert broker.admin is not None
        uds = str(short / "s") if kind == "socket" else None
        base = f"https://localhost:{broker.admin.port or broker.port}"
        with httpx.Client(transport=httpx.HTTPTransport(uds=uds, verify=context), base_url=base) as admin:
            broker.user("admin", PASSWORD, PERMISSIONS)
            body = {"username": "admin", "password": PASSWORD}
            token = admin.post("/kbs/v1/token", json=body, headers={"accept": "application/jwt"}).text
            held = {"authorization": f"Bearer {token}"}
            assert admin.get("/kbs/v1/users", headers=held).status_code == 200
            assert admin.get("/healthz").status_code == 200
            managed = [route for route in broker.app.routes if isinstance(route, ManagementRoute)]
            assert len(managed) > 20
            for route in managed:
                for method in route.methods or ():
                    path = route.path.replace("{id}", "0").replace("{number}", "1")
                    assert broker.client.request(method, path, headers=held).status_code in {404, 405}, (method, path)
        assert broker.transfer(forge.token()).status_code == 200


def test_a_socket_is_its_owners_alone_and_is_taken_over_when_nobody_listens(short: Path) -> None:
    path = short / "s"
    with closing(bound_unix_socket(path)) as first:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        first.listen()
        with pytest.raises(Unavailable):
            bound_unix_socket(path)
    with closing(bound_unix_socket(path)):
        assert path.is_socket()


def test_nothing_else_is_replaced(short: Path) -> None:
    (short / "s").write_text("a file")
    with pytest.raises(Unavailable):
        bound_unix_socket(short / "s")
    with pytest.raises(Unavailable):
        bound_unix_socket(short / "missing" / "s")
    assert (short / "s").read_text() == "a file"


def test_a_place_is_one(tmp_path: Path) -> None:
    assert AdminPlace.of(socket=None, host="127.0.0.1", port=None, folder=tmp_path) is None
    assert AdminPlace.of(socket="s", host="127.0.0.1", port=None, folder=tmp_path) == AdminPlace(unix=tmp_path / "s")
    with pytest.raises(SettingsError):
        AdminPlace.of(socket="s", host="127.0.0.1", port=1, folder=tmp_path)


def test_an_address_is_known_by_its_port() -> None:
    listener, listening = AdminPlace().bind()
    with closing(listener):
        assert listening.got({"server": ("10.0.0.1", listening.port)})
        assert not listening.got({"server": ("127.0.0.1", 1)})
        assert not listening.got({"server": None})
        assert not listening.got({"server": ("/run/socket", None)})
        assert isinstance(listener, socket.socket)
