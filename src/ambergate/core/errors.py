"""Every error ambergate raises on purpose, split by whose fault it is.

    AmberError
    ├── Malformed               the bytes are not what they claim to be
    │   ├── MalformedEvidence       a quote
    │   ├── MalformedCollateral     a certificate, CRL, TCB info, QE identity or bundle
    │   ├── MalformedToken          an attestation token or key set
    │   └── MalformedPolicy         a policy, of appraisal or of release
    ├── NotGenuine              evidence that Intel's chain does not vouch for; names the failing step
    ├── NotWelcome              genuine, but a policy refuses it; names every mismatch
    ├── TokenRejected           a token that proves nothing to this relying party
    ├── ReleaseRefused          a valid token that the secret's owner did not approve
    ├── NotAuthorised           the caller is not who may ask
    │   └── NotPermitted            ... for this
    ├── NotFound                there is nothing of this name here
    ├── Conflict                what is asked for contradicts what there is
    ├── TooManyRequests         the caller asks more often than it may
    ├── NotIntact               a log that is not the one that was written
    ├── SettingsError           our user told us something unusable
    │   └── UnusableSettings        ... in several places; names all
    ├── Unavailable             something we need did not answer, or refused to
    │   └── TimedOut            ... within the deadline
    └── TooLarge                more bytes than the stated limit

`code` is stable and machine-readable; messages may improve. `seen` and `wanted` are what was compared; `hint` is
the next step for a person. Messages never hold a key, a token or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AmberError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: what failed, one sentence, no secret.
        code: stable identifier of this failure; the class's `CODE` when not given.
        seen: what was found.
        wanted: what would have been accepted.
        hint: what a person can do next.
    """

    CODE: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        seen: object = None,
        wanted: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.CODE
        self.seen = None if seen is None else str(seen)
        self.wanted = None if wanted is None else str(wanted)
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready members; absent parts are left out."""
        parts = {
            "code": self.code,
            "message": self.message,
            "seen": self.seen,
            "wanted": self.wanted,
            "hint": self.hint,
        }
        return {name: part for name, part in parts.items() if part is not None}


class Malformed(AmberError):
    """The bytes are not what they claim to be."""

    CODE = "malformed"


class MalformedEvidence(Malformed):
    """Bytes that are not a quote."""

    CODE = "malformed-evidence"


class MalformedCollateral(Malformed):
    """Bytes that are not the certificate, CRL, TCB info, QE identity or bundle they stand for."""

    CODE = "malformed-collateral"


class MalformedToken(Malformed):
    """Bytes that are not an attestation token, or not a key set."""

    CODE = "malformed-token"


class MalformedPolicy(Malformed):
    """A policy that cannot be loaded as written. Nothing is guessed: it does not load."""

    CODE = "malformed-policy"


class NotGenuine(AmberError):
    """Evidence that the chain up to the trust anchor does not vouch for at the stated instant.

    Args:
        message: what failed.
        step: id of the failing verification step (`ambergate.core.verify.steps`), e.g. `"2.9.pck_revoked"`.
        checks: the records of the steps up to and including the failing one.
        others: `code`, `seen`, `wanted`, `hint` as in `AmberError`.
    """

    CODE = "not-genuine"

    def __init__(  # noqa: PLR0913  each part of an error has its name
        self,
        message: str,
        *,
        step: str,
        checks: Sequence[object] = (),
        code: str | None = None,
        seen: object = None,
        wanted: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, seen=seen, wanted=wanted, hint=hint)
        self.step = step
        self.checks = tuple(checks)

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready members, with the failing step."""
        return {**super().as_dict(), "step": self.step}


class Refusal(AmberError):
    """Base of decisions against something well-formed: all reasons are collected, not only the first.

    Args:
        message: the decision in one sentence.
        mismatches: one mapping per rule that refused, with `rule`, `seen` and `wanted`.
        others: `code`, `hint` as in `AmberError`.
    """

    CODE = "refused"

    def __init__(
        self,
        message: str,
        *,
        mismatches: Sequence[Mapping[str, str]] = (),
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.mismatches = tuple(dict(m) for m in mismatches)

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready members, with every mismatch."""
        return {**super().as_dict(), "mismatches": list(self.mismatches)}


class NotWelcome(Refusal):
    """Genuine evidence that the appraisal policy refuses."""

    CODE = "not-welcome"


class ReleaseRefused(Refusal):
    """A valid token that the secret's release policy refuses."""

    CODE = "release-refused"


class TokenRejected(AmberError):
    """A token that proves nothing to this relying party: signature, issuer, time or a required claim."""

    CODE = "token-rejected"


class NotAuthorised(AmberError):
    """The caller did not show that it may ask."""

    CODE = "not-authorised"


class NotPermitted(NotAuthorised):
    """The caller is known, and this is none of the things that it may do."""

    CODE = "not-permitted"


class NotFound(AmberError):
    """There is nothing of this name here."""

    CODE = "not-found"


class Conflict(AmberError):
    """What is asked for is well-formed, and contradicts what there is."""

    CODE = "conflict"


class TooManyRequests(AmberError):
    """The caller asks more often than it may.

    Args:
        message: what is exceeded.
        retry_after: whole seconds until it may ask again.
        others: as in `AmberError`.
    """

    CODE = "too-many-requests"

    def __init__(
        self,
        message: str,
        *,
        retry_after: int,
        code: str | None = None,
        wanted: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, wanted=wanted, hint=hint)
        self.retry_after = retry_after


class NotIntact(AmberError):
    """A record that was changed, removed or moved after it was written, or a log that is not the one vouched for."""

    CODE = "not-intact"


class SettingsError(AmberError):
    """A setting is missing or unusable."""

    CODE = "settings"


class UnusableSettings(SettingsError):
    """Several settings are missing or unusable.

    Args:
        problems: each of them, two at least.
    """

    def __init__(self, problems: Sequence[SettingsError]) -> None:
        super().__init__("the configuration cannot be used", seen=f"{len(problems)} problems")
        self.problems = tuple(problems)

    def as_dict(self) -> dict[str, object]:
        """The error as JSON-ready members, with every problem."""
        return {**super().as_dict(), "problems": [problem.as_dict() for problem in self.problems]}


class Unavailable(AmberError):
    """Something needed did not answer, or refused to."""

    CODE = "unavailable"


class TimedOut(Unavailable):
    """No answer within the deadline."""

    CODE = "timed-out"


class TooLarge(AmberError):
    """More bytes than the stated limit."""

    CODE = "too-large"
