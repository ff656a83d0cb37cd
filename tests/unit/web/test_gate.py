"""An address that asks too often is told when to come again, whoever it says that it is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx
from starlette.routing import Route

from ambergate.services.web.addresses import Proxies
from ambergate.services.web.application import build
from ambergate.services.web.gate import Gate
from ambergate.services.web.limits import Limits
from ambergate.services.web.problems import json_response
from ambergate.services.web.rates import Rate

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Door:
    """An application behind a gate, and its clock."""

    def __init__(self, limits: Limits) -> None:
        self.at = AT
        self.app: Starlette = build([Route("/who", who), Route("/who/{name}", who)], gate=Gate(limits, lambda: self.at))

    def ask(self, host: str, path: str = "/who", **headers: str) -> httpx.Response:
        return asyncio.run(self._ask(host, path, headers))

    async def _ask(self, host: str, path: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(host, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="https://x") as client:
            return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def who(request: Request) -> Response:
    return json_response(None if request.client is None else request.client.host)


def test_too_many_requests_of_one_address_are_429_with_the_time_to_wait() -> None:
    door = Door(Limits(rate=Rate(0.5, 2)))
    assert [door.ask("192.0.2.7").status_code for _ in range(3)] == [200, 200, 429]
    refused = door.ask("192.0.2.7", request_id="mine")
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["request-id"] == "mine"
    assert refused.json()["code"] == "too-many-requests-from-address"
    assert refused.json()["message"] == refused.json()["error"]
    assert door.ask("192.0.2.8").status_code == 200
    door.at += timedelta(seconds=2)
    assert door.ask("192.0.2.7").status_code == 200


def test_all_routes_count_together_and_those_that_are_none() -> None:
    door = Door(Limits(rate=Rate(1, 3)))
    found = [door.ask("192.0.2.7", path).status_code for path in ("/who", "/who/me", "/nobody", "/who/me", "/nobody")]
    assert found == [200, 200, 404, 429, 429]


def test_a_network_of_2_to_the_64_addresses_is_one() -> None:
    door = Door(Limits(rate=Rate(1, 1)))
    assert door.ask("2001:db8::1").status_code == 200
    assert door.ask("2001:db8::2").status_code == 429
    assert door.ask("2001:db8:0:1::1").status_code == 200


def test_a_client_cannot_say_that_it_is_another() -> None:
    door = Door(Limits(rate=Rate(1, 1)))
    assert door.ask("192.0.2.7", x_forwarded_for="192.0.2.8").json() == "192.0.2.7"
    assert door.ask("192.0.2.7", x_forwarded_for="192.0.2.9").status_code == 429


def test_a_trusted_proxy_can() -> None:
    door = Door(Limits(rate=Rate(1, 1), proxies=Proxies([ip_network("10.0.0.1")])))
    assert door.ask("10.0.0.1", x_forwarded_for="192.0.2.7").json() == "192.0.2.7"
    assert door.ask("10.0.0.1", x_forwarded_for="192.0.2.8").json() == "192.0.2.8"
    assert door.ask("10.0.0.1", x_forwarded_for="192.0.2.1, 192.0.2.7").status_code == 429


def test_without_a_rate_nobody_waits() -> None:
    door = Door(Limits())
    assert {door.ask("192.0.2.7").status_code for _ in range(20)} == {200}
