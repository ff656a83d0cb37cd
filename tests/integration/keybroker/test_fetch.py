"""Fetching an issuer's key set over real TLS: bounded, verified, and every failure ours by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from ambergate.core.errors import SettingsError, TooLarge, Unavailable
from ambergate.services.keybroker.fetch import MAX_KEY_SET, KeySetFile, KeySetUrl
from ambergate.services.web.server import TlsFiles, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request


async def endless() -> AsyncIterator[bytes]:
    for _ in range(MAX_KEY_SET // 1000 + 100):
        yield b" " * 1000


async def answer(request: Request) -> Response:
    name = request.path_params["name"]
    made: dict[str, Callable[[], Response]] = {
        "good": lambda: Response('{"keys":[]}', media_type="application/json"),
        "missing": lambda: Response("gone", 404),
        "failing": lambda: Response("oops", 500),
        "created": lambda: Response("{}", 201),
        "moved": lambda: RedirectResponse("/good"),
        "endless": lambda: StreamingResponse(endless()),
        "binary": lambda: Response(b"\xff\xfe\x00"),
        "compressed": lambda: Response(b"\x1f\x8b\x08\x00", headers={"content-encoding": "gzip"}),
    }
    return made[name]()


@pytest.fixture(scope="module")
def base(tls: TlsFiles) -> Iterator[str]:
    with running(Starlette(routes=[Route("/{name}", answer)]), tls) as port:
        yield f"https://127.0.0.1:{port}"


def test_a_key_set_comes_as_it_is_served(base: str, ca: Path) -> None:
    assert KeySetUrl(f"{base}/good", cacerts=ca)() == '{"keys":[]}'


@pytest.mark.parametrize("name", ["missing", "failing", "created", "moved", "binary", "compressed"])
def test_anything_but_a_plain_200_is_unavailable(base: str, ca: Path, name: str) -> None:
    """Redirects are not followed: the operator named one place."""
    with pytest.raises(Unavailable):
        KeySetUrl(f"{base}/{name}", cacerts=ca)()


def test_an_endless_answer_is_cut_off(base: str, ca: Path) -> None:
    with pytest.raises(TooLarge):
        KeySetUrl(f"{base}/endless", cacerts=ca)()


def test_a_server_under_other_roots_is_not_believed(base: str) -> None:
    """The system's roots do not know the tests' authority."""
    with pytest.raises(Unavailable):
        KeySetUrl(f"{base}/good")()


def test_a_server_with_another_name_is_not_believed(base: str, ca: Path) -> None:
    with pytest.raises(Unavailable):
        KeySetUrl(f"{base}/good".replace("127.0.0.1", "127.0.0.2"), cacerts=ca)()


def test_the_environments_roots_and_proxies_are_not_used(base: str, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert KeySetUrl(f"{base}/good", cacerts=ca)()


def test_nobody_there_is_unavailable(ca: Path) -> None:
    with pytest.raises(Unavailable):
        KeySetUrl("https://127.0.0.1:1/certs", cacerts=ca)()


@pytest.mark.parametrize("content", [None, "", "not pem"])
def test_unusable_roots_stop_the_start(tmp_path: Path, content: str | None) -> None:
    roots = tmp_path / "ca.pem"
    if content is not None:
        roots.write_text(content)
    with pytest.raises(SettingsError):
        KeySetUrl("https://127.0.0.1:1/certs", cacerts=roots)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(Unavailable):
        KeySetFile(file)()
    file.write_text('{"keys":[]}')
    assert KeySetFile(file)() == '{"keys":[]}'
    file.write_text(" " * (MAX_KEY_SET + 1))
    with pytest.raises(TooLarge):
        KeySetFile(file)()
