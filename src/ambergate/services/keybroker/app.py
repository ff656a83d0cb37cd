"""The key broker put together: configuration in, ASGI application out."""

from __future__ import annotations

import contextlib
import logging
import secrets
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ambergate.core.errors import Unavailable
from ambergate.services.keybroker.audit import log_decision
from ambergate.services.keybroker.routes import STATUSES, ready_route, transfer_route, version_route
from ambergate.services.keybroker.usecase import KeyTransfer
from ambergate.services.web.application import build
from ambergate.services.web.health import health_route
from ambergate.stores.engine import open_database
from ambergate.stores.sealing import Sealer, load_or_create_key
from ambergate.stores.secrets import SecretStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime

    from starlette.applications import Starlette

    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.ports import Audit
    from ambergate.services.keybroker.trust import TrustedIssuers

_LOG = logging.getLogger("ambergate.keybroker")


@contextlib.contextmanager
def open_store(config: Config, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Iterator[SecretStore]:
    """The keys of this configuration, for the service and for the command line.

    Raises:
        SettingsError: database or key-encryption key cannot be used, or do not belong together.
        Unavailable: the database does not answer.
    """
    sealer = Sealer(load_or_create_key(config.key_encryption_key, token_bytes=token_bytes), token_bytes=token_bytes)
    engine = open_database(config.database)
    try:
        yield SecretStore(engine, sealer)
    finally:
        engine.dispose()


def create_app(
    store: SecretStore,
    trust: TrustedIssuers,
    *,
    now: Callable[[], datetime],
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    audit: Audit = log_decision,
) -> Starlette:
    """The key broker as an ASGI application.

    Args:
        store: the keys.
        trust: whose tokens are believed.
        now: the clock, aware.
        token_bytes: randomness for envelopes.
        audit: writes each decision down before its answer leaves.
    """
    transfer = KeyTransfer(secrets=store, trust=trust, audit=audit, token_bytes=token_bytes)

    def ready() -> None:
        trust.ready(now())

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(ready)
        except Unavailable as exc:  # it may come later; /readyz says so meanwhile
            _LOG.warning("starting without an issuer's keys: %s", exc.as_dict())
        yield

    return build(
        [
            transfer_route(transfer, now),
            version_route(),
            health_route({"database": store.check}),
            ready_route(ready),
        ],
        statuses=STATUSES,
        lifespan=lifespan,
    )
