"""An application and its certificate are exchanged while they serve."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from starlette.routing import Route
from tests.unit.web.site import Site

from ambergate.core.errors import SettingsError
from ambergate.services.web.application import build
from ambergate.services.web.certificates import Certificates
from ambergate.services.web.live import LOOK_EVERY, Generation, Live
from ambergate.services.web.problems import json_response
from ambergate.services.web.selfsigned import ServerCertificate, make_server_certificate
from ambergate.services.web.server import bound_socket, running, serve
from ambergate.services.web.settings.fixed import keep_fixed
from ambergate.services.web.tls import TlsFiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


@pytest.fixture(scope="module")
def pairs() -> tuple[ServerCertificate, ServerCertificate]:
    first, second = (make_server_certificate(["127.0.0.1"], datetime.now(UTC)) for _ in range(2))
    return first, second


@pytest.fixture
def files(tmp_path: Path, pairs: tuple[ServerCertificate, ServerCertificate]) -> TlsFiles:
    put(tmp_path, pairs[0])
    return TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")


def put(folder: Path, pair: ServerCertificate) -> None:
    (folder / "cert.pem").write_text(pair.cert_pem)
    (folder / "key.pem").write_text(pair.key_pem)


class Stage:
    """Generations that say their number, and tell of their beginning and end."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self.number = 0
        self.told: list[str] = []
        self.fault: Exception | None = None
        self.held = threading.Event()
        self.release = asyncio.Event()

    def make(self) -> Generation:
        if self.fault is not None:
            raise self.fault
        self.number += 1
        number = self.number
        return Generation(self.app(number), self.files, lambda: self.told.append(f"closed {number}"))

    def app(self, number: int) -> Starlette:
        async def which(request: Request) -> Response:
            if request.url.path == "/held":
                self.held.set()
                await self.release.wait()
            return json_response(number)

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            self.told.append(f"began {number}")
            yield
            self.told.append(f"ended {number}")

        return build([Route("/which", which), Route("/held", which)], lifespan=lifespan)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def ask(live: Live, path: str = "/which") -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(live), base_url="https://x") as client:
        return int((await client.get(path)).json())


def test_a_request_ends_where_it_began_and_then_its_generation_is_closed(files: TlsFiles) -> None:
    async def story() -> None:
        stage = Stage(files)
        live = Live(stage.make(), stage.make, clock=Clock())
        held = asyncio.create_task(ask(live, "/held"))
        await asyncio.to_thread(stage.held.wait)
        assert await live.reload()
        assert await ask(live) == 2
        assert stage.told == ["began 2"], "the first one has a request to answer"
        stage.release.set()
        assert await held == 1
        await asyncio.gather(*live._endings)
        assert stage.told == ["began 2", "closed 1"], "no server began the first one's life, or would have ended it"
        assert await live.reload()
        assert await ask(live) == 3

    asyncio.run(story())


@pytest.mark.parametrize("fault", [SettingsError("no good"), RuntimeError("a fault of ours")])
def test_a_generation_that_cannot_be_made_changes_nothing(files: TlsFiles, fault: Exception) -> None:
    async def story() -> None:
        stage = Stage(files)
        live = Live(stage.make(), stage.make, clock=Clock())
        stage.fault = fault
        assert not await live.reload()
        assert await ask(live) == 1
        stage.fault = None
        files.key.write_text("no key")
        assert not await live.reload()
        assert await ask(live) == 1
        assert stage.told == ["began 2", "ended 2", "closed 2"], "nothing is left of what was not taken"

    asyncio.run(story())


def test_lifespans_begin_and_end_with_the_server(files: TlsFiles) -> None:
    stage = Stage(files)
    with running(Live(stage.make(), clock=Clock()), files):
        assert stage.told == ["began 1"]
    assert stage.told == ["began 1", "ended 1", "closed 1"]


@pytest.fixture
def both(tmp_path: Path, pairs: tuple[ServerCertificate, ServerCertificate]) -> Path:
    (tmp_path / "both.pem").write_text(pairs[0].ca_pem + pairs[1].ca_pem)
    return tmp_path / "both.pem"


def shown(site: Site) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", site.port), ca_certs=str(site.ca))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial(pair: ServerCertificate) -> int:
    return x509.load_pem_x509_certificate(pair.cert_pem.encode()).serial_number


def test_a_changed_certificate_is_noticed_by_itself(
    files: TlsFiles, both: Path, pairs: tuple[ServerCertificate, ServerCertificate]
) -> None:
    clock = Clock()
    with running(Live(Stage(files).make(), clock=clock), files) as port:
        site = Site(port=port, ca=both)
        with site.client() as client:
            assert client.get("/which").json() == 1
            assert shown(site) == serial(pairs[0])
            put(files.key.parent, pairs[1])
            assert shown(site) == serial(pairs[0]), "nobody has looked yet"
            clock.seconds += LOOK_EVERY
            assert any(shown(site) == serial(pairs[1]) for _ in range(3000))
            assert client.get("/which").json() == 1, "on the connection that there was"


def test_what_cannot_be_shown_is_told_once(
    files: TlsFiles, pairs: tuple[ServerCertificate, ServerCertificate], caplog: pytest.LogCaptureFixture
) -> None:
    live = Live(Stage(files).make(), clock=Clock())

    async def looked() -> list[str]:
        caplog.clear()
        await live.look()
        return [record.levelname for record in caplog.records]

    async def look() -> None:
        with caplog.at_level("INFO"):
            files.key.write_text(pairs[1].key_pem)
            assert await looked() == ["ERROR"]
            assert await looked() == []
            files.certificate.unlink()
            assert await looked() == ["ERROR"], "that is another reason"
            put(files.key.parent, pairs[0])
            assert await looked() == [], "it is what was shown all the while"
            files.certificate.unlink()
            assert await looked() == ["ERROR"]
            put(files.key.parent, pairs[1])
            assert await looked() == ["INFO"]

    asyncio.run(look())


def test_a_look_that_hangs_holds_up_nothing_else(files: TlsFiles) -> None:
    """The files may lie on a file system that does not answer; here the key has become a pipe that nobody writes to."""
    clock, passed = Clock(), threading.Event()
    ticks = iter(range(1000))
    jumped = [0]

    def watched() -> bool:
        tick = next(ticks)
        if jumped[0] and tick > jumped[0] + 3:
            passed.set()
        return not passed.is_set()

    live = Live(Stage(files).make(), clock=clock)
    listener = bound_socket("127.0.0.1", 0)
    accepting = threading.Event()
    thread = threading.Thread(
        target=serve, args=(live, listener), kwargs={"on_start": accepting.set, "watched": watched}
    )
    thread.start()
    try:
        assert accepting.wait(30)
        files.key.unlink()
        os.mkfifo(files.key)
        jumped[0] = next(ticks)
        clock.seconds += LOOK_EVERY
        assert passed.wait(30), "the server's ticks go on: it hears of signals, and stops when it is told to"
    finally:
        passed.set()
        if files.key.is_fifo():
            with files.key.open("wb"):  # whoever waits for it goes on, and finds a file the next time
                files.certificate.replace(files.key)
        thread.join()


def test_half_a_pair_is_not_shown_and_the_whole_one_is(
    files: TlsFiles, pairs: tuple[ServerCertificate, ServerCertificate]
) -> None:
    certificates = Certificates(files)
    assert not certificates.refresh()
    files.key.write_text(pairs[1].key_pem)
    for _ in range(2):
        with pytest.raises(SettingsError, match="cannot be used"):
            certificates.refresh()
    files.certificate.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        certificates.refresh()
    put(files.key.parent, pairs[1])
    assert certificates.refresh()
    assert not certificates.refresh()


def test_what_is_fixed_stays_and_is_named(files: TlsFiles) -> None:
    other = TlsFiles(certificate=files.key, key=files.certificate)
    kept, named = keep_fixed(files, other, {"key": "listen.key"})
    assert kept == TlsFiles(certificate=files.key, key=files.key)
    assert named == ["listen.key"]
    assert keep_fixed(files, files, {"key": "listen.key"}) == (files, [])
