"""The tables of the attestation service's configuration: every setting, its type, its default, and what it means."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ambergate.core.token.names import Profile
from ambergate.services.web.settings.limiting import LimitsTable
from ambergate.services.web.settings.observing import Log, Metrics, Traces  # msgspec reads the annotations
from ambergate.services.web.settings.tables import Audit, Listen, Store  # msgspec reads the annotations

MAX_LIFETIME: Final = 24 * 3600  # seconds; a token is a statement about now
MAX_NONCE: Final = 3600  # seconds
MAX_ROTATE: Final = 4 * 365  # days; a certificate has five years


class Anchor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[anchors]]`: one root that is believed."""

    collateral: Annotated[
        str | list[str],
        Meta(description="Where its holder's statements are: directories and https:// addresses, in order."),
    ]
    intel: Annotated[bool, Meta(description="The root is Intel's.")] = False
    pem: Annotated[str | None, Meta(description="File of another root: a PEM certificate.")] = None
    simulated: Annotated[
        bool, Meta(description="It is a software platform's: tokens have another issuer, and say so.")
    ] = False
    collateral_cacerts: Annotated[
        str | None, Meta(description="File of PEM roots of the addresses; the system's when not given.")
    ] = None
    api: Annotated[str | None, Meta(description="Of the addresses: `v4`, the default, or `v3`, for SGX only.")] = None
    update: Annotated[
        str | None,
        Meta(description="`standard`, the default, or `early`, which takes new TCB info without the time of grace."),
    ] = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tokens]`: how long the service's word holds, and who may ask for it."""

    lifetime_seconds: Annotated[
        int, Meta(ge=1, le=MAX_LIFETIME, description="How long a token is good, 1 to 86400 seconds.")
    ] = 300
    nonce_seconds: Annotated[
        int, Meta(ge=1, le=MAX_NONCE, description="How long a nonce is good, 1 to 3600 seconds.")
    ] = 120
    profile: Annotated[
        str,
        Meta(description="Form of tokens where neither request nor API key says: `v1`, `v2`, `amber-2022`, `slim`."),
    ] = Profile.V1
    issuer: Annotated[
        str | None, Meta(description="Issuer of tokens about hardware, for clients that insist on a name; `base_url`.")
    ] = None
    insecure_simulated_issuer: Annotated[
        str | None, Meta(description="The same for software platforms: who does not look at `tee_simulated` is fooled.")
    ] = None
    rotate_days: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_ROTATE)] | None,
        Meta(description="How long a key signs before another does, 1 to 1460 days; until rotated by command."),
    ] = None
    insecure_allow_anonymous: Annotated[bool, Meta(description="Anybody may ask, without an API key.")] = False


class Policies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policies]`: who may write named policies, beside whoever holds a key that manages."""

    signers: Annotated[
        list[str] | None,
        Meta(description="Files of certificates; a policy that none of them signed is not taken. Not given: all are."),
    ] = None


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[policy]`: what genuine evidence is welcome. What is not given is as `AppraisalPolicy` has it."""

    tcb_statuses: Annotated[
        list[str] | None,
        Meta(description="TCB statuses; those that need no update (`UpToDate`, hardening, configuration)."),
    ] = None
    dangerously_allow_debug: Annotated[
        bool | None, Meta(description="Enclaves and TDs whose memory can be read by who runs them; false.")
    ] = None
    dangerously_allow_sept_ve: Annotated[
        bool | None, Meta(description="TDs without SEPT_VE_DISABLE: the host may unmap pages unseen; false.")
    ] = None
    dangerously_allow_service_td: Annotated[
        bool | None, Meta(description="TDs that a service TD is bound to, which may migrate them; false.")
    ] = None
    mr_enclave: Annotated[list[str] | None, Meta(description="MRENCLAVEs in hex; any when not given.")] = None
    mr_signer: Annotated[list[str] | None, Meta(description="MRSIGNERs in hex; any when not given.")] = None
    isv_prod_id: Annotated[list[int] | None, Meta(description="ISVPRODIDs, 0 to 65535; any when not given.")] = None
    minimum_isv_svn: Annotated[int | None, Meta(description="Least ISVSVN; any when not given.")] = None
    minimum_tcb_evaluation_data_number: Annotated[
        int | None, Meta(description="Least evaluation number of TCB info and QE identity; any when not given.")
    ] = None
    collateral_grace_hours: Annotated[
        int | None, Meta(description="Hours after their end for which Intel's statements still count, 0 to 720; 0.")
    ] = None

    def given(self) -> dict[str, object]:
        """The members that are given."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


class Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of the attestation service."""

    base_url: Annotated[
        str, Meta(description="`https://host[:port][/path]`: the issuer of its tokens, and where its keys are found.")
    ]
    listen: Listen
    store: Store
    anchors: list[Anchor] = []
    tokens: Tokens = Tokens()
    audit: Audit = Audit()
    log: Log = Log()
    limits: LimitsTable = LimitsTable()
    metrics: Metrics = Metrics()
    traces: Traces = Traces()
    policy: Policy = Policy()
    policies: Policies = Policies()
