"""What the statuses of Intel's PCS and of a PCCS mean to somebody who asked for collateral.

Source: Intel PCS API v3 and v4, response codes of "Get TCB Info", "Get Quoting Enclave Identity", "Get Revocation
List"; the PCCS of Intel's DCAP (`constants/pccs_status_code.js`), which adds 460 to 462 and 502.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Unavailable

if TYPE_CHECKING:
    from ambergate.pcs.transport import Reply

UNKNOWN: Final = "collateral-unknown"  # 404: never heard of it
WITHDRAWN: Final = "collateral-withdrawn"  # 410: had it, has it no more
BUSY: Final = "collateral-busy"  # 429
_DETAIL: Final = 120  # characters of the service's own words


@dataclass(frozen=True, slots=True)
class _Meaning:
    message: str
    hint: str
    code: str = Unavailable.CODE


_OURS: Final = "is it really a PCS or PCCS, of the API version asked for?"
_MEANINGS: Final = {
    400: _Meaning("the collateral service does not understand the request", _OURS),
    401: _Meaning("the collateral service wants credentials", "collateral is public: ask a service that does not"),
    403: _Meaning("the collateral service does not let us in", "collateral is public: ask a service that does"),
    404: _Meaning(
        "the collateral service knows no such document",
        "does Intel support this platform for this TEE? A PCCS that does not fill itself must be given it first",
        UNKNOWN,
    ),
    410: _Meaning(
        "the collateral service no longer serves this document",
        'it was withdrawn, or the API has ended: use api = "v4" and update = "standard"',
        WITHDRAWN,
    ),
    429: _Meaning("the collateral service is asked too often", "try again later, or ask a PCCS of your own", BUSY),
    460: _Meaning("the PCCS found its own data damaged", "repair or refresh the PCCS"),
    461: _Meaning("the PCCS does not know this platform", "register the platform with it", UNKNOWN),
    462: _Meaning("the PCCS has no certificates for this platform", "let it fetch them from Intel", UNKNOWN),
    500: _Meaning("the collateral service has failed", "see its log; try again later"),
    502: _Meaning("the PCCS cannot reach Intel's PCS", "check the PCCS's network and its API key"),
    503: _Meaning("the collateral service is not available now", "try again later"),
    504: _Meaning("the collateral service was not answered in time itself", "try again later"),
}
_REDIRECT: Final = _Meaning(
    "the collateral service sends us elsewhere", "redirects are not followed: give the address it points to, if trusted"
)
_OTHER: Final = _Meaning("the collateral service answers something else", _OURS)


def refusal(reply: Reply) -> Unavailable:
    """The error that an answer other than 200 stands for."""
    redirect = 300 <= reply.status < 400
    meaning = _REDIRECT if redirect else _MEANINGS.get(reply.status, _OTHER)
    return Unavailable(
        meaning.message,
        code=meaning.code,
        seen=f"HTTP {reply.status} from {reply.url}{_detail(reply)}",
        wanted="HTTP 200",
        hint=meaning.hint,
    )


def _detail(reply: Reply) -> str:
    """What the service says itself: Intel's PCS in headers, anybody's redirect in `Location`. Made printable."""
    said = [reply.headers[name] for name in ("error-code", "error-message", "location") if name in reply.headers]
    text = ": ".join(said)[:_DETAIL]
    return f" ({''.join(c if c.isprintable() else '?' for c in text)})" if text else ""
