"""A request comes to its endpoint by the shorter way where its path is fixed, and is answered there as elsewhere."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ambergate.core.errors import NotFound, NotWelcome
from ambergate.services.web.application import build
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Match
    from starlette.types import Message, Scope


async def endpoint(request: Request) -> Response:
    error = {"ours": NotWelcome("no", mismatches=[]), "theirs": HTTPException(415, "not this"), "none": RuntimeError()}
    if wanted := request.query_params.get("raise"):
        raise error[wanted]
    return json_response({"path": request.url.path})


def in_a_thread(request: Request) -> Response:
    return json_response({"path": request.url.path})


class Unasked(Route):
    """A route that nobody may ask whether it is the one."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raise AssertionError(scope)


def answered(routes: list[Route], path: str, method: str = "GET", query: str = "") -> tuple[int, object, set[bytes]]:
    sent: list[Message] = []

    async def main() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, object] = {"type": "http", "method": method, "path": path, "raw_path": path.encode()}
        scope |= {"root_path": ""}
        scope |= {"query_string": query.encode(), "headers": [(b"host", b"x")], "scheme": "https", "server": ("x", 1)}
        await build(routes, statuses=[(NotFound, 410)])(scope, receive, send)

    asyncio.run(main())
    body = json.loads(sent[1].get("body") or b"{}")
    body.pop("trace_id", None)  # another for each request
    return sent[0]["status"], body, {name for name, _ in sent[0]["headers"]}


@pytest.mark.parametrize("query", ["", "raise=ours", "raise=theirs", "raise=none"])
def test_both_ways_lead_to_one_answer(query: str) -> None:
    """A path with a parameter goes the longer way."""
    short = answered([Unasked("/a/b", endpoint)], "/a/b", query=query)
    status, body, headers = answered([Route("/a/{b}", endpoint)], "/a/b", query=query)
    assert short == (status, body, headers)
    assert {b"trace-id", b"content-length", b"cache-control", b"content-type"} <= headers


def test_what_is_not_found_so_goes_the_longer_way() -> None:
    routes = [Route("/a", endpoint, methods=["GET"]), Route("/b", in_a_thread)]
    assert answered(routes, "/b") == (200, {"path": "/b"}, answered(routes, "/a")[2])
    assert answered(routes, "/a", "HEAD")[0] == 200
    assert answered(routes, "/a", "POST")[0] == 405
    assert answered(routes, "/a/")[0] == 404


def test_of_two_routes_for_one_path_the_first_counts() -> None:
    async def second(request: Request) -> Response:
        raise AssertionError(request)

    assert answered([Route("/a", endpoint), Route("/a", second)], "/a")[0] == 200
