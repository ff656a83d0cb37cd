"""The broker while it is sealed: it has no key-encryption key yet, gathers shares of it, and does nothing else.

Everything answers 503 `sealed` but `/healthz`, which says that the process lives, and `/unseal`, which is where the
broker is managed if that is a place of its own. Whoever reaches it may send shares: one that is none of the set's is
refused when it comes, and counted; what was sent is never told again.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.routing import Route

from ambergate.core.errors import Unavailable
from ambergate.services.web.application import build
from ambergate.services.web.bodies import decode, read_body
from ambergate.services.web.problems import json_response
from ambergate.stores.shares import Gathering, Share

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from ambergate.services.keybroker.admin_place import Listening
    from ambergate.stores.shares import ShareSet

MAX_BODY: Final = 1024  # bytes
_LOG = logging.getLogger("ambergate.keybroker")


class ShareRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /unseal`. Redacted."""

    share: str

    def __repr__(self) -> str:
        return "ShareRequest(...)"


class SealedState(msgspec.Struct, frozen=True):
    """What `/unseal` answers with. Nothing of it is secret."""

    sealed: bool
    set: str
    shares: int
    threshold: int
    progress: int
    failures: int


class Sealed:
    """Gathers shares. Safe to use from several threads.

    Args:
        shares: of the key that is awaited.
    """

    def __init__(self, shares: ShareSet) -> None:
        self._gathering = Gathering(shares)
        self._lock = threading.Lock()
        self._key: bytes | None = None

    @property
    def key(self) -> bytes | None:
        """The key, once it is there."""
        return self._key

    def take(self, text: str) -> SealedState:
        """One more share.

        Raises:
            Malformed: it is none, one of another key, or none that was handed out.
            SettingsError: the file of shares was changed.
        """
        share = Share.parse(text)
        with self._lock:
            before = self._gathering.failures
            try:
                self._key = self._key or self._gathering.take(share)
            finally:
                if self._gathering.failures > before:
                    _LOG.warning("a share was sent that was never handed out; %d so far", self._gathering.failures)
        return self.state()

    def state(self) -> SealedState:
        """How far it is."""
        gathering, shares = self._gathering, self._gathering.shares
        opened = self._key is not None
        return SealedState(
            sealed=not opened,
            set=shares.id,
            shares=shares.count,
            threshold=shares.threshold,
            progress=shares.threshold if opened else gathering.progress,
            failures=gathering.failures,
        )

    def __repr__(self) -> str:
        return "Sealed(...)"


def sealed_app(sealed: Sealed, listening: Listening | None = None) -> Starlette:
    """What a sealed broker serves.

    Args:
        sealed: gathers the shares.
        listening: the listener that they are taken at; None: any.
    """

    async def healthz(request: Request) -> Response:
        del request
        return json_response({"status": "ok", "sealed": sealed.key is None})

    async def unseal(request: Request) -> Response:
        if listening is not None and not listening.got(request.scope):
            return await refuse(request)
        if request.method == "GET":
            return json_response(sealed.state())
        return json_response(sealed.take(decode(await read_body(request, limit=MAX_BODY), ShareRequest).share))

    async def refuse(request: Request) -> Response:
        del request
        raise Unavailable("sealed", code="sealed")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return build(
        [
            Route("/healthz", healthz, methods=["GET"]),
            Route("/unseal", unseal, methods=["GET", "POST"]),
            Route("/{path:path}", refuse, methods=methods),
        ]
    )
