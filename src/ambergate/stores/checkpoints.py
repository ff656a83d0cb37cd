"""Signed checkpoints of an append-only log: so many entries, this root, this time, and who says so.

The text is a signed note in the form of C2SP's tlog-checkpoint and signed-note (Ed25519), so that other tools can read
it: origin, size, root in base64, one extension line with the time, an empty line, the signature.

    attest.example:8443/audit/v1
    20852
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
    time 2026-11-27T14:00:00Z

    — attest.example:8443/audit/v1 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+...

A checkpoint proves that the holder of the key stated this root. That two of them speak of one list takes a consistency
proof; that the entries are true, nothing here can prove.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ambergate.core.errors import Malformed, NotIntact
from ambergate.stores.merkle import HASH_SIZE, MAX_SIZE

KEY_SIZE: Final = 32  # bytes: an Ed25519 key, private or public (RFC 8032)
MAX_NOTE: Final = 4096  # characters
MAX_ORIGIN: Final = 256  # characters
_ED25519: Final = b"\x01"  # signature type of signed notes
_ID_SIZE: Final = 4
_DASH: Final = "\N{EM DASH} "
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_ORIGIN: Final = re.compile(r"[!-*,-~]{1,256}")  # printable ASCII without space and plus: it is a key's name too
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log's holder states: so many entries have this root, at this time (whole seconds)."""

    origin: str
    size: int
    root: bytes
    at: datetime

    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\ntime {self.at.astimezone(UTC).strftime(_TIME)}\n"


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """Who checkpoints are believed from: a name, which is the log's origin, and a public key."""

    origin: str
    public: bytes

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A key as `text` writes it: `origin+id+base64`, the form of signed notes.

        Raises:
            Malformed: anything else.
        """
        origin, _, rest = text.strip().partition("+")
        named, _, encoded = rest.partition("+")
        raw = _decoded(encoded, "a log's key")
        key = cls(origin, raw[1:])
        if len(raw) != 1 + KEY_SIZE or raw[:1] != _ED25519 or not _ORIGIN.fullmatch(origin):
            raise _malformed("a log's key is of another kind", wanted="origin+id+key, Ed25519")
        if named != key.id.hex():
            raise _malformed("a log's key does not have the id that it says", seen=named[:16], wanted=key.id.hex())
        return key

    @property
    def id(self) -> bytes:
        """The first four octets of the hash of name and key."""
        return hashlib.sha256(self.origin.encode() + b"\n" + _ED25519 + self.public).digest()[:_ID_SIZE]

    def text(self) -> str:
        """The key in the form of signed notes."""
        return f"{self.origin}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def opened(self, note: str) -> Checkpoint:
        """The checkpoint in this note.

        Raises:
            Malformed: not a checkpoint.
            NotIntact: of another log, or not signed by this key.
        """
        body, signatures = _split(note)
        checkpoint = _parsed(body)
        if checkpoint.origin != self.origin:
            raise NotIntact(
                "the checkpoint is of another log", code="other-log", seen=checkpoint.origin, wanted=self.origin
            )
        for name, raw in signatures:
            if name == self.origin and raw[:_ID_SIZE] == self.id:
                try:
                    Ed25519PublicKey.from_public_bytes(self.public).verify(raw[_ID_SIZE:], body.encode())
                except (InvalidSignature, ValueError) as exc:
                    raise NotIntact("the checkpoint's signature does not hold", code="bad-checkpoint") from exc
                return checkpoint
        raise NotIntact("the checkpoint is signed by another key", code="other-log", wanted=f"key {self.id.hex()}")


class CheckpointSigner:
    """Signs checkpoints of one log. Redacted.

    Args:
        origin: the log's name; printable ASCII without space and plus.
        private: 32 bytes.

    Raises:
        Malformed: the origin is unusable.
    """

    __slots__ = ("_private", "key")

    def __init__(self, origin: str, private: bytes) -> None:
        if not _ORIGIN.fullmatch(origin):
            raise _malformed("a log cannot have this origin", seen=origin[:64], wanted="1 to 256 printable octets")
        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self.key = CheckpointKey(origin, self._private.public_key().public_bytes_raw())

    def signed(self, size: int, root: bytes, *, at: datetime) -> str:
        """The note of a checkpoint."""
        text = Checkpoint(origin=self.key.origin, size=size, root=root, at=at).text()
        signature = base64.b64encode(self.key.id + self._private.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self.key.origin} {signature}\n"

    def __repr__(self) -> str:
        return f"CheckpointSigner({self.key.origin})"


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The signed text, and each signature with its name."""
    if len(note) > MAX_NOTE:
        raise _malformed("a checkpoint is too long", seen=f"{len(note)} characters", wanted=f"<= {MAX_NOTE}")
    body, gap, tail = note.partition("\n\n")
    lines = tail.removesuffix("\n").split("\n")
    if not gap or not all(line.startswith(_DASH) for line in lines):
        raise _malformed("a checkpoint is not a signed note", wanted="text, an empty line, signatures")
    found = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        found.append((name, _decoded(encoded, "a checkpoint's signature")))
    return body + "\n", found


def _parsed(body: str) -> Checkpoint:
    lines = body.removesuffix("\n").split("\n")
    if len(lines) != 4 or not _ORIGIN.fullmatch(lines[0]) or not _SIZE.fullmatch(lines[1]):
        raise _malformed("a checkpoint is not of the expected form", wanted="origin, size, root, time")
    size, root = int(lines[1]), _decoded(lines[2], "a checkpoint's root")
    try:
        at = datetime.strptime(lines[3], f"time {_TIME}").replace(tzinfo=UTC)
    except ValueError as exc:
        raise _malformed("a checkpoint's time is none", seen=ascii(lines[3][:40])) from exc
    checkpoint = Checkpoint(origin=lines[0], size=size, root=root, at=at)
    if len(root) != HASH_SIZE or size > MAX_SIZE or checkpoint.text() != body:
        raise _malformed("a checkpoint is not of the expected form", wanted="origin, size, root, time")
    return checkpoint


def _decoded(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise _malformed(f"{what} is not base64") from exc
    if base64.b64encode(raw).decode() != text:
        raise _malformed(f"{what} is not canonical base64")
    return raw


def _malformed(message: str, *, seen: object = None, wanted: object = None) -> Malformed:
    return Malformed(message, code="malformed-checkpoint", seen=seen, wanted=wanted)
