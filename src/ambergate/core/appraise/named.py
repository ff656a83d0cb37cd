"""Named policies: what an owner of keys writes, what judges it, and what comes of that.

A named policy is judged beside the service's own `AppraisalPolicy`, over the claims about the evidence
(`evidence_claims`). Whatever judges it is a `PolicyEngine`. Nothing that goes wrong in an engine is ever a match: too
slow, too large, killed, or an answer that makes no sense all are an outcome that says so.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from ambergate.core.errors import MalformedPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ambergate.core.appraise.rules import Mismatch

MAX_TEXT: Final = 20_480  # bytes of UTF-8; the limit of Intel's command line (wire protocol, 5.2)
# Wire protocol, 5.2: 3 to 64 characters.
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{1,62}[a-zA-Z0-9]", re.ASCII)


class PolicyKind(enum.Enum):
    """What a policy is for; the values are those of the wire (`policy_type`)."""

    APPRAISAL = "Appraisal policy"
    TOKEN_CUSTOMIZATION = "Token customization policy"  # noqa: S105  a kind of policy, no password


class PolicyLanguage(enum.Enum):
    """What a policy is written in."""

    REGO = "rego"
    TYPED = "typed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of one named policy.

    Raises:
        MalformedPolicy: the text is above 20,480 bytes of UTF-8 or cannot be UTF-8, the name is none, or the version is
            below 1. Whether the text says anything is `PolicyEngine.check`'s to find out.
    """

    id: UUID
    version: int
    name: str
    kind: PolicyKind
    language: PolicyLanguage
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        """Bound what is kept."""
        text_bytes(self.text)
        if _NAME.fullmatch(self.name) is None:
            wanted = "3 to 64 letters, digits, - and _, the first and last a letter or digit"
            raise MalformedPolicy("that is no name of a policy", seen=repr(self.name)[:80], wanted=wanted)
        if self.version < 1:
            raise MalformedPolicy("versions of policies count from 1", seen=self.version)

    @property
    def hash(self) -> bytes:
        """SHA-384 of the text in UTF-8, 48 bytes: which words were judged by."""
        return _hash_of(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """What an engine made of one policy and the claims of one piece of evidence.

    `mismatches` names every rule that refused, with what it saw and wanted; there is one at least where nothing
    matched. `exports` is what the policy adds to the token: empty where it did not match, unless the policy itself says
    that it exports without a match.
    """

    policy: Policy
    matched: bool
    mismatches: tuple[Mismatch, ...] = ()
    exports: Mapping[str, object] = field(default_factory=dict)


class PolicyEngine(Protocol):
    """Judges policies of one language."""

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        """What the policy says of these claims at the instant `at` (aware).

        Args:
            policy: of the engine's language.
            claims: as `evidence_claims` gives them.
            at: the only clock that a policy sees.

        Returns:
            Never a match when anything went wrong; then a mismatch names it.
        """
        ...

    def check(self, policy: Policy, /) -> None:
        """Returns if the policy can be judged by.

        Raises:
            MalformedPolicy: it cannot; says in which line, where that is known.
        """
        ...


@functools.lru_cache(1024)  # a policy counts for many requests, and each of them names it by its hash
def _hash_of(text: str) -> bytes:
    return hashlib.sha384(text.encode()).digest()


def text_bytes(text: str) -> bytes:
    """The text of a policy in UTF-8, of a bounded length.

    Raises:
        MalformedPolicy: above 20,480 bytes, or half of a surrogate pair.
    """
    if len(text) > MAX_TEXT:
        raise MalformedPolicy("the policy is too long", seen=f"{len(text)} characters", wanted=f"{MAX_TEXT} bytes")
    try:
        encoded = text.encode()
    except UnicodeEncodeError as exc:
        raise MalformedPolicy("the policy is no text", seen=exc.reason, wanted="UTF-8") from exc
    if len(encoded) > MAX_TEXT:
        raise MalformedPolicy("the policy is too long", seen=f"{len(encoded)} bytes", wanted=f"{MAX_TEXT} bytes")
    return encoded
