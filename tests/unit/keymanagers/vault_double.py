"""A test double of Vault: a server that follows the wire format that its API documentation describes, and no more.

Paths, bodies, status codes and the shapes of answers are those of the documented KV version 2 and transit engines. What
it leaves untested is Vault itself: its policies, its leases, sealing, clustering, and whatever the documentation gets
wrong.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN = "hvs.CAESIJ-a-token-of-the-tests"


@dataclass
class VaultDouble:
    """Its state, and what it answers instead for a while."""

    secrets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    health: int = 200
    instead: Response | None = None
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def app(self) -> Starlette:
        routes = [
            Route("/v1/sys/health", self._health),
            Route("/v1/auth/token/lookup-self", self._lookup),
            Route("/v1/secret/data/{path:path}", self._data, methods=["GET", "POST"]),
            Route("/v1/secret/metadata/{path:path}", self._metadata, methods=["DELETE"]),
            Route("/v1/transit/keys/{name}", self._key, methods=["GET", "POST", "DELETE"]),
            Route("/v1/transit/keys/{name}/config", self._config, methods=["POST"]),
            Route("/v1/transit/export/{use}/{name}/{version}", self._export),
        ]
        return Starlette(routes=routes)

    def _refused(self, request: Request) -> Response | None:
        self.seen.append((request.method, request.url.path, dict(request.headers)))
        if self.instead is not None:
            return self.instead
        return None if request.headers.get("x-vault-token") == TOKEN else errors(403, "permission denied")

    async def _health(self, request: Request) -> Response:
        del request
        return JSONResponse({"initialized": True, "sealed": self.health == 503}, self.health)

    async def _lookup(self, request: Request) -> Response:
        return self._refused(request) or answer({"policies": ["broker"]})

    async def _data(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        path = request.path_params["path"]
        versions = self.secrets.get(path, [])
        if request.method == "POST":
            body = await request.json()
            if body.get("options", {}).get("cas", len(versions)) != len(versions):
                return errors(400, "check-and-set parameter did not match the current version")
            self.secrets[path] = [*versions, body["data"]]
            return answer({"version": len(versions) + 1, "destroyed": False, "deletion_time": ""})
        version = int(request.query_params.get("version", "0")) or len(versions)
        if not 1 <= version <= len(versions):
            return errors(404)
        return answer({"data": versions[version - 1], "metadata": {"version": version, "destroyed": False}})

    async def _metadata(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        self.secrets.pop(request.path_params["path"], None)
        return Response(status_code=204)

    async def _key(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        name = request.path_params["name"]
        if request.method == "POST":
            body = await request.json()
            self.keys.setdefault(name, {**body, "deletion_allowed": False, "material": material(body["type"])})
            return Response(status_code=204)
        if name not in self.keys:
            return errors(404)
        key = self.keys[name]
        if request.method == "DELETE":
            if not key["deletion_allowed"]:
                return errors(400, "deletion is not allowed for this key")
            del self.keys[name]
            return Response(status_code=204)
        return answer({"name": name, "type": key["type"], "exportable": key["exportable"], "latest_version": 1})

    async def _config(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        key = self.keys.get(request.path_params["name"])
        if key is None:
            return errors(400, "no existing key named so could be found")
        key.update(await request.json())
        return answer({})

    async def _export(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        key = self.keys.get(request.path_params["name"])
        if key is None or request.path_params["version"] != "1":
            return errors(404)
        if not key["exportable"]:
            return errors(400, "private key material is not exportable")
        if (request.path_params["use"] == "signing-key") != key["type"].startswith("ecdsa"):
            return errors(400, "unknown key type for export type")
        return answer({"name": request.path_params["name"], "keys": {"1": key["material"]}, "type": key["type"]})


def material(kind: str) -> str:
    """A key as transit exports it."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind.startswith("aes"):
        return b64encode(secrets.token_bytes(16 if "128" in kind else 32)).decode()
    if kind.startswith("rsa"):
        key = rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
    else:
        curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
        key = ec.generate_private_key(curves[kind.removeprefix("ecdsa-")])
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def answer(data: dict[str, Any]) -> Response:
    """An answer in Vault's envelope."""
    return JSONResponse({"request_id": "1", "lease_id": "", "renewable": False, "data": data})


def errors(status: int, *words: str) -> Response:
    """A refusal in Vault's form."""
    return JSONResponse({"errors": list(words)}, status)
