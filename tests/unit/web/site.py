"""A small application over real TLS, for the tests of what all services share."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from ambergate.core.errors import (
    AmberError,
    MalformedCollateral,
    MalformedToken,
    NotAuthorised,
    NotGenuine,
    NotWelcome,
    SettingsError,
    Unavailable,
)
from ambergate.services.web.bodies import read_body
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server and how to reach it."""

    port: int
    ca: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.context(), trust_env=False)


def nameless(answer: httpx.Response) -> dict[str, Any]:
    """An error's body without the names of its request, which are those of the headers."""
    body = dict(answer.json())
    assert body.pop("trace_id") == answer.headers["trace-id"]
    assert body.pop("request_id", None) == answer.headers.get("request-id")
    return body


def raising(error: Exception) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        del request
        raise error

    return endpoint


async def echo(request: Request) -> Response:
    return json_response({"size": len(await read_body(request, limit=1000, seconds=0.5))})


def failing() -> None:
    raise Unavailable("the disk is full")


MISMATCHES = [
    {"rule": "debug", "seen": "true", "wanted": "false"},
    {"rule": "tcb", "seen": "Old", "wanted": "New"},
]
ERRORS: dict[str, Exception] = {
    "genuine": NotGenuine("the signature is wrong", step="7.quote_signature", seen="a", wanted="b", hint="c"),
    "welcome": NotWelcome("the policy refuses it", mismatches=MISMATCHES),
    "key": NotAuthorised("no such key"),
    "collateral": MalformedCollateral("broken", seen="/secret/path"),
    "half": MalformedToken("not a token", seen="\ud800"),
    "away": Unavailable("no answer", seen="10.0.0.1", hint="ask"),
    "settings": SettingsError("hidden", seen="/secret/path"),
    "base": AmberError("hidden"),
    "bug": RuntimeError("hidden"),
}
