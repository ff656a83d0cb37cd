"""In which form a key leaves: Intel's envelope, a JWE, or as its token wrapped it.

The caller says what it opens. Intel's clients say nothing and get Intel's envelope; `Accept: application/jose` asks for
a JWE; `amber-wrapping: key-wrap` says that a key which never leaves its token in the clear may come as it wrapped it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ambergate.core.errors import Malformed
from ambergate.core.release.envelope import NONCE_SIZE, SWK_SIZE, Envelope, seal
from ambergate.core.release.jwe_sealing import seal_jwe
from ambergate.core.release.keywrap import KeyWrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambergate.core.release.envelope import WorkloadKey

Form = Literal["envelope", "jwe", "key-wrap"]
Delivered = Envelope | KeyWrap | str  # a JWE is text
INTELS: Final[frozenset[Form]] = frozenset({"envelope"})


def delivered(
    taken: bytes | KeyWrap, workload_key: WorkloadKey, forms: frozenset[Form], *, token_bytes: Callable[[int], bytes]
) -> Delivered:
    """The key in a form that the caller opens.

    Args:
        taken: from its key manager.
        workload_key: the attested one.
        forms: what the caller opens.
        token_bytes: randomness for Intel's envelope.

    Raises:
        Malformed: (`form-not-taken`) it exists in no form that the caller opens.
        TooLarge: the key is too long.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - as the core does

    if isinstance(taken, KeyWrap):
        if "key-wrap" in forms:
            return taken
        raise _not_taken("this key leaves its token only wrapped there", "send the header amber-wrapping: key-wrap")
    if "jwe" in forms:
        return seal_jwe(taken, workload_key)
    if not isinstance(workload_key, RSAPublicKey):
        raise _not_taken("Intel's envelope is for RSA keys alone", "an EC workload key takes Accept: application/jose")
    return seal(taken, workload_key, swk=token_bytes(SWK_SIZE), nonce=token_bytes(NONCE_SIZE))


def _not_taken(message: str, hint: str) -> Malformed:
    return Malformed(message, code="form-not-taken", hint=hint)
