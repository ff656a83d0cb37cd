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
from ambergate.services.keybroker.access import Guard, ManagementRoute
from ambergate.services.keybroker.audit import AuditTrail
from ambergate.services.keybroker.bearer import KEY_BYTES, KEY_NAME, LIFETIME, BearerTokens
from ambergate.services.keybroker.change_routes import change_routes
from ambergate.services.keybroker.fetched_ahead import fetched_ahead
from ambergate.services.keybroker.key_routes import key_routes
from ambergate.services.keybroker.keyring import BUILT_IN, KeyRing
from ambergate.services.keybroker.keys import Keys
from ambergate.services.keybroker.login import Login
from ambergate.services.keybroker.managed_keys import ManagedKeys
from ambergate.services.keybroker.metrics import CountedAudit
from ambergate.services.keybroker.operations import openapi
from ambergate.services.keybroker.own_key_routes import own_key_routes
from ambergate.services.keybroker.passwords import Passwords
from ambergate.services.keybroker.policies import Policies
from ambergate.services.keybroker.policy_changes import PolicyChanges
from ambergate.services.keybroker.policy_routes import policy_routes
from ambergate.services.keybroker.routes import STATUSES, transfer_route, version_route
from ambergate.services.keybroker.unattested import UnattestedTransfer
from ambergate.services.keybroker.usecase import KeyTransfer
from ambergate.services.keybroker.user_routes import own_routes, token_route, user_routes
from ambergate.services.keybroker.users import Users
from ambergate.services.web.application import build
from ambergate.services.web.gate import Gate
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.limits import Limits
from ambergate.services.web.names import request_names
from ambergate.services.web.openapi import openapi_route
from ambergate.services.web.spans import UNTRACED
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_key import checkpoint_signer
from ambergate.stores.data_keys import open_sealer
from ambergate.stores.engine import open_database
from ambergate.stores.key_encryption import open_kek
from ambergate.stores.key_policies import KeyPolicyStore
from ambergate.stores.key_search import KeySearch
from ambergate.stores.login_failures import LoginFailures
from ambergate.stores.policy_changes import PolicyChangeStore
from ambergate.stores.releases import ReleaseCounter
from ambergate.stores.secrets import SecretStore
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.users import UserStore
from ambergate.stores.version_keys import VersionKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import Engine
    from starlette.applications import Starlette

    from ambergate.services.keybroker.admin_place import Listening
    from ambergate.services.keybroker.config import Config
    from ambergate.services.keybroker.metrics import BrokerMetrics
    from ambergate.services.keybroker.ports import Audit, Journal, KeyManager, Verifier
    from ambergate.services.keybroker.trust import TrustedIssuers
    from ambergate.services.web.rates import Rate
    from ambergate.services.web.spans import Spans
    from ambergate.stores.secrets import StoredSecret

_LOG = logging.getLogger("ambergate.keybroker")


_LOG_NAME: Final = "keybroker"  # of the audit log; its key tells one broker's from another's


@dataclass(frozen=True, slots=True)
class State:
    """What the broker keeps: keys, the log of what became of them, users and the key of their tokens. Redacted."""

    database: Engine
    secrets: SecretStore
    audit: AuditLog
    bearer_key: bytes
    managers: Mapping[str, KeyManager] = field(default_factory=lambda: {BUILT_IN: BuiltIn(secrets.token_bytes)})

    @property
    def users(self) -> UserStore:
        """Who manages the broker."""
        return UserStore(self.database)

    @property
    def failures(self) -> LoginFailures:
        """Who failed to log in."""
        return LoginFailures(self.database)

    @property
    def policies(self) -> KeyPolicyStore:
        """The release policies that have an id."""
        return KeyPolicyStore(self.database)

    @property
    def ring(self) -> KeyRing[StoredSecret]:
        """The keys, to be taken from their managers."""
        return KeyRing(catalogue=self.secrets, managers=self.managers)

    def keys(self, journal: Journal, *, by: str) -> Keys[StoredSecret]:
        """The keys, to be changed by somebody."""
        return Keys(ring=self.ring, journal=journal, by=by)

    def managed_keys(self, journal: Journal) -> ManagedKeys[StoredSecret]:
        """The keys under policies that have an id, to be changed by users."""
        return ManagedKeys(
            keys=lambda name: self.keys(journal, by=name), search=KeySearch(self.database), policies=self.policies
        )

    def policy_changes(self, journal: Journal, *, by: str) -> PolicyChanges[StoredSecret]:
        """Policies for keys whose owners must approve, to be proposed and approved by somebody."""
        store = PolicyChangeStore(self.database)
        return PolicyChanges(keys=self.keys(journal, by=by), store=store, policies=self.policies)

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
        yield State(engine, store, audit, bearer_key, config.managers.made(token_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator can choose.

    Attributes:
        verifier: the attestation service that is asked about evidence; None: the broker takes tokens only.
        passwords: makes and checks hashes.
        token_lifetime: of users' bearer tokens.
        transfer_rate: transfers of one address; None: as many as there are.
        limits: requests and connections of one address.
        dangerously_allow_unattested_transfer: whether users can have keys without attestation.
        listening: the listener that management is at; None: any.
    """

    verifier: Verifier | None = None
    passwords: Passwords = field(default_factory=Passwords)
    token_lifetime: timedelta = LIFETIME
    transfer_rate: Rate | None = None
    limits: Limits = field(default_factory=Limits)
    dangerously_allow_unattested_transfer: bool = False
    listening: Listening | None = None

    @classmethod
    def of(cls, config: Config, listening: Listening | None = None) -> Options:
        """As the configuration has it, and where it is managed."""
        return cls(
            verifier=config.verifier,
            token_lifetime=config.token_lifetime,
            transfer_rate=config.transfer_rate,
            limits=config.limits,
            dangerously_allow_unattested_transfer=config.dangerously_allow_unattested_transfer,
            listening=listening,
        )


def create_app(  # noqa: PLR0913  # each is a part of its own
    state: State,
    trust: TrustedIssuers,
    *,
    now: Callable[[], datetime],
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    options: Options | None = None,
    metrics: BrokerMetrics | None = None,
    spans: Spans = UNTRACED,
) -> Starlette:
    """The key broker as an ASGI application.

    Args:
        state: opened by `open_state`.
        trust: whose tokens are believed.
        now: the clock, aware.
        token_bytes: randomness for envelopes.
        options: what the operator chose.
        metrics: counts what it does; None: nobody does.
        spans: of its requests, where somebody traces.
    """
    chosen = options or Options()
    trail = AuditTrail(state.audit, request_names)
    audit = _counted(state, trail, metrics)
    transfer = KeyTransfer(
        secrets=state.ring,
        releases=ReleaseCounter(state.database),
        trust=trust,
        audit=audit,
        token_bytes=token_bytes,
        verifier=chosen.verifier,
    )

    def ready() -> None:
        trust.ready(now())

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(ready)
        except Unavailable as exc:  # it may come later; /readyz says so meanwhile
            _LOG.warning("starting without an issuer's keys: %s", exc.as_dict())
        with fetched_ahead(trust.key_sets, now=now, token_bytes=token_bytes):
            yield

    return build(
        [
            transfer_route(transfer, now, chosen.transfer_rate),
            version_route(),
            *health_routes(
                Readiness({"database": state.secrets.check, "audit": state.audit.check, "issuer-keys": ready}, now=now)
            ),
            *management_routes(state, trail, audit, now=now, options=chosen),
            openapi_route(openapi()),
        ],
        statuses=STATUSES,
        lifespan=lifespan,
        gate=Gate(chosen.limits, now),
        metrics=metrics,
        spans=spans,
    )


def management_routes(
    state: State, trail: AuditTrail, audit: Audit, *, now: Callable[[], datetime], options: Options
) -> list[ManagementRoute]:
    """Users, policies and keys, for users; and how one becomes a token's holder."""
    tokens = BearerTokens(state.bearer_key, lifetime=options.token_lifetime)
    guard = Guard(state.users, tokens, now=now)
    users = Users(store=state.users, passwords=options.passwords, journal=trail)
    login = Login(users=state.users, failures=state.failures, passwords=options.passwords, tokens=tokens, journal=trail)
    unattested = UnattestedTransfer(
        secrets=state.ring, audit=audit, allowed=options.dangerously_allow_unattested_transfer
    )
    routes = [
        token_route(login, now),
        *user_routes(users, guard, now),
        *own_routes(users, login, guard, now),
        *policy_routes(Policies(store=state.policies, journal=trail), guard, now),
        *key_routes(state.managed_keys(trail), unattested, guard, now),
        *own_key_routes(state.managed_keys(trail), guard, now),
        *change_routes(lambda name: state.policy_changes(trail, by=name), guard, now),
    ]
    for route in routes:
        route.listening = options.listening
    return routes


def _counted(state: State, trail: AuditTrail, metrics: BrokerMetrics | None) -> Audit:
    """The audit trail, counted where somebody counts."""
    if metrics is None:
        return trail
    metrics.keeps(state.database, state.audit)
    return CountedAudit(trail, metrics)
