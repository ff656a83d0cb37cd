"""`GET /healthz`: the process answers. `GET /readyz`: it can do its work, or what it lacks, check by check."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from anyio import CapacityLimiter, to_thread
from starlette.routing import Route

from ambergate.core.errors import AmberError
from ambergate.services.web.names import told_names
from ambergate.services.web.problems import json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    Checks = Mapping[str, Callable[[], Mapping[str, object] | None]]

_LOG = logging.getLogger("ambergate.web")

PATIENCE: Final = 2.0  # seconds that all checks together may take; Kubernetes gives a probe one by default
KEPT: Final = timedelta(seconds=1)  # an answer is given again: whoever asks often does not make the database work


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check. `facts` are for anybody: no address, no path, no secret."""

    ok: bool
    facts: Mapping[str, object]

    def told(self) -> dict[str, object]:
        """As it stands in the answer."""
        return {"ok": self.ok, **self.facts}


class Readiness:
    """Runs checks side by side in threads of their own, so that a busy service can still tell.

    A check that does not come to an end is waited for once at a time: it fails until it has, and no second one starts.

    Args:
        checks: name -> raises one of our errors when this is not so; may return facts about it. Anybody may ask:
            of an error, message and code are told and the rest logged.
        now: the clock, aware.
        patience: see `PATIENCE`.
    """

    def __init__(self, checks: Checks, *, now: Callable[[], datetime], patience: float = PATIENCE) -> None:
        self._checks = dict(checks)
        self._now = now
        self._patience = patience
        self._running: dict[str, asyncio.Task[Finding]] = {}
        self._round: asyncio.Task[dict[str, Finding]] | None = None
        self._told: tuple[datetime, dict[str, Finding]] | None = None
        self._limiter: CapacityLimiter | None = None

    async def findings(self) -> dict[str, Finding]:
        """All checks by name, as they were at most `KEPT` ago."""
        if self._told is not None and abs(self._now() - self._told[0]) < KEPT:  # a clock that jumps tells nothing
            return self._told[1]
        if self._round is None:
            self._round = asyncio.create_task(self._look())
        return await asyncio.shield(self._round)

    async def _look(self) -> dict[str, Finding]:
        try:
            for name, check in self._checks.items():
                if name not in self._running:
                    self._running[name] = asyncio.create_task(self._try(name, check))
            if self._running:
                await asyncio.wait(self._running.values(), timeout=self._patience)
            found = {name: self._taken(name) for name in self._checks}
            self._told = self._now(), found
            return found
        finally:
            self._round = None

    def _taken(self, name: str) -> Finding:
        task = self._running[name]
        if not task.done():
            _LOG.warning("readiness: %s does not answer within %s s", name, self._patience)
            return Finding(ok=False, facts={"code": "timed-out", "detail": f"no answer within {self._patience} s"})
        del self._running[name]
        return task.result()

    async def _try(self, name: str, check: Callable[[], Mapping[str, object] | None]) -> Finding:
        if self._limiter is None:
            self._limiter = CapacityLimiter(max(len(self._checks), 1))
        try:
            facts: Mapping[str, object] | None = await to_thread.run_sync(check, limiter=self._limiter)
            return Finding(ok=True, facts=facts or {})
        except AmberError as error:
            _LOG.warning("readiness: %s fails: %s", name, error.as_dict())
            return Finding(ok=False, facts={"code": error.code, "detail": error.message})
        except Exception:  # what is broken in a check is not ready either  # noqa: BLE001
            _LOG.exception("readiness: %s fails", name)
            return Finding(ok=False, facts={"code": "internal", "detail": "internal error"})


def health_routes(readiness: Readiness) -> list[Route]:
    """`GET /healthz` answers 200 while the process does; `GET /readyz` 200 when every check holds, or else 503."""

    async def healthz(request: Request) -> Response:
        del request
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        del request
        found = await readiness.findings()
        checks = {name: finding.told() for name, finding in found.items()}
        failing = [name for name, finding in found.items() if not finding.ok]
        if failing:
            error = f"not ready: {', '.join(failing)}"
            return json_response({"error": error, "code": "not-ready", "checks": checks, **told_names()}, status=503)
        return json_response({"status": "ready", "checks": checks})

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]
