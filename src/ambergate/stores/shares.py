"""A key-encryption key in shares: any K of N of them give it, and fewer tell nothing of it (Shamir, 1979).

The library shares secrets of 16 bytes, so the 32 of the key are shared as two halves under the same indices, each by a
polynomial of its own. Sharing a seed of 16 bytes instead would halve the key's strength.

A file beside the configuration says how many shares there are and how many it takes, and has the id by which the right
key is known and a salted digest of each share. It is no secret. A share is text:

    amber-share-SET-INDEX-VALUE-SUM

with the set's id (8 hex digits), the index, 64 hex digits, and 8 that catch a slip of the pen.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed, SettingsError
from ambergate.stores.sealing import KEY_SIZE, key_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from Crypto.Protocol.SecretSharing import Shamir

MAX_SHARES: Final = 16  # our limit: more people than meet
MAX_THRESHOLD: Final = 8  # our limit
MIN_THRESHOLD: Final = 2  # of one share whoever holds it has the key: that is a key file
MAX_FILE: Final = 4096  # bytes; sixteen fingerprints take 1200
MAX_TEXT: Final = 120  # characters of a share
_HALF: Final = 16  # bytes; the library's only size
_SHARE: Final = re.compile(r"amber-share-([0-9a-f]{8})-([1-9][0-9]?)-([0-9a-f]{64})-([0-9a-f]{8})")
_SET: Final = re.compile(r"[0-9a-f]{8}")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_SALT: Final = re.compile(r"[0-9a-f]{32}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_SALT_SIZE: Final = 16  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSet:
    """What anybody may know of a key in shares.

    Attributes:
        id: names the set, so that a share of another is told at once.
        count: how many shares there are.
        threshold: how many it takes.
        key: id of the key, by `sealing.key_id`; tells nothing of it.
        salt: of the fingerprints.
        fingerprints: of each share, in their order: a wrong one is known when it comes.
    """

    id: str
    count: int
    threshold: int
    key: str
    salt: str
    fingerprints: tuple[str, ...]

    @classmethod
    def load(cls, file: Path) -> ShareSet:
        """The set that this file describes.

        Raises:
            SettingsError: it cannot be read, or describes none.
        """
        try:
            with file.open("rb") as stream:
                members = json.loads(stream.read(MAX_FILE))
            found = cls(**{**members, "fingerprints": tuple(members["fingerprints"])})
        except OSError as exc:
            hint = "amber keybroker seal-init makes it"
            raise SettingsError("the file of shares cannot be read", seen=f"{file}: {exc.strerror}", hint=hint) from exc
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise SettingsError("the file describes no shares", seen=file) from exc
        if not found.usable:
            raise SettingsError("the file describes no shares", seen=file)
        return found

    @property
    def usable(self) -> bool:
        """Whether its members are what they should be."""
        return (
            _matches(_SET, self.id)
            and _matches(_ID, self.key)
            and type(self.count) is int
            and type(self.threshold) is int
            and MIN_THRESHOLD <= self.threshold <= min(self.count, MAX_THRESHOLD)
            and self.count <= MAX_SHARES
            and _matches(_SALT, self.salt)
            and len(self.fingerprints) == self.count
            and all(_matches(_FINGERPRINT, each) for each in self.fingerprints)
        )

    def to_json(self) -> str:
        """As `load` reads it."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Share:
    """One share. Redacted."""

    set_id: str
    index: int
    value: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Share:
        """A share from its text, spaces around it aside.

        Raises:
            Malformed: (`malformed-share`) it is none, or one with a slip in it. What was given is not repeated.
        """
        found = _SHARE.fullmatch(text.strip()) if len(text) <= MAX_TEXT + 2 else None
        if found is None or _sum(found[1], int(found[2]), bytes.fromhex(found[3])) != found[4]:
            hint = "look for a slip: it has to be typed as it was shown"
            raise Malformed("this is no share", code="malformed-share", wanted="amber-share-...", hint=hint)
        return cls(found[1], int(found[2]), bytes.fromhex(found[3]))

    @property
    def text(self) -> str:
        """The share, secret."""
        return f"amber-share-{self.set_id}-{self.index}-{self.value.hex()}-{_sum(self.set_id, self.index, self.value)}"


def split(
    key: bytes, *, threshold: int, count: int, token_bytes: Callable[[int], bytes]
) -> tuple[ShareSet, tuple[Share, ...]]:
    """A key in shares. The library draws the polynomials itself, from the system.

    Args:
        key: 32 bytes.
        threshold: how many shares give it.
        count: how many there are.
        token_bytes: randomness for the set's id, and for the salt.

    Raises:
        SettingsError: numbers that make no sense; the library is not installed.
    """
    if not MIN_THRESHOLD <= threshold <= min(count, MAX_THRESHOLD) or count > MAX_SHARES or len(key) != KEY_SIZE:
        wanted = f"a threshold of {MIN_THRESHOLD} to {MAX_THRESHOLD}, of at most {MAX_SHARES} shares"
        raise SettingsError("the key cannot be shared so", seen=f"{threshold} of {count}", wanted=wanted)
    shamir = _shamir()
    set_id = token_bytes(4).hex()
    halves = [dict(shamir.split(threshold, count, half)) for half in (key[:_HALF], key[_HALF:])]
    shares = tuple(
        Share(set_id, index, bytes(halves[0][index]) + bytes(halves[1][index])) for index in sorted(halves[0])
    )
    salt = token_bytes(_SALT_SIZE).hex()
    described = ShareSet(
        id=set_id,
        count=count,
        threshold=threshold,
        key=key_id(key).hex(),
        salt=salt,
        fingerprints=tuple(_fingerprint(salt, share) for share in shares),
    )
    return described, shares


class Gathering:
    """Shares that come in until as many are there as it takes. Redacted; for one thread at a time.

    Each is known by its fingerprint when it comes: one that is none of the set's is refused, and takes no room.
    """

    def __init__(self, shares: ShareSet) -> None:
        self.shares = shares
        self.failures = 0
        self._held: dict[int, Share] = {}

    @property
    def progress(self) -> int:
        """How many are there."""
        return len(self._held)

    def take(self, share: Share) -> bytes | None:
        """One more share; the key, if that makes it.

        Raises:
            Malformed: (`another-share-set`) it is of another set; (`wrong-share`) it is none of this set's.
            SettingsError: the shares are those that the file describes, and do not give its key.
        """
        if share.set_id != self.shares.id or share.index > self.shares.count:
            wanted = f"one of set {self.shares.id}"
            raise Malformed(
                "this is a share of another key", code="another-share-set", seen=share.set_id, wanted=wanted
            )
        if _fingerprint(self.shares.salt, share) != self.shares.fingerprints[share.index - 1]:
            self.failures += 1
            hint = "somebody changed it, or made it up: no share that was handed out is this"
            raise Malformed("this is not the share of its number", code="wrong-share", seen=share.index, hint=hint)
        self._held[share.index] = share
        if len(self._held) < self.shares.threshold:
            return None
        key = _combined(tuple(self._held.values()))
        self._held.clear()
        if key_id(key).hex() != self.shares.key:
            hint = "the file of shares was changed: restore it"
            raise SettingsError("the shares do not give the key that their file names", hint=hint)
        return key

    def __repr__(self) -> str:
        return f"Gathering({self.progress} of {self.shares.threshold})"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _combined(chosen: tuple[Share, ...]) -> bytes:
    shamir = _shamir()
    halves = ([(each.index, each.value[at : at + _HALF]) for each in chosen] for at in (0, _HALF))
    return b"".join(bytes(shamir.combine(half)) for half in halves)


def _shamir() -> type[Shamir]:
    try:
        from Crypto.Protocol.SecretSharing import Shamir  # noqa: PLC0415  an extra, for who uses it
    except ImportError as exc:
        hint = "pip install 'ambergate[shares]'"
        raise SettingsError("shares need a library that is not installed", seen=str(exc), hint=hint) from exc
    return Shamir


def _sum(set_id: str, index: int, value: bytes) -> str:
    """Against slips, not against forgery; of a share that is secret it tells 32 bits of a digest, to who has it."""
    return hashlib.sha256(b"ambergate share\x00" + f"{set_id}-{index}-".encode() + value).hexdigest()[:8]


def _fingerprint(salt: str, share: Share) -> str:
    """What a share is known by. It tells nobody the share, which has 256 bits that nobody can guess."""
    said = f"{salt}-{share.set_id}-{share.index}-".encode()
    return hashlib.sha256(b"ambergate share fingerprint\x00" + said + share.value).hexdigest()
