"""OpenAPI 3.1 of a service, made of its routes and of the msgspec types that it reads and writes.

A service has a table of operations (`services/*/operations.py`): what each of its routes takes and answers. Tests hold
the table to the routes, docs/openapi to the table, and the running service to the document (`make openapi-fuzz`).
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.routing import Route

import ambergate
from ambergate.services.web.framing import REQUEST_ID
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

JSON: Final = "application/json"
PATH: Final = "/openapi.json"
_REF: Final = "#/components/schemas/{name}"
_UNASKED: Final = frozenset({"HEAD", "OPTIONS"})  # of every GET; not worth an entry each

Schema = dict[str, Any]


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that refused."""

    rule: str
    seen: str
    wanted: str
    policy: str | msgspec.UnsetType = msgspec.UNSET
    policy_name: str | msgspec.UnsetType = msgspec.UNSET
    policy_version: str | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error: words for people, a code for machines, and which request it was."""

    error: str
    code: str
    message: str | msgspec.UnsetType = msgspec.UNSET
    step: str | msgspec.UnsetType = msgspec.UNSET
    seen: str | msgspec.UnsetType = msgspec.UNSET
    wanted: str | msgspec.UnsetType = msgspec.UNSET
    hint: str | msgspec.UnsetType = msgspec.UNSET
    mismatches: list[Mismatch] | msgspec.UnsetType = msgspec.UNSET
    trace_id: str | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Check(msgspec.Struct, frozen=True):
    """One check of readiness; more members are facts about it."""

    ok: bool


class Ready(msgspec.Struct, frozen=True):
    """Every check holds."""

    status: str
    checks: dict[str, Check]


class NotReady(msgspec.Struct, frozen=True):
    """A check does not hold."""

    error: str
    code: str
    checks: dict[str, Check]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one status stands for.

    Attributes:
        words: for people.
        kind: of the body, or several of them; None: there is none, or it is no JSON.
        media: its media types; none: there is no body.
        links: name -> a link of OpenAPI to an operation that uses this answer.
    """

    words: str
    kind: Any = None
    media: tuple[str, ...] = (JSON,)
    links: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of one path takes and answers.

    Attributes:
        words: for people, one sentence.
        answers: by status; those of `common` need not be told.
        body: the types that are read, any of them; none: there is no body.
        text: the media type of a body that is no JSON.
        example: of a body.
        parameters: in path, query and headers, as OpenAPI has them.
        security: the scheme's name; None: open to all.
        problem: the type of its errors, or several of them.
        waits: whether it needs what may be away (503, 504).
    """

    words: str
    answers: Mapping[int, Answer]
    body: tuple[Any, ...] = ()
    text: str | None = None
    example: Any = None
    parameters: tuple[Schema, ...] = ()
    security: str | None = None
    problem: Any = Problem
    waits: bool = True


Operations = "Mapping[tuple[str, str], Operation]"  # by method and path

HEALTH: Final[dict[tuple[str, str], Operation]] = {
    ("GET", "/healthz"): Operation(
        words="Whether the process answers.",
        answers={200: Answer(words="It does.", kind=Alive)},
        waits=False,
    ),
    ("GET", "/readyz"): Operation(
        words="Whether it can do its work, check by check.",
        answers={200: Answer(words="It can.", kind=Ready), 503: Answer(words="It cannot now.", kind=NotReady)},
        waits=False,
    ),
    ("GET", PATH): Operation(
        words="This document.", answers={200: Answer(words="OpenAPI 3.1.", kind=dict)}, waits=False
    ),
}

_REQUEST_ID: Final[Schema] = {
    "name": "request-id",
    "in": "header",
    "description": "The caller's name for the request; it comes back, and stands in logs and audit records.",
    # An empty one is none, because one deployed client always sends the header.
    "schema": {"type": "string", "pattern": f"^({REQUEST_ID.pattern.decode()})?$"},
}


def path_parameter(name: str, words: str, **schema: object) -> Schema:
    """A parameter in the path."""
    return {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string", **schema}}


def query_parameter(name: str, words: str, *, required: bool = False, **schema: object) -> Schema:
    """A parameter in the query."""
    told = {"name": name, "in": "query", "required": required, "description": words}
    return {**told, "schema": {"type": "string", **schema}}


def document(title: str, operations: Mapping[tuple[str, str], Operation], schemes: Mapping[str, Schema]) -> Schema:
    """The document.

    Args:
        title: the service's name.
        operations: by method and path.
        schemes: how callers say who they are, by name.
    """
    kinds = {str(kind): kind for operation in operations.values() for kind in _kinds(operation)}
    schemas, components = msgspec.json.schema_components(list(kinds.values()), schema_hook=_anything, ref_template=_REF)
    found = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Schema] = {}
    for (method, path), operation in sorted(operations.items(), key=lambda item: (item[0][1], item[0][0])):
        paths.setdefault(path, {})[method.lower()] = _told(method, path, operation, found)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": ambergate.__version__, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": _worded(components), "securitySchemes": dict(schemes)},
    }


def _worded(components: Mapping[str, Schema]) -> dict[str, Schema]:
    """Sorted, each described by its docstring without the indentation, which only Python 3.13 takes off."""
    told = {name: dict(one) for name, one in sorted(components.items())}
    for one in told.values():
        if "description" in one:
            one["description"] = inspect.cleandoc(one["description"])
    return told


def openapi_route(told: Schema) -> Route:
    """`GET /openapi.json`. Open to all: it says nothing that the project's pages do not."""

    async def handle(request: Request) -> Response:
        del request
        return json_response(told, headers={"cache-control": "max-age=300"})

    return Route(PATH, handle, methods=["GET"])


def served(routes: Iterable[Route]) -> set[tuple[str, str]]:
    """Every method and path that these routes serve, `HEAD` and `OPTIONS` left out."""
    return {(method, route.path) for route in routes for method in (route.methods or ()) if method not in _UNASKED}


def _anything(kind: type) -> Schema:
    """A member that is read and not looked at."""
    if kind is not object:
        msg = f"{kind} has no schema"
        raise TypeError(msg)
    return {"description": "Not looked at."}


def _kinds(operation: Operation) -> list[Any]:
    answers = [kind for answer in operation.answers.values() for kind in _several(answer.kind) if kind is not None]
    return [*answers, *_several(operation.problem), *operation.body]


def _several(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401  # a type, or a tuple of types
    return kind if isinstance(kind, tuple) else (kind,)


def _any_of(kinds: tuple[Any, ...], schemas: Mapping[str, Schema]) -> Schema:
    each = [schemas[str(kind)] for kind in kinds]
    return each[0] if len(each) == 1 else {"anyOf": each}


def _told(method: str, path: str, operation: Operation, schemas: Mapping[str, Schema]) -> Schema:
    words = re.sub(r"[^a-z0-9]+", "_", path.lower()).strip("_")
    told: Schema = {
        "operationId": f"{method.lower()}_{words}",
        "summary": operation.words,
        "parameters": [*operation.parameters, _REQUEST_ID],
        "responses": {
            str(status): _answer(answer, schemas)
            for status, answer in sorted({**_common(operation), **operation.answers}.items())
        },
    }
    if operation.body:
        content: Schema = {"schema": _any_of(operation.body, schemas)}
        if operation.example is not None:
            content["example"] = operation.example
        told["requestBody"] = {"required": True, "content": {JSON: content}}
    if operation.text is not None:
        told["requestBody"] = {"required": True, "content": {operation.text: {"schema": {"type": "string"}}}}
    if operation.security is not None:
        told["security"] = [{operation.security: []}]
    return told


def _answer(answer: Answer, schemas: Mapping[str, Schema]) -> Schema:
    told: Schema = {"description": answer.words}
    if answer.media:
        schema = {"schema": _any_of(_several(answer.kind), schemas)} if answer.kind is not None else {}
        told["content"] = {media: schema if media == JSON else {} for media in answer.media}
    if answer.links:
        told["links"] = dict(answer.links)
    return told


def _common(operation: Operation) -> dict[int, Answer]:
    """What any request may be answered with."""
    words = {400: "The request is malformed, or refused; the body says why.", 500: "A fault of ours."}
    if operation.security is not None:
        words |= {401: "Nobody that is known here.", 403: "Not for this caller.", 429: "Too often: see Retry-After."}
    if operation.body or operation.text:
        words |= {408: "The body did not come in time.", 413: "The body is too large.", 415: "Another media type."}
    if operation.waits:
        words |= {503: "Something that is needed is away: ask again.", 504: "Something that is needed is too slow."}
    return {status: Answer(words=told, kind=operation.problem) for status, told in words.items()}
