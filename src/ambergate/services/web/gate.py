"""What stands before every route: whose request this is, and whether that address asks too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.errors import TooManyRequests
from ambergate.services.web.addresses import group_of
from ambergate.services.web.framing import note_code
from ambergate.services.web.problems import problem_response
from ambergate.services.web.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ambergate.services.web.limits import Limits


class Gate:
    """Puts the client's address in place of a trusted proxy's, and answers 429 to who asks too often.

    Nothing of the request is read for it but its head. Who is refused is not asked for an API key either.

    Args:
        limits: rates, and whose word about addresses is taken.
        now: the clock, aware.
    """

    def __init__(self, limits: Limits, now: Callable[[], datetime]) -> None:
        self._limits = limits
        self._now = now
        self._rates = Rates()

    def before(self, app: ASGIApp) -> ASGIApp:
        """The application with this gate before it; itself, where nothing is limited and nobody trusted."""
        if self._limits.rate is None and not self._limits.proxies:
            return app

        async def gated(scope: Scope, receive: Receive, send: Send) -> None:
            refused = self._checked(scope) if scope["type"] == "http" and scope["client"] is not None else None
            if refused is None:
                await app(scope, receive, send)
                return
            note_code(scope, refused.code)
            await problem_response(refused, 429)(scope, receive, send)

        return gated

    def _checked(self, scope: Scope) -> TooManyRequests | None:
        peer, port = scope["client"]
        address = self._limits.proxies.client(peer, scope["headers"])
        scope["client"] = address, port if address == peer else 0
        return self._refused(address)

    def _refused(self, address: str) -> TooManyRequests | None:
        rate = self._limits.rate
        wait = 0 if rate is None else self._rates.take(group_of(address), rate, at=self._now())
        if rate is None or not wait:
            return None
        return TooManyRequests(
            "Too many requests from this address, limit exceeded.",
            code="too-many-requests-from-address",
            retry_after=wait,
            wanted=f"at most {rate.per_second:g} requests per second, {rate.burst} at once",
            hint=f"ask again in {wait} s",
        )
