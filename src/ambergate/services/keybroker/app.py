"""The key broker put together: configuration in, ASGI application out."""

from __future__ import annotations

import contextlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from ambergate.core.errors import Unavailable
from ambergate.keymanagers.builtin import BuiltIn
from ambergate.services.keybroker.access import Guard
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.bearer import KEY_BYTES, KEY_NAME, LIFETIME, BearerTokens
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.keys import Keys
from ambergate.services.keybroker.login import Login
from ambergate.services.keybroker.metrics import CountedAudit
from ambergate.services.keybroker.passwords import Passwords
from ambergate.services.keybroker.routes import STATUSES, transfer_route, version_route
from ambergate.services.keybroker.usecase import KeyTransfer
from ambergate.services.keybroker.user_routes import own_routes, token_route, user_routes
from ambergate.services.keybroker.users import Users
from ambergate.services.web.application import build
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.names import request_names
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_key import checkpoint_signer
from ambergate.stores.data_keys import open_sealer
from ambergate.stores.engine import open_database
from ambergate.stores.key_encryption import open_kek
from ambergate.stores.login_failures import LoginFailures
from ambergate.stores.secrets import SecretStore
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.users import UserStore
from ambergate.stores.version_keys import VersionKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import Engine
    from starlette.applications import Starlette

    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.keybroker.ports import Audit, Journal, KeyManager
    from ambergate.services.keybroker.trust import TrustedIssuers
    from ambergate.stores.secrets import StoredSecret

_LOG = logging.getLogger("ambergate.keybroker")


_LOG_NAME: Final = "keybroker"  # of the audit log; its key tells one broker's from another's


@dataclass(frozen=True, slots=True)
class State:
    """What the broker keeps: keys, the log of what became of them, users and the key of their tokens. Redacted."""

    secrets: SecretStore
    audit: AuditLog
    users: UserStore
    failures: LoginFailures
    bearer_key: bytes
    database: Engine
    managers: Mapping[str, KeyManager] = field(default_factory=lambda: {BUILT_IN: BuiltIn(secrets.token_bytes)})

    @property
    def ring(self) -> KeyRing[StoredSecret]:
        """The keys, to be taken from their managers."""
        return KeyRing(catalogue=self.secrets, managers=self.managers)

    def keys(self, journal: Journal, *, by: str) -> Keys[StoredSecret]:
        """The keys, to be changed by somebody."""
        return Keys(ring=self.ring, journal=journal, by=by)

    def __repr__(self) -> str:
        return "State(...)"


@contextlib.contextmanager
def open_state(
    config: Config,
    *,
    now: Callable[[], datetime],
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Iterator[State]:
    """The state of this configuration, for the service and for the command line.

    Args:
        config: read by `config.load`.
        now: the clock that the audit log's checkpoints tell, aware.
        token_bytes: randomness for keys.

    Raises:
        NotIntact: the audit log is not the one that was written.
        SettingsError: database or key-encryption key cannot be used, or do not belong together.
        Unavailable: the database, or what keeps the key-encryption key, does not answer.
    """
    kek = open_kek(config.key_encryption_key, create=True, token_bytes=token_bytes)
    with contextlib.ExitStack() as stack:
        engine = open_database(config.database)
        stack.callback(engine.dispose)
        sealer = open_sealer(engine, kek, token_bytes=token_bytes)
        version_keys = VersionKeys(engine, sealer, token_bytes=token_bytes)
        if config.version_keys is not None:
            beside = open_database(config.version_keys)
            stack.callback(beside.dispose)
            sealer_beside = open_sealer(beside, kek, token_bytes=token_bytes)
            version_keys = VersionKeys(beside, sealer_beside, token_bytes=token_bytes)
        store = SecretStore(engine, sealer, version_keys)
        material = SigningMaterialStore(engine, sealer)
        signer = checkpoint_signer(material, _LOG_NAME, token_bytes=token_bytes)
        bearer_key = material.ensure(KEY_NAME, lambda: token_bytes(KEY_BYTES))
        audit = stack.enter_context(contextlib.closing(AuditLog(engine, signer, now=now, pin=config.checkpoint)))
        managers: dict[str, KeyManager] = {BUILT_IN: BuiltIn(token_bytes)}
        yield State(store, audit, UserStore(engine), LoginFailures(engine), bearer_key, engine, managers)


def create_app(  # noqa: PLR0913  # each is a part of its own
    state: State,
    trust: TrustedIssuers,
    *,
    now: Callable[[], datetime],
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    passwords: Passwords | None = None,
    token_lifetime: timedelta = LIFETIME,
    metrics: BrokerMetrics | None = None,
) -> Starlette:
    """The key broker as an ASGI application.

    Args:
        state: opened by `open_state`.
        trust: whose tokens are believed.
        now: the clock, aware.
        token_bytes: randomness for envelopes.
        passwords: makes and checks hashes; at the usual cost when not given.
        token_lifetime: of users' bearer tokens.
        metrics: counts what it does; None: nobody does.
    """
    trail = AuditTrail(state.audit, request_names)
    audit: Audit = trail
    if metrics is not None:
        metrics.keeps(state.database, state.audit)
        audit = CountedAudit(trail, metrics)
    tokens = BearerTokens(state.bearer_key, lifetime=token_lifetime)
    users = Users(store=state.users, passwords=passwords or Passwords(), journal=trail)
    login = Login(users=state.users, failures=state.failures, passwords=users.passwords, tokens=tokens, journal=trail)
    guard = Guard(state.users, tokens, now=now)
    transfer = KeyTransfer(secrets=state.ring, trust=trust, audit=audit, token_bytes=token_bytes)

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
            *health_routes(
                Readiness({"database": state.secrets.check, "audit": state.audit.check, "issuer-keys": ready}, now=now)
            ),
            token_route(login, now),
            *user_routes(users, guard, now),
            *own_routes(users, login, guard, now),
        ],
        statuses=STATUSES,
        lifespan=lifespan,
        metrics=metrics,
    )
