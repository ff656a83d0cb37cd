"""The attestation service's configuration: one TOML file, read strictly. Secrets are named by file, never written here.

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

import msgspec

from ambergate.core.appraise.policy import AppraisalPolicy
from ambergate.core.errors import MalformedCollateral, MalformedPolicy, SettingsError
from ambergate.core.token.claims import SIMULATED_SUFFIX
from ambergate.core.token.names import OFFERED, Profile
from ambergate.core.token.policy_jwt import signer_of
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.services.web.server import TlsFiles
from ambergate.services.web.settings import AuditTable, Listen, checkpoint_place, database_place, load_toml, public_url
from ambergate.stores.key_encryption import key_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ambergate.stores.key_encryption import KeyPlace

MAX_LIFETIME: Final = 24 * 3600  # seconds; a token is a statement about now
MAX_NONCE: Final = 3600  # seconds
MAX_ISSUER: Final = 200  # characters
MAX_PEM: Final = 64 * 1024  # bytes


class StoreTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: the file or PostgreSQL URL where state is kept, and the key that encrypts its secrets."""

    database: str
    key_encryption_key: str


class AnchorTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[anchors]]`: one root that is believed."""

    collateral: str | list[str]
    intel: bool = False
    pem: str | None = None
    simulated: bool = False
    collateral_cacerts: str | None = None
    api: str | None = None
    update: str | None = None


class TokensTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tokens]`: how long the service's word holds, and who may ask for it."""

    lifetime_seconds: int = 300
    nonce_seconds: int = 120
    profile: str = Profile.V1
    issuer: str | None = None
    insecure_simulated_issuer: str | None = None
    insecure_allow_anonymous: bool = False


class PoliciesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policies]`: who may write named policies, beside whoever holds a key that manages."""

    signers: list[str] | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    base_url: str
    listen: Listen
    store: StoreTable
    anchors: list[AnchorTable] = []
    tokens: TokensTable = TokensTable()
    audit: AuditTable = AuditTable()
    policy: dict[str, object] = {}
    policies: PoliciesTable = PoliciesTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A root, whether it is a software platform's, and where its holder's statements are.

    Attributes:
        anchor: the root.
        simulated: whether it is a software platform's.
        collateral: directories and addresses, in the order they are asked.
        cacerts: PEM roots of the addresses; the system's when None.
        api: of the addresses, "v4" or "v3".
        update: of the addresses, "standard" or "early".
    """

    anchor: TrustAnchor
    simulated: bool
    collateral: tuple[Path | str, ...]
    cacerts: Path | None = None
    api: str = "v4"
    update: str = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The attestation service's configuration, its paths resolved."""

    base_url: str
    host: str
    port: int
    tls: TlsFiles
    database: Path | str
    key_encryption_key: KeyPlace
    checkpoint: Path
    anchors: tuple[Anchor, ...]
    token_lifetime: timedelta
    nonce_lifetime: timedelta
    profile: Profile
    issuer: str | None
    insecure_simulated_issuer: str | None
    insecure_allow_anonymous: bool
    policy: AppraisalPolicy
    policy_signers: frozenset[bytes] | None


def load(path: Path) -> Config:
    """Read the configuration. Nothing is fetched or made yet.

    Raises:
        SettingsError: unreadable, unknown or missing members, or values that cannot be used.
    """
    file = load_toml(path, _File)
    folder = path.resolve().parent
    if not 0 <= file.listen.port <= 0xFFFF:
        raise SettingsError("listen.port is no port", seen=file.listen.port, wanted="0 to 65535")
    return Config(
        base_url=_issuer(file.base_url),
        host=file.listen.host,
        port=file.listen.port,
        tls=TlsFiles(certificate=folder / file.listen.certificate, key=folder / file.listen.key),
        database=database_place(file.store.database, folder),
        key_encryption_key=key_place(file.store.key_encryption_key, folder),
        checkpoint=checkpoint_place(file.audit, file.store.database, folder),
        anchors=_anchors(file.anchors, folder),
        token_lifetime=_seconds("tokens.lifetime_seconds", file.tokens.lifetime_seconds, MAX_LIFETIME),
        nonce_lifetime=_seconds("tokens.nonce_seconds", file.tokens.nonce_seconds, MAX_NONCE),
        profile=_profile(file.tokens.profile),
        issuer=_name("tokens.issuer", file.tokens.issuer),
        insecure_simulated_issuer=_name("tokens.insecure_simulated_issuer", file.tokens.insecure_simulated_issuer),
        insecure_allow_anonymous=file.tokens.insecure_allow_anonymous,
        policy=_policy(file.policy),
        policy_signers=_signers(file.policies.signers, folder),
    )


def _anchors(tables: Sequence[AnchorTable], folder: Path) -> tuple[Anchor, ...]:
    """Each root by name: evidence of genuine and of simulated platforms is taken together only if both stand here."""
    if not tables:
        return (Anchor(anchor=TrustAnchor.intel(), simulated=False, collateral=(INTEL,)),)
    anchors = tuple(_anchor(table, folder) for table in tables)
    if len({anchor.anchor.key for anchor in anchors}) != len(anchors):
        raise SettingsError("a root stands twice in [[anchors]]", wanted="each key once")
    return anchors


INTEL: Final = "https://api.trustedservices.intel.com"


def _anchor(table: AnchorTable, folder: Path) -> Anchor:
    if table.intel == (table.pem is not None):
        raise SettingsError("an anchor names one root", seen=table.pem, wanted="either intel = true or pem = FILE")
    anchor = TrustAnchor.intel() if table.pem is None else _pem(folder / table.pem)
    if table.simulated == anchor.is_intel:
        said = "is simulated" if table.simulated else "is not simulated"
        hint = "every root but Intel's is somebody's software platform: say simulated = true, or leave it out"
        raise SettingsError(f"the configuration says that {anchor.name} {said}", hint=hint)
    places = _places(table, folder)
    return Anchor(
        anchor=anchor,
        simulated=table.simulated,
        collateral=places,
        cacerts=None if table.collateral_cacerts is None else folder / table.collateral_cacerts,
        api=_one_of("api", table.api or "v4", ("v4", "v3")),
        update=_one_of("update", table.update or "standard", ("standard", "early")),
    )


def _places(table: AnchorTable, folder: Path) -> tuple[Path | str, ...]:
    named = [table.collateral] if isinstance(table.collateral, str) else table.collateral
    if not named or len(set(named)) != len(named):
        raise SettingsError("collateral must name each source, and once", seen=named, wanted="one source at least")
    places = tuple(_place(name, folder) for name in named)
    of_addresses = {"api": table.api, "update": table.update, "collateral_cacerts": table.collateral_cacerts}
    idle = [name for name, value in of_addresses.items() if value is not None]
    if idle and not any(isinstance(place, str) for place in places):
        raise SettingsError(
            f"{idle[0]} is about addresses, and collateral names none",
            seen=named,
            wanted="https://... in collateral",
            hint="a directory holds what it holds: leave it out, or name an address",
        )
    return places


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise SettingsError(f"[[anchors]] {name} is unknown", seen=value, wanted=" or ".join(known))
    return value


def _place(collateral: str, folder: Path) -> Path | str:
    if collateral.startswith("https://"):
        return collateral
    if "://" in collateral:
        raise SettingsError("collateral comes over https alone", seen=collateral, wanted="a directory or https://...")
    return folder / collateral


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


def _pem(path: Path) -> TrustAnchor:
    try:
        with path.open("rb") as file:
            return TrustAnchor.from_pem(file.read(MAX_PEM))
    except OSError as exc:
        raise SettingsError("a root cannot be read", seen=f"{path}: {exc.strerror}") from exc
    except MalformedCollateral as exc:
        raise SettingsError(exc.message, seen=str(path), wanted=exc.wanted, hint=exc.hint) from exc


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


def _seconds(name: str, value: int, limit: int) -> timedelta:
    if not 1 <= value <= limit:
        raise SettingsError(f"{name} is out of range", seen=value, wanted=f"1 to {limit}")
    return timedelta(seconds=value)
