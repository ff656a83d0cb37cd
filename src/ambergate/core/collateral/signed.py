"""Taking Intel's signed JSON apart without touching the bytes that were signed.

PCS answers `{"tcbInfo":{...},"signature":"..."}`; the signature covers the text of the inner object as it stands
(PCS API v4, "signature"), so it is sliced out, never re-serialised.
"""

from __future__ import annotations

import json
import re
from typing import Final

from ambergate.core.errors import MalformedCollateral

MAX_TEXT: Final = 1024 * 1024  # characters
_SIGNATURE: Final = re.compile(r'\s*,\s*"signature"\s*:\s*"([0-9A-Fa-f]{128})"\s*\}\s*')


def split_signed(text: str, member: str) -> tuple[str, str]:
    """The inner object's exact text, and its signature in hex. Proves nothing.

    Args:
        text: the reply's body.
        member: the inner object's name, `tcbInfo` or `enclaveIdentity`.

    Raises:
        MalformedCollateral: the body is not one object of that member and a signature.
    """
    if len(text) > MAX_TEXT:
        raise MalformedCollateral(
            f"the signed {member} is too long", seen=f"{len(text)} characters", wanted=f"{MAX_TEXT}"
        )
    head = re.match(rf'\s*\{{\s*"{re.escape(member)}"\s*:\s*', text)
    if head is None:
        raise MalformedCollateral(f"the reply is not a signed {member}", seen=text[:48], wanted=f'{{"{member}":...')
    try:
        _, end = json.JSONDecoder().raw_decode(text, head.end())
    except (ValueError, RecursionError) as exc:
        raise MalformedCollateral(f"the signed {member} is not JSON", seen=str(exc)) from exc
    tail = _SIGNATURE.fullmatch(text, end)
    if tail is None:
        raise MalformedCollateral(f"the {member} has no signature behind it", seen=text[end : end + 48])
    return text[head.end() : end], tail.group(1)
