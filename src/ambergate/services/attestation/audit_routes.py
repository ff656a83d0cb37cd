"""What the audit log tells over HTTP: its key, its newest checkpoint, and that a token's record is in it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from ambergate.core.errors import NotPermitted
from ambergate.services.attestation.ports import MANAGE
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from ambergate.services.attestation.ports import Caller
    from ambergate.services.attestation.routes import Authoriser
    from ambergate.stores.audit import AuditLog, Proof

PREFIX = "/audit/v1"


def audit_routes(log: AuditLog, authorise: Authoriser) -> list[Route]:
    """`GET /audit/v1/key`, `/audit/v1/checkpoint` and `/audit/v1/proofs/{jti}`; all want an API key."""

    async def allowed(request: Request) -> Caller:
        try:
            return await authorise(request)
        except NotPermitted:  # who manages need not attest
            return await authorise(request, MANAGE)

    async def key(request: Request) -> Response:
        await allowed(request)
        return Response(log.key.text() + "\n", media_type="text/plain")

    async def checkpoint(request: Request) -> Response:
        await allowed(request)
        return Response(await run_in_threadpool(log.checkpoint), media_type="text/plain")

    async def proof(request: Request) -> Response:
        caller = await allowed(request)
        found = await run_in_threadpool(_proof, log, request.path_params["jti"], caller)
        if found is None:
            raise HTTPException(404)
        return json_response(shown(found))

    return [
        Route(f"{PREFIX}/key", key, methods=["GET"]),
        Route(f"{PREFIX}/checkpoint", checkpoint, methods=["GET"]),
        Route(f"{PREFIX}/proofs/{{jti}}", proof, methods=["GET"]),
    ]


def shown(proof: Proof) -> dict[str, object]:
    """A proof as it travels; `stores.audit_proof` reads it."""
    return {
        "index": proof.seq,
        "record": proof.record,
        "hashes": [base64.b64encode(step).decode() for step in proof.hashes],
        "checkpoint": proof.checkpoint,
    }


def _proof(log: AuditLog, text: str, caller: Caller) -> Proof | None:
    """The proof for the token of this id, if it is the caller's to see: a record tells who asked, and for what."""
    try:
        jti = UUID(text)
    except ValueError:
        return None
    entry = log.find(jti)
    if entry is None:
        return None
    asked = json.loads(entry.record).get("key_id")
    mine = asked == (None if caller.key_id is None else str(caller.key_id))
    return log.prove(entry) if mine or MANAGE in caller.scopes else None
