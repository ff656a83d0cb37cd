"""The attestation service's configuration: one TOML file, the environment over it, both read strictly.

Secrets are named by file, never written here. Every setting: `tables.py`, docs/configuration.md.

    base_url = "https://attest.example:8443"   # the issuer of its tokens, and where its keys are found

    [listen]
    host = "0.0.0.0"                        # default 127.0.0.1
    port = 8443
    certificate = "tls/cert.pem"
    key = "tls/key.pem"

    [store]
    database = "attestation.sqlite"         # or "postgresql://amber@db.example/amber?passfile=/etc/amber/pgpass"
    key_encryption_key = "attestation.kek"  # made at first start, mode 0600; or "env:NAME", or "pkcs11:..."

    [[anchors]]                             # whose evidence is taken; Intel's alone when no [[anchors]] is there
    intel = true
    # a directory, or the https:// address of a PCCS or PCS, or several of them in the order they are asked
    collateral = ["collateral/", "https://pccs.example:8081"]
    collateral_cacerts = "tls/pccs-ca.pem"  # PEM roots of these addresses; the system's when not given
    api = "v4"                              # the default; "v3" is for SGX only
    update = "standard"                     # the default; "early" takes new TCB info without the time of grace

    [[anchors]]                             # a software platform: its tokens have another issuer and say so
    pem = "simulator/root_ca.pem"
    simulated = true
    collateral = "simulator/collateral/"

    [tokens]
    lifetime_seconds = 300                  # the default
    nonce_seconds = 120                     # the default
    rotate_days = 90                        # not set by default: keys sign until they are rotated by command
    profile = "v1"                          # the default: form of the tokens of /appraisal/v1/attest where neither
                                            # request nor API key says; or "v2", "amber-2022", "slim"
    issuer = "Intel Trust Authority"        # not set by default. For clients that insist on this name: tokens about
                                            # hardware then claim to be of somebody else, and only the key tells
    insecure_simulated_issuer = "..."       # not set by default. The same for tokens about software platforms: who
                                            # does not look at `tee_simulated` believes them
    insecure_allow_anonymous = false        # the default: an API key is needed

    [audit]
    checkpoint = "attestation.checkpoint"   # the default: beside the database and named like it; better on another disk

    [policy]                                # what genuine evidence is welcome; see core/appraise/policy.py
    tcb_statuses = ["UpToDate", "SWHardeningNeeded"]
    collateral_grace_hours = 0              # the default; up to 720: in an outage of all sources, statements that have
                                            # ended still count for so long, and no newer recovery or revocation is seen

    [policies]                              # named policies, by `amber policy` and /management/v1/policies
    signers = ["pipeline.pem"]              # not set by default: then policies need no signature. Certificates of those
                                            # who may sign policies; one that none of them signed is not taken

Paths are relative to the file's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.errors import MalformedPolicy, SettingsError
from ambergate.core.token.claims import SIMULATED_SUFFIX
from ambergate.core.token.names import OFFERED, Profile
from ambergate.core.token.policy_jwt import signer_of
from ambergate.services.attestation.anchors import MAX_PEM, Anchor, anchors_of
from ambergate.services.attestation.key_plan import Rules
from ambergate.services.attestation.tables import Tables
from ambergate.services.web.settings.problems import Problems
from ambergate.services.web.settings.reading import Settings, read
from ambergate.services.web.settings.sources import NO_ENVIRONMENT
from ambergate.services.web.settings.tables import public_url
from ambergate.stores.key_encryption import key_place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ambergate.services.web.limits import Limits
    from ambergate.services.web.settings.observing import Log, MetricsPlace, Traces
    from ambergate.services.web.tls import TlsFiles
    from ambergate.stores.engine import Server
    from ambergate.stores.key_encryption import KeyPlace

SERVICE: Final = "attestation"
# What a process holds on to from its start to its end: field of `Config` -> setting.
FIXED: Final = {
    "base_url": "base_url",
    "host": "listen.host",
    "port": "listen.port",
    "workers": "listen.workers",
    "database": "[store] database or password",
    "key_encryption_key": "store.key_encryption_key",
    "checkpoint": "audit.checkpoint",
    "metrics": "[metrics]",
    "traces": "[traces]",
}
MAX_ISSUER: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The attestation service's configuration, its paths resolved."""

    base_url: str
    host: str
    port: int
    workers: int
    limits: Limits
    tls: TlsFiles
    database: Path | str | Server
    key_encryption_key: KeyPlace
    checkpoint: Path
    log: Log
    metrics: MetricsPlace | None
    traces: Traces
    anchors: tuple[Anchor, ...]
    token_lifetime: timedelta
    rotate_every: timedelta | None
    nonce_lifetime: timedelta
    profile: Profile
    issuer: str | None
    insecure_simulated_issuer: str | None
    insecure_allow_anonymous: bool
    policy: AppraisalPolicy
    policy_signers: frozenset[bytes] | None

    @property
    def key_rules(self) -> Rules:
        """What is said of the keys that sign tokens."""
        return Rules(token_lifetime=self.token_lifetime, rotate_every=self.rotate_every)


def load(path: Path | None, environ: Mapping[str, str] = NO_ENVIRONMENT) -> Config:
    """Read the configuration. Nothing is fetched or made yet.

    Args:
        path: the TOML file; None: the environment says all, and paths are relative to the working directory.
        environ: the environment; its settings stand over the file's.

    Raises:
        SettingsError: unreadable, unknown or missing members, or values that cannot be used; all of them are told.
    """
    return configured(read(path, environ, Tables, SERVICE))


def configured(settings: Settings[Tables]) -> Config:
    """The configuration that these settings make.

    Raises:
        SettingsError: values that cannot be used; all of them are told.
    """
    file, folder = settings.tables, settings.folder
    problems = Problems()
    try_ = problems.attempt
    config = Config(
        base_url=try_(_issuer, file.base_url),
        host=file.listen.host,
        port=file.listen.port,
        workers=file.listen.workers,
        limits=try_(file.limits.limits),
        tls=file.listen.tls(folder),
        database=try_(file.store.place, folder),
        key_encryption_key=try_(key_place, file.store.key_encryption_key, folder),
        checkpoint=file.audit.place(file.store, folder),
        log=file.log,
        traces=file.traces,
        metrics=try_(file.metrics.place, folder),
        anchors=try_(anchors_of, file.anchors, folder),
        token_lifetime=timedelta(seconds=file.tokens.lifetime_seconds),
        rotate_every=None if file.tokens.rotate_days is None else timedelta(days=file.tokens.rotate_days),
        nonce_lifetime=timedelta(seconds=file.tokens.nonce_seconds),
        profile=try_(_profile, file.tokens.profile),
        issuer=try_(_name, "tokens.issuer", file.tokens.issuer),
        insecure_simulated_issuer=try_(
            _name, "tokens.insecure_simulated_issuer", file.tokens.insecure_simulated_issuer
        ),
        insecure_allow_anonymous=file.tokens.insecure_allow_anonymous,
        policy=try_(_policy, file.policy.given()),
        policy_signers=try_(_signers, file.policies.signers, folder),
    )
    problems.settle()
    return config


def _issuer(text: str) -> str:
    """Who may be called so: a name that ends as those of software platforms do would be mistaken for one."""
    url = public_url(text, field="base_url")
    if url.endswith(SIMULATED_SUFFIX):
        raise SettingsError("base_url ends as the issuer of simulated tokens does", seen=url, hint="name it otherwise")
    return url


def _name(field: str, text: str | None) -> str | None:
    """An issuer that is not the base URL. What ends as the name of simulated tokens does would be read as one."""
    if text is None:
        return None
    if not 1 <= len(text) <= MAX_ISSUER or not text.isprintable() or text.endswith(SIMULATED_SUFFIX):
        raise SettingsError(f"{field} is no name of an issuer", seen=text[:MAX_ISSUER], wanted="1 to 200 printable")
    return text


def _profile(text: str) -> Profile:
    if text not in OFFERED:
        raise SettingsError("tokens.profile is unknown", seen=text, wanted=" or ".join(OFFERED))
    return Profile(text)


def _signers(names: list[str] | None, folder: Path) -> frozenset[bytes] | None:
    if names is None:
        return None
    if not names:
        raise SettingsError("policies.signers names nobody", hint="leave it out: then policies need no signature")
    found = set()
    for name in names:
        try:
            with (folder / name).open("rb") as file:
                found.add(signer_of(file.read(MAX_PEM)))
        except OSError as exc:
            raise SettingsError("a certificate cannot be read", seen=f"{folder / name}: {exc.strerror}") from exc
        except MalformedPolicy as exc:
            raise SettingsError(exc.message, seen=str(folder / name), wanted=exc.wanted) from exc
    return frozenset(found)


def _policy(table: dict[str, object]) -> AppraisalPolicy:
    try:
        return AppraisalPolicy.from_mapping(table)
    except MalformedPolicy as exc:
        raise SettingsError(f"[policy]: {exc.message}", seen=exc.seen, wanted=exc.wanted, hint=exc.hint) from exc
