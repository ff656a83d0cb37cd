"""Every table of both services: the one schema, on SQLite and on PostgreSQL.

A change here needs a migration (CONTRIBUTING.md, "Changing the schema"); tests hold the two to be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

# The documents of a bundle, and the digits of a number that is kept as text: of one width, so that every engine
# compares them as numbers. A CRL number has at most 20 octets (RFC 5280, 5.2.3).
DOCUMENTS: Final = ("tcb_info", "qe_identity", "pck_crl", "root_ca_crl")
DIGITS: Final = 40


def ascii_text(length: int | None = None) -> TypeEngine[str]:
    """Text that compares by its octets on every engine, whatever the database's locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def counter() -> TypeEngine[int]:
    """A number of 63 bits; on SQLite the row's own, which costs no index."""
    return BigInteger().with_variant(Integer(), "sqlite")


METADATA: Final = MetaData()

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", ascii_text(), nullable=False),
    Column("revoked_at", ascii_text(), nullable=True),
    Column("expires_at", ascii_text(), nullable=True),
    Column("scopes", String(64), nullable=False, server_default="attest"),
    Column("policy_ids", Text, nullable=False, server_default="[]"),
    Column("policy_must_match", Boolean, nullable=False, server_default=false()),
    Column("default_algorithm", String(16), nullable=True),
    Column("profile", String(32), nullable=True),
    Column("rate", Float, nullable=True),
    Column("burst", Integer, nullable=True),
    Column("replaces", String(36), nullable=True),
    Column("changed", Integer, nullable=False, server_default="1", index=True),
)

# One row for each kind of thing that processes keep in memory: the number of the latest change of any of them.
changes: Final = Table(
    "changes",
    METADATA,
    Column("kind", String(32), primary_key=True),
    Column("number", Integer, nullable=False),
)

policies: Final = Table(
    "policies",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("name", String(64), nullable=False),  # of the latest version
    Column("version", Integer, nullable=False),  # the latest
    Column("attestation_type", String(64), nullable=False),
    Column("service_offer_id", String(36), nullable=True),
    Column("created_at", ascii_text(), nullable=False),
    Column("created_by", String(36), nullable=True),
    Column("deleted_at", ascii_text(), nullable=True),
    Column("deleted_by", String(36), nullable=True),
    Column("changed", Integer, nullable=False, index=True),
)

policy_versions: Final = Table(
    "policy_versions",
    METADATA,
    Column("policy_id", String(36), ForeignKey("policies.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("hash", LargeBinary(48), nullable=False),
    Column("jwt", Text, nullable=True),
    Column("signer", LargeBinary(32), nullable=True),
    Column("made_at", ascii_text(), nullable=False),
    Column("made_by", String(36), nullable=True),
)

# What values are sealed under, itself wrapped by the key-encryption key of this id; one is active.
data_keys: Final = Table(
    "data_keys",
    METADATA,
    Column("id", ascii_text(16), primary_key=True),
    Column("kek", ascii_text(16), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
)

signing_material: Final = Table(
    "signing_material",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# Keys and certificates behind tokens (`stores/token_keys.py`). Rows without `sealed` sign nothing any more.
signing_keys: Final = Table(
    "signing_keys",
    METADATA,
    Column("id", ascii_text(96), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=True),
    Column("published_at", ascii_text(32), nullable=False),
    Column("active_from", ascii_text(32), nullable=True),
    Column("lifetime", Integer, nullable=False),
    Column("revoked_at", ascii_text(32), nullable=True),
    Column("reason", String(32), nullable=True),
)

collateral: Final = Table(
    "collateral",
    METADATA,
    Column("key", String(200), primary_key=True),
    Column("bundle", Text, nullable=False),
    Column("accepted_at", String(32), nullable=False),
    *(Column(f"{name}_number", ascii_text(DIGITS), nullable=False) for name in DOCUMENTS),
    *(Column(f"{name}_issued", ascii_text(20), nullable=False) for name in DOCUMENTS),
)

platforms_seen: Final = Table(
    "platforms_seen",
    METADATA,
    Column("id", LargeBinary(32), primary_key=True),
    Column("anchor", LargeBinary(32), nullable=False),
    Column("tee", String(3), nullable=False),
    Column("fmspc", LargeBinary(6), nullable=False),
    Column("ca", String(9), nullable=False),
    Column("pce_id", LargeBinary(2), nullable=False),
    Column("components", LargeBinary(16), nullable=False),
    Column("pce_svn", Integer, nullable=False),
    Column("qe_isv_svn", Integer, nullable=False),
    Column("tee_tcb_svn", LargeBinary(16), nullable=True),
    Column("tee_tcb_svn2", LargeBinary(16), nullable=True),
    Column("first_seen", ascii_text(27), nullable=False),
    Column("last_seen", ascii_text(27), nullable=False, index=True),
)

# `sealed` and `size` are those of a key without versions, as the releases before 0.2 wrote them; empty otherwise.
broker_secrets: Final = Table(
    "broker_secrets",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("policy", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", ascii_text(), nullable=False),
    Column("algorithm", String(8), nullable=False, server_default="OPAQUE"),
    Column("bits", Integer, nullable=True),
    Column("curve", String(16), nullable=True),
    Column("manager", String(64), nullable=False, server_default="built-in"),
    Column("version", Integer, nullable=False, server_default="1"),  # the latest
    Index("ix_broker_secrets_algorithm", "algorithm", "id"),
    Index("ix_broker_secrets_kind", "algorithm", "bits", "id"),
)

broker_secret_versions: Final = Table(
    "broker_secret_versions",
    METADATA,
    Column("secret_id", String(36), ForeignKey("broker_secrets.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("version_key", String(36), nullable=False),
    Column("ciphertext", LargeBinary, nullable=True),  # None: destroyed
    Column("size", Integer, nullable=False),
    Column("created_at", ascii_text(), nullable=False),
    Column("changed_at", ascii_text(), nullable=True),  # its state
)

# In the same database, or in one of its own: stores/version_keys.py.
broker_version_keys: Final = Table(
    "broker_version_keys",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("sealed", LargeBinary, nullable=True),  # None: destroyed
    Column("created_at", ascii_text(), nullable=False),
    Column("destroyed_at", ascii_text(), nullable=True),
)

# Release policies by id, as people manage them. A key holds its policy's text itself, and that decides.
broker_policies: Final = Table(
    "broker_policies",
    METADATA,
    Column("id", ascii_text(36), primary_key=True),
    Column("document", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("created_at", ascii_text(), nullable=False),
    Column("created_by", String(255), nullable=False),
)

broker_policy_uses: Final = Table(
    "broker_policy_uses",
    METADATA,
    Column("key_id", String(36), primary_key=True),
    Column("policy_id", ascii_text(36), ForeignKey("broker_policies.id"), nullable=False, index=True),
    Column("since", ascii_text(), nullable=False),
)

# Changes of release policies that wait for owners' approval. What owners signed says all that is trusted of them.
broker_policy_changes: Final = Table(
    "broker_policy_changes",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("key_id", String(36), nullable=False),
    Column("before", String(64), nullable=False),
    Column("after", Text, nullable=False),
    Column("approvals", Text, nullable=False),
    Column("expires_at", ascii_text(), nullable=False, index=True),
    Column("proposed_by", String(255), nullable=False),
    Column("proposed_at", ascii_text(), nullable=False),
)

# How often each secret was released, where a policy bounds that. It outlives its secret: no id starts anew.
broker_releases: Final = Table(
    "broker_releases",
    METADATA,
    Column("secret_id", String(36), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# The key broker's users. A token names the generation that it was made in: what ends tokens makes the next one.
broker_users: Final = Table(
    "broker_users",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("username", ascii_text(255), nullable=False, unique=True),
    Column("password", String(512), nullable=False),
    Column("permissions", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at", ascii_text(), nullable=False),
    Column("updated_at", ascii_text(), nullable=False),
)

# Who failed to log in lately: a user's name or an address, as a digest; strangers choose names.
broker_login_failures: Final = Table(
    "broker_login_failures",
    METADATA,
    Column("who", LargeBinary(32), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", ascii_text(), nullable=False, index=True),
)

# The audit log: one row says where it stands, and each entry is a row. `nodes` is the leaf hash, then the hash of
# every other complete subtree that ends with it: all that proofs are made of.
audit_head: Final = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", counter(), nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
)

audit_entries: Final = Table(
    "audit_entries",
    METADATA,
    Column("seq", counter(), primary_key=True, autoincrement=False),
    Column("jti", ascii_text(36), nullable=True, index=True),
    Column("record", Text, nullable=False),
    Column("nodes", LargeBinary, nullable=False),
)
