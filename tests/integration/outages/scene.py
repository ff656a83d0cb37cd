"""A running service whose world is taken away and given back, and the questions that are asked of it meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import jwt
from tests.integration.attestation.scene import AT, SIMULATED, Clock, Service, configure, new_platform, serving

from ambergate.cli.attestation import open_roots
from ambergate.services.attestation.app import State, open_state
from ambergate.services.attestation.config import load
from ambergate.services.attestation.metrics import AttestationMetrics
from ambergate.stores.audit_check import check_whole
from ambergate.stores.audit_rows import find_entry
from ambergate.stores.transactions import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ambergate.services.attestation.usecase import Trust
    from ambergate.services.web.server import TlsFiles

SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
TURNS: Final = 5000  # looks until something must have happened


@dataclass
class Outage:
    """The service, and every token that it has given out."""

    service: Service
    state: State
    metrics: AttestationMetrics
    tokens: list[UUID] = field(default_factory=list)

    def attest(self) -> str:
        """One request: "token", or the code of its 503. A token must be one that a relying party takes now."""
        answer = self.service.attest(self.service.evidence(None))
        if answer.status_code == 200:
            self.service.claims(answer)
            told: dict[str, Any] = jwt.decode(answer.json()["token"], options={"verify_signature": False})
            self.tokens.append(UUID(told["jti"]))
            return "token"
        assert "token" not in answer.json()
        assert answer.status_code == 503, answer.text
        return str(answer.json()["code"])

    def ready(self) -> list[str]:
        """The names of the checks that fail; none: it is ready. A second passes, so that it is looked anew."""
        self.service.clock.instant += SECOND
        answer = self.service.client.get("/readyz")
        failing = [name for name, check in answer.json()["checks"].items() if not check["ok"]]
        assert answer.status_code == (503 if failing else 200)
        assert self.service.client.get("/healthz").status_code == 200, "it lives all the time"
        return failing

    def check_nothing_is_lost(self) -> None:
        """The log is whole, and has the record of each token that somebody got."""
        with reading(self.state.database) as connection:
            check_whole(connection, self.state.audit.key)
            assert [find_entry(connection, jti) is not None for jti in self.tokens] == [True] * len(self.tokens)


@contextmanager
def outage(
    folder: Path,
    tls: TlsFiles,
    more: str = SIMULATED,
    *,
    database: str = "attestation.sqlite",
    clock: Clock | None = None,
    roots: Sequence[Trust] | None = None,
) -> Iterator[Outage]:
    """The service in a folder, its clock turned by the test; with the configuration's roots if none are given."""
    clock, metrics, platform = clock or Clock(), AttestationMetrics(), new_platform(folder)
    configure(folder, tls, more)
    file = folder / "attestation.toml"
    file.write_text(file.read_text().replace('"attestation.sqlite"', f'"{database}"'))
    config = load(file)
    with (
        open_state(config, at=AT, now=clock) as state,
        open_roots(config, state.collateral, clock=clock) as configured,
        serving(config, state, roots or configured, platform, clock=clock, metrics=metrics) as service,
    ):
        yield Outage(service, state, metrics)


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast
