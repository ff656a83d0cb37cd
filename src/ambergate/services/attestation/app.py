"""The attestation service put together: configuration in, ASGI application out."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.services.attestation.audit import AuditTrail
from ambergate.services.attestation.audit_routes import audit_routes
from ambergate.services.attestation.azure import azure_route
from ambergate.services.attestation.callers import Callers
from ambergate.services.attestation.health import collateral_check, keys_check
from ambergate.services.attestation.keyring import KeyRing
from ambergate.services.attestation.management import Management
from ambergate.services.attestation.management_routes import policy_routes
from ambergate.services.attestation.metrics import CountedAudit
from ambergate.services.attestation.named import NamedPolicies
from ambergate.services.attestation.nonces import KEY_BYTES, Nonces
from ambergate.services.attestation.operations import openapi
from ambergate.services.attestation.policies import KnownPolicies, open_engines
from ambergate.services.attestation.published import published_routes
from ambergate.services.attestation.rotation import KeyKeeper
from ambergate.services.attestation.routes import Authoriser, attest_routes, nonce_routes, version_route
from ambergate.services.attestation.token_ids import token_id
from ambergate.services.attestation.usecase import Attestation, Issuer
from ambergate.services.web.application import build
from ambergate.services.web.gate import Gate
from ambergate.services.web.health import Readiness, health_routes
from ambergate.services.web.names import request_names
from ambergate.services.web.openapi import openapi_route
from ambergate.services.web.spans import UNTRACED
from ambergate.stores.api_keys import ApiKeyStore
from ambergate.stores.audit import AuditLog
from ambergate.stores.audit_key import checkpoint_signer
from ambergate.stores.collateral import CollateralStore
from ambergate.stores.data_keys import open_sealer
from ambergate.stores.engine import open_database
from ambergate.stores.key_encryption import open_kek
from ambergate.stores.platforms import PlatformStore
from ambergate.stores.policies import PolicyStore
from ambergate.stores.signing_keys import SigningMaterialStore
from ambergate.stores.token_keys import TokenKeyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Engine
    from starlette.applications import Starlette

    from ambergate.core.appraise.named import PolicyEngine, PolicyLanguage
    from ambergate.services.attestation.config import Config
    from ambergate.services.attestation.metrics import AttestationMetrics
    from ambergate.services.attestation.pki import TokenPki
    from ambergate.services.attestation.ports import Audit
    from ambergate.services.attestation.usecase import Trust
    from ambergate.services.web.spans import Spans
    from ambergate.stores.engine import Server

_NONCE_KEY: Final = "nonce.key"


@dataclass(frozen=True, slots=True)
class State:
    """What the service keeps: who may ask, its keys, collateral, platforms seen, policies, their engines. Redacted."""

    api_keys: ApiKeyStore
    token_keys: KeyKeeper
    nonce_key: bytes
    collateral: CollateralStore
    platforms: PlatformStore
    audit: AuditLog
    policies: PolicyStore
    engines: Mapping[PolicyLanguage, PolicyEngine]
    database: Engine

    def __repr__(self) -> str:
        return "State(...)"


@contextlib.contextmanager
def open_api_keys(database: Path | str | Server) -> Iterator[ApiKeyStore]:
    """The API keys in this database, for the command line.

    Raises:
        SettingsError: the database cannot be used.
        Unavailable: it does not answer.
    """
    engine = open_database(database)
    try:
        yield ApiKeyStore(engine)
    finally:
        engine.dispose()


@contextlib.contextmanager
def open_management(config: Config) -> Iterator[tuple[Management, ApiKeyStore]]:
    """The policies of this configuration's database and its API keys, for the command line.

    Raises:
        SettingsError: the database cannot be used.
        Unavailable: it does not answer.
    """
    engine = open_database(config.database)
    try:
        with open_engines() as engines:
            management = Management(PolicyStore(engine), engines, signers=config.policy_signers)
            yield management, ApiKeyStore(engine)
    finally:
        engine.dispose()


@contextlib.contextmanager
def open_token_keys(config: Config) -> Iterator[KeyKeeper]:
    """The keys that sign this service's tokens, for the command line.

    Raises:
        SettingsError: database or key-encryption key cannot be used, or do not belong together.
        Unavailable: the database, or what keeps the key-encryption key, does not answer.
    """
    kek = open_kek(config.key_encryption_key)
    engine = open_database(config.database)
    try:
        with contextlib.closing(KeyKeeper(TokenKeyStore(engine, open_sealer(engine, kek)), config.base_url)) as keeper:
            yield keeper
    finally:
        engine.dispose()


@contextlib.contextmanager
def open_state(
    config: Config,
    *,
    at: datetime,
    now: Callable[[], datetime] | None = None,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Iterator[State]:
    """The state of this configuration; signing keys are made at the first start (about a second).

    Args:
        config: read by `config.load`.
        at: now, aware.
        now: the clock that the audit log's checkpoints tell; stands still at `at` when not given.
        token_bytes: randomness for keys.

    Raises:
        NotIntact: the audit log is not the one that was written.
        SettingsError: database or key-encryption key cannot be used, or do not belong together.
        Unavailable: the database, or what keeps the key-encryption key, does not answer.
    """
    kek = open_kek(config.key_encryption_key, create=True, token_bytes=token_bytes)
    engine = open_database(config.database)
    try:
        sealer = open_sealer(engine, kek, token_bytes=token_bytes)
        store = SigningMaterialStore(engine, sealer)
        nonce_key = store.ensure(_NONCE_KEY, lambda: token_bytes(KEY_BYTES))
        keeper = KeyKeeper(TokenKeyStore(engine, sealer), config.base_url)
        keeper.begin(at, config.key_rules)
        keys = ApiKeyStore(engine, token_bytes=token_bytes)
        signer = checkpoint_signer(store, config.base_url, token_bytes=token_bytes)
        audit = AuditLog(engine, signer, now=now or (lambda: at), pin=config.checkpoint)
        stores = CollateralStore(engine), PlatformStore(engine)
        with contextlib.closing(audit), contextlib.closing(keeper), open_engines(config.workers) as engines:
            yield State(keys, keeper, nonce_key, *stores, audit, PolicyStore(engine), engines, engine)
    finally:
        engine.dispose()


def create_app(  # noqa: PLR0913  # each is a part of its own
    config: Config,
    state: State,
    roots: Sequence[Trust],
    *,
    now: Callable[[], datetime],
    callers: Callers | None = None,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    metrics: AttestationMetrics | None = None,
    spans: Spans = UNTRACED,
) -> Starlette:
    """The attestation service as an ASGI application.

    Args:
        config: read by `config.load`.
        state: opened by `open_state`.
        roots: the configuration's anchors with their collateral.
        now: the clock, aware.
        callers: what is known of the API keys and their rates, of an application before this one.
        token_bytes: randomness for nonces and for ids of tokens.
        metrics: counts what it does; None: nobody does.
        spans: of its requests and their parts, where somebody traces.
    """
    nonces = Nonces(state.nonce_key, lifetime=config.nonce_lifetime, token_bytes=token_bytes)
    keys = KeyRing(state.token_keys, config.key_rules, now=now)
    issuer = _issuer(config, keys.current(), lambda: token_id(now(), token_bytes))
    audit = _counted(state, roots, metrics)
    attestation = Attestation(
        roots=roots,
        policy=config.policy,
        nonces=nonces,
        keys=keys,
        issuer=issuer,
        audit=audit,
        named=NamedPolicies(
            KnownPolicies(state.policies, now=now), state.engines, judged=None if metrics is None else metrics.judged
        ),
        seen=state.platforms,
        spans=spans,
    )
    known = callers or Callers(state.api_keys, now=now)
    authorise = Authoriser(known, anonymous=config.insecure_allow_anonymous)
    checks = {"database": known.check, "audit": state.audit.check, "signing-keys": keys_check(keys)}
    readiness = Readiness({**checks, "collateral": collateral_check(roots)}, now=now)
    return build(
        [
            *nonce_routes(nonces, authorise, now),
            *attest_routes(attestation, authorise, now, v1_profile=config.profile),
            azure_route(attestation, authorise, now),
            version_route(authorise),
            *policy_routes(Management(state.policies, state.engines, signers=config.policy_signers), authorise, now),
            *audit_routes(state.audit, authorise),
            *published_routes(keys, issuer, now),
            *health_routes(readiness),
            openapi_route(openapi()),
        ],
        gate=Gate(config.limits, now),
        metrics=metrics,
        spans=spans,
    )


def _issuer(config: Config, pki: TokenPki, new_id: Callable[[], uuid.UUID]) -> Issuer:
    return Issuer(
        base_url=config.base_url,
        # One id for all nodes that sign with these keys; it names the verifier, and hides nothing.
        instance_id=uuid.UUID(bytes=hashlib.sha256(pki.first_root).digest()[:16], version=4),
        token_lifetime=config.token_lifetime,
        new_id=new_id,
        name=config.issuer,
        simulated_name=config.insecure_simulated_issuer,
    )


def _counted(state: State, roots: Sequence[Trust], metrics: AttestationMetrics | None) -> Audit:
    """The audit trail, counted where somebody counts."""
    trail = AuditTrail(state.audit, request_names)
    if metrics is None:
        return trail
    metrics.keeps(state.database, state.audit)
    metrics.collateral_of(roots)
    return CountedAudit(trail, metrics)
