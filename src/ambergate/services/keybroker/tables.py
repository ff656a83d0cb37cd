"""The tables of the key broker's configuration: every setting, its type, its default, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from ambergate.client.settings import MAX_TIMEOUT
from ambergate.core.errors import SettingsError
from ambergate.services.keybroker.bearer import LIFETIME, MAX_LIFETIME
from ambergate.services.web.settings.limiting import LimitsTable
from ambergate.services.web.settings.observing import Log, Metrics, Traces  # msgspec reads the annotations
from ambergate.services.web.settings.secret import SecretText  # noqa: TC001  # msgspec reads the annotations
from ambergate.services.web.settings.tables import Audit, Listen, Store  # msgspec reads the annotations
from ambergate.stores.engine import Server, check_url
from ambergate.stores.key_terms import MAX_BURST, MAX_RATE

if TYPE_CHECKING:
    from pathlib import Path


class BrokerStore(Store, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[store]`: where keys are kept, and the key that encrypts them."""

    version_keys: Annotated[
        str | None,
        Meta(
            description="File or PostgreSQL URL of the version keys, apart from the database so that what is destroyed "
            "is gone from its copies ([broker-keys.md](broker-keys.md)); by default `DATABASE-keys` beside a file, "
            "else the database itself."
        ),
    ] = None

    version_keys_password: Annotated[
        SecretText | None,
        Meta(description="Password of the PostgreSQL role of `version_keys`, instead of a `passfile`."),
    ] = None

    def version_keys_place(self, folder: Path) -> Path | str | Server | None:
        """Where version keys are: a file, relative to the configuration, or a server; None: in the database itself.

        Raises:
            SettingsError: the URL cannot be used, or there is a password for what has none.
        """
        place = self.version_keys
        if place is None and "://" not in self.database:
            place = f"{self.database}-keys"
        if place is None or place == self.database or "://" not in place:
            if self.version_keys_password is not None:
                seen, hint = place or "none of their own", "leave it out"
                raise SettingsError("store.version_keys_password is for PostgreSQL", seen=seen, hint=hint)
            return None if place is None or place == self.database else folder / place
        check_url(place)
        return place if self.version_keys_password is None else Server(place, self.version_keys_password.reveal())


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[issuers]]`: one issuer that is believed."""

    issuer: Annotated[str, Meta(description="Its name, as its tokens' `iss` has it.")]
    jwks_url: Annotated[
        str | None, Meta(description="https:// address of its key set. Either this or `jwks_file`.")
    ] = None
    jwks_file: Annotated[str | None, Meta(description="File of its key set.")] = None
    cacerts: Annotated[
        str | None, Meta(description="File of PEM roots for `jwks_url`; the system's when not given.")
    ] = None
    algorithms: Annotated[
        list[Literal["PS384", "RS256", "ES256"]] | None,
        Meta(description="Algorithms of its tokens that are taken; all three when not given."),
    ] = None
    max_stale_hours: Annotated[
        float,
        Meta(
            gt=0, le=168, description="For how long its key set is used when no newer one can be had, at most a week."
        ),
    ] = 24.0
    signing_root: Annotated[
        str | None,
        Meta(
            description="File of PEM certificates: a key of the set counts only with a chain (`x5c`) to one of them, "
            "so that who serves the set is not believed alone."
        ),
    ] = None
    crls: Annotated[
        list[str],
        Meta(
            max_length=16,
            description="Revocation lists of that chain, one of each authority: https:// addresses, or files. "
            "`signing_root` wants them.",
        ),
    ] = []
    insecure_ignore_revocation: Annotated[
        bool, Meta(description="Take keys under `signing_root` without looking whether they are revoked.")
    ] = False
    insecure_accept_simulated: Annotated[
        bool, Meta(description="Believe it about software platforms, which prove nothing about hardware.")
    ] = False


class Verifier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[verifier]`: the attestation service that is asked about evidence; without it the broker takes tokens only."""

    url: Annotated[str, Meta(description="`https://host[:port]/appraisal/v1/`.")]
    api_key_file: Annotated[
        str | None, Meta(description="File of the broker's own API key; left out: the service asks for none.")
    ] = None
    cacerts: Annotated[str | None, Meta(description="File of PEM roots; the system's when not given.")] = None
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=MAX_TIMEOUT, description="For each request, at most 600 seconds.")
    ] = 15.0


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[pkcs11]]`: a PKCS#11 token that makes keys, and wraps them for workloads inside."""

    name: Annotated[str, Meta(description="What keys that are kept there call it.")]
    module: Annotated[str, Meta(description="The vendor's library.")]
    token: Annotated[str, Meta(description="The token's label.")]
    pin_file: Annotated[str, Meta(description="File of the user's PIN, mode 0600.")]
    oaep_hash: Annotated[
        Literal["sha256", "sha1"], Meta(description="Hash of OAEP when it wraps; `sha1` for tokens that have no other.")
    ] = "sha256"


class KmipServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[kmip]]`: a KMIP server that keeps keys, over mutual TLS."""

    name: Annotated[str, Meta(description="What keys that are kept there call it.")]
    host: Annotated[str, Meta(description="Its name or address, as in its certificate.")]
    port: Annotated[int, Meta(ge=1, le=0xFFFF, description="Its port.")] = 5696
    certificate: Annotated[str, Meta(description="File of the broker's own certificate, PEM.")]
    key: Annotated[str, Meta(description="File of that certificate's key, PEM, without a password.")]
    cacerts: Annotated[str | None, Meta(description="File of PEM roots; the system's when not given.")] = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=MAX_TIMEOUT, description="For each operation.")] = 10.0


class Vault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[vault]]`: an engine of HashiCorp Vault or OpenBao that keeps keys."""

    name: Annotated[str, Meta(description="What keys that are kept there call it.")]
    url: Annotated[str, Meta(description="`https://host[:port]`.")]
    engine: Annotated[Literal["kv", "transit"], Meta(description="KV version 2, or transit.")] = "kv"
    mount: Annotated[str, Meta(description="Where the engine is mounted, as `secret` or `transit`.")]
    prefix: Annotated[str, Meta(description="What the names of the broker's keys there begin with.")] = "ambergate"
    token_file: Annotated[str, Meta(description="File of the token, read for every request.")]
    namespace: Annotated[str | None, Meta(description="Of Vault Enterprise.")] = None
    cacerts: Annotated[str | None, Meta(description="File of PEM roots; the system's when not given.")] = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=MAX_TIMEOUT, description="For each request.")] = 10.0


class Users(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[users]`: who manages the broker over HTTP."""

    token_minutes: Annotated[
        int,
        Meta(
            ge=1,
            le=int(MAX_LIFETIME.total_seconds()) // 60,
            description="How long a user's bearer token is good, 1 to 30 minutes.",
        ),
    ] = int(LIFETIME.total_seconds()) // 60
    dangerously_allow_unattested_transfer: Annotated[
        bool,
        Meta(
            description="Let users with `keys:transfer` have any key wrapped for a public key of theirs, as Intel's "
            "service does: no enclave, no policy."
        ),
    ] = False


class Transfer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[transfer]`: how often keys are asked for, which anybody may."""

    per_second: Annotated[
        float, Meta(gt=0, le=MAX_RATE, description="Requests of one address and process per second, in the long run.")
    ] = 200.0
    burst: Annotated[int, Meta(ge=1, le=MAX_BURST, description="Requests of one address and process at once.")] = 400


class Admin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[admin]`: where users, policies and keys are managed, if not where enclaves ask. TLS, as there."""

    socket: Annotated[
        str | None, Meta(description="A UNIX socket, which the broker makes, for its own user alone.")
    ] = None
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        Annotated[int, Meta(ge=0, le=0xFFFF)] | None,
        Meta(description="TCP port, not `listen.port`; 0 takes a free one. Neither this nor `socket`: as enclaves."),
    ] = None


class Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of the key broker."""

    listen: Listen
    store: BrokerStore
    issuers: list[Issuer]
    audit: Audit = Audit()
    log: Log = Log()
    limits: LimitsTable = LimitsTable()
    metrics: Metrics = Metrics()
    traces: Traces = Traces()
    verifier: Verifier | None = None
    users: Users = Users()
    transfer: Transfer = Transfer()
    pkcs11: list[Token] = []
    kmip: list[KmipServer] = []
    vault: list[Vault] = []
    admin: Admin = Admin()
