"""API keys of the attestation service: shown once when made, kept as a hash, with the terms on which they hold.

A key is 33 random bytes, so its SHA-256 cannot be guessed back; a slow password hash would add nothing but load to
every request. Rows are never deleted, and changes are numbered: who asks `since` a number reads what has changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import insert, select, update

from ambergate.core.errors import SettingsError
from ambergate.stores.changes import latest, next_number
from ambergate.stores.key_terms import Terms
from ambergate.stores.policies import live_policies
from ambergate.stores.tables import api_keys as _keys
from ambergate.stores.transactions import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection, Engine

CHANGES: Final = "api keys"
KEY_BYTES: Final = 33  # a multiple of three: base64 without padding
MAX_LABEL: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; not the key.

    Attributes:
        id: its name.
        label: whose it is, in words.
        created_at: when it was made.
        revoked_at: when it was ended by hand; None: it was not.
        terms: what it may do, until when, and what it sets.
        replaces: the key that it was made in place of.
    """

    id: UUID
    label: str
    created_at: datetime
    revoked_at: datetime | None
    terms: Terms
    replaces: UUID | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it opens anything at this instant."""
        expires = self.terms.expires_at
        return self.revoked_at is None and (expires is None or at < expires)


class ApiKeyStore:
    """API keys in a database. Safe to use from several threads and processes.

    Args:
        engine: the database.
        token_bytes: randomness for new keys.
    """

    def __init__(self, engine: Engine, *, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._engine = engine
        self._token_bytes = token_bytes

    def create(self, label: str, *, at: datetime, terms: Terms | None = None) -> tuple[ApiKey, str]:
        """A new key, and its text: the only time that it is seen.

        Args:
            label: whose it is, in words.
            at: now, aware.
            terms: what it may do; when not given, attest, without an end.

        Raises:
            SettingsError: the label is empty, too long or not printable; the key would end before it begins; a policy
                is not there.
            Unavailable: the database does not answer.
        """
        if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
            raise SettingsError("the label is unusable", seen=f"{len(label)} characters", wanted="1 to 200 printable")
        key = ApiKey(id=uuid4(), label=label, created_at=at, revoked_at=None, terms=terms or Terms())
        if not key.holds(at):
            raise SettingsError("the key would have expired", seen=key.terms.expires_at, wanted=f"after {at}")
        drawn = self._draw()
        with writing(self._engine) as connection:
            _check_policies(connection, key.terms.policy_ids)
            _insert(connection, key, drawn)
        return key, drawn

    def rotate(self, key_id: UUID, *, at: datetime, overlap: timedelta) -> tuple[ApiKey, str]:
        """A key in place of another, on the same terms, and its text; the old one still opens for `overlap`.

        A key that has an end gets as long a life again as it was given at first.

        Raises:
            SettingsError: there is no such key, or it has ended already.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            old = _one(connection, key_id)
            if not old.holds(at):
                raise SettingsError("the key has ended", seen=key_id, hint="make one with `amber apikey create`")
            ends = old.terms.expires_at
            terms = old.terms if ends is None else replace(old.terms, expires_at=at + (ends - old.created_at))
            new = ApiKey(id=uuid4(), label=old.label, created_at=at, revoked_at=None, terms=terms, replaces=old.id)
            drawn = self._draw()
            _insert(connection, new, drawn)
            last = at + overlap if ends is None else min(ends, at + overlap)
            _change(connection, old.id, expires_at=_written(last))
        return new, drawn

    def revoke(self, key_id: UUID, *, at: datetime) -> None:
        """End a key for good: at once in the database, within seconds wherever it is known.

        Raises:
            SettingsError: there is no such key.
            Unavailable: the database does not answer.
        """
        with writing(self._engine) as connection:
            if _one(connection, key_id).revoked_at is None:
                _change(connection, key_id, revoked_at=at.isoformat())

    def set_policies(self, key_id: UUID, policy_ids: Sequence[UUID], *, must_match: bool | None = None) -> ApiKey:
        """Which policies count for this key's requests, and whether all must match; None: as before.

        Raises:
            SettingsError: there is no such key, there are no such policies, or too many.
            Unavailable: the database does not answer.
        """
        return self._change_policies(key_id, lambda _: policy_ids, must_match=must_match)

    def attach(self, key_id: UUID, policy_id: UUID, *, must_match: bool | None = None) -> ApiKey:
        """Let one more policy count for this key's requests. Raises as `set_policies`."""
        return self._change_policies(key_id, lambda ids: dict.fromkeys((*ids, policy_id)), must_match=must_match)

    def detach(self, key_id: UUID, policy_id: UUID) -> ApiKey:
        """Let a policy count no longer for this key's requests. Raises as `set_policies`."""
        return self._change_policies(key_id, lambda ids: [each for each in ids if each != policy_id], must_match=None)

    def _change_policies(
        self, key_id: UUID, change: Callable[[tuple[UUID, ...]], Iterable[UUID]], *, must_match: bool | None
    ) -> ApiKey:
        with writing(self._engine) as connection:
            key = _one(connection, key_id)
            policy_ids = tuple(change(key.terms.policy_ids))
            _check_policies(connection, policy_ids)
            must = key.terms.policy_must_match if must_match is None else must_match
            changed = replace(key, terms=replace(key.terms, policy_ids=policy_ids, policy_must_match=must))
            _change(connection, key_id, **_values_of(changed.terms))
        return changed

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, oldest first.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_KNOWN).order_by(_keys.c.created_at, _keys.c.id)).all()
        return tuple(_known(*row) for row in rows)

    def since(self, number: int) -> tuple[int, dict[bytes, ApiKey]]:
        """The number of the latest change, and each key that has changed after `number`, by the digest of its text.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading(self._engine) as connection:
            last = latest(connection, CHANGES)
            if last == number:
                return last, {}
            rows = connection.execute(select(_keys.c.digest, *_KNOWN).where(_keys.c.changed > number))
            return last, {digest: _known(*known) for digest, *known in rows}

    def check(self) -> None:
        """Ask the database something, for health checks.

        Raises:
            Unavailable: it does not answer.
        """
        with reading(self._engine) as connection:
            connection.execute(select(_keys.c.id).limit(1)).first()

    def _draw(self) -> str:
        """Letters and digits only: standard and URL-safe base64 agree on them, as deployed clients need."""
        while True:
            drawn = base64.b64encode(self._token_bytes(KEY_BYTES)).decode()
            if drawn.isalnum():
                return drawn


def digest_of(key: str) -> bytes:
    """What is kept of a key's text."""
    return hashlib.sha256(b"ambergate api key\x00" + key.encode("utf-8", "surrogateescape")).digest()


def _insert(connection: Connection, key: ApiKey, drawn: str) -> None:
    values = {
        "id": str(key.id),
        "label": key.label,
        "digest": digest_of(drawn),
        "created_at": key.created_at.isoformat(),
        "replaces": None if key.replaces is None else str(key.replaces),
        "changed": next_number(connection, CHANGES),
        **_values_of(key.terms),
    }
    connection.execute(insert(_keys).values(values))


def _check_policies(connection: Connection, policy_ids: Sequence[UUID]) -> None:
    missing = set(policy_ids) - live_policies(connection, set(policy_ids))
    if missing:
        hint = "amber policy list shows them"
        raise SettingsError("there are no such policies", seen=sorted(map(str, missing)), hint=hint)


def _change(connection: Connection, key_id: UUID, **values: object) -> None:
    values["changed"] = next_number(connection, CHANGES)
    connection.execute(update(_keys).where(_keys.c.id == str(key_id)).values(values))


def _one(connection: Connection, key_id: UUID) -> ApiKey:
    row = connection.execute(select(*_KNOWN).where(_keys.c.id == str(key_id))).first()
    if row is None:
        raise SettingsError("there is no API key of this id", seen=key_id, hint="amber apikey list shows them")
    return _known(*row)


def _values_of(terms: Terms) -> dict[str, object]:
    return {
        "expires_at": None if terms.expires_at is None else _written(terms.expires_at),
        "scopes": " ".join(sorted(terms.scopes)),
        "policy_ids": json.dumps([str(each) for each in terms.policy_ids]),
        "policy_must_match": terms.policy_must_match,
        "default_algorithm": terms.default_algorithm,
        "profile": terms.profile,
        "rate": terms.rate,
        "burst": terms.burst,
    }


def _written(at: datetime) -> str:
    """In UTC: texts of instants are then in the order of these."""
    return at.astimezone(UTC).isoformat()


def _known(id_: str, label: str, created_at: str, revoked_at: str | None, replaces: str | None, *terms: Any) -> ApiKey:  # noqa: ANN401  # of several types
    """A key from its columns `_KNOWN`. There may be a hundred thousand of them at a start: what is costly waits."""
    return ApiKey(
        id=UUID(id_),
        label=label,
        created_at=datetime.fromisoformat(created_at),
        revoked_at=_instant(revoked_at),
        terms=_terms_of(*terms),
        replaces=None if replaces is None else UUID(replaces),
    )


_KNOWN: Final = (
    *(_keys.c.id, _keys.c.label, _keys.c.created_at, _keys.c.revoked_at, _keys.c.replaces),
    *(_keys.c.scopes, _keys.c.expires_at, _keys.c.policy_ids, _keys.c.policy_must_match, _keys.c.default_algorithm),
    *(_keys.c.profile, _keys.c.rate, _keys.c.burst),
)


@lru_cache(maxsize=1024)  # most keys have the terms of many others
def _terms_of(  # noqa: PLR0913, PLR0917  one for each column
    scopes: str,
    expires_at: str | None,
    policy_ids: str,
    policy_must_match: bool,  # noqa: FBT001
    default_algorithm: str | None,
    profile: str | None,
    rate: float | None,
    burst: int | None,
) -> Terms:
    return Terms(
        scopes=frozenset(scopes.split()),
        expires_at=_instant(expires_at),
        policy_ids=tuple(UUID(each) for each in json.loads(policy_ids)),
        policy_must_match=policy_must_match,
        default_algorithm=default_algorithm,
        profile=profile,
        rate=rate,
        burst=burst,
    )


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
