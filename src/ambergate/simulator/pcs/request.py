"""What a request asks for: addresses and parameters of Intel's PCS, API versions 3 and 4, read strictly.

Source: Intel PCS API v4 and v3; where a PCCS differs, see `answers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from ambergate.core.measurements import Fmspc
from ambergate.simulator.documents import EARLY, STANDARD, Edition
from ambergate.simulator.pki import PCK_CA_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

APIS: Final = ("v3", "v4")
ROOT_CRL_PATH: Final = "/IntelSGXRootCA.der"  # at Intel, on another host than everything else
_MAX_PARAMETERS: Final = 16
_MAX_NUMBER_DIGITS: Final = 9
_UPDATES: Final = {"standard": STANDARD, "early": EARLY}
_PLATFORMS: Final = ("all", "client", "E3", "E5")  # of `fmspcs`


class Document(StrEnum):
    """Kinds of documents, by the names that faults are aimed with."""

    TCB = "tcb"
    IDENTITY = "identity"
    PCK_CRL = "pckcrl"
    ROOT_CRL = "rootcacrl"
    PCK_CERT = "pckcert"
    FMSPCS = "fmspcs"
    NUMBERS = "tcbevaluationdatanumbers"


# Below /<tee>/certification/<api>/; TDX has what is the same for both in the branch of SGX only.
_DOCUMENTS: Final = {
    "tcb": Document.TCB,
    "qe/identity": Document.IDENTITY,
    "qve/identity": Document.IDENTITY,
    "pckcrl": Document.PCK_CRL,
    "rootcacrl": Document.ROOT_CRL,
    "pckcert": Document.PCK_CERT,
    "fmspcs": Document.FMSPCS,
    "tcbevaluationdatanumbers": Document.NUMBERS,
}
_OF_TDX: Final = ("tcb", "qe/identity", "tcbevaluationdatanumbers")
_SINCE_V4: Final = ("fmspcs", "tcbevaluationdatanumbers")


class Route(NamedTuple):
    """An address that is known, whatever is asked of it."""

    document: Document
    tee: str  # "SGX" or "TDX"
    api: str
    enclave: str = ""  # of an identity: "QE", "TD_QE" or "QVE"


class Rejected(Exception):
    """A request that the service answers with 400, 404 or 410; the text is for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One document, by everything that its content depends on."""

    route: Route
    edition: Edition = STANDARD
    ca: str = ""  # of a revocation list
    platforms: str = "all"  # of `fmspcs`


def path_of(target: str) -> str:
    """The address of a request without its parameters. Whatever a client sends has one."""
    return target.partition("?")[0]


def route_of(path: str) -> Route | None:
    """Where an address leads; None when nowhere."""
    if path == ROOT_CRL_PATH:
        return Route(Document.ROOT_CRL, "SGX", "v4")
    head, _, rest = path.removeprefix("/").partition("/certification/")
    api, _, name = rest.partition("/")
    known = name in _DOCUMENTS and head in ("sgx", "tdx") and api in APIS
    if not known or (head == "tdx" and (api == "v3" or name not in _OF_TDX)) or (api == "v3" and name in _SINCE_V4):
        return None
    enclave = {"qe/identity": "QE" if head == "sgx" else "TD_QE", "qve/identity": "QVE"}.get(name, "")
    return Route(_DOCUMENTS[name], head.upper(), api, enclave)


def parameters_of(target: str) -> dict[str, str]:
    """The parameters of a request, each given once.

    Raises:
        Rejected: one is given twice, or there are too many.
    """
    try:
        pairs = parse_qsl(target.partition("?")[2], keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as exc:
        raise Rejected("too many parameters") from exc
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Rejected("a parameter is given twice")
    return given


def fmspc_of(given: Mapping[str, str]) -> Fmspc:
    """The parameter `fmspc`.

    Raises:
        Rejected: it is missing, or not 12 hex digits.
    """
    return Fmspc(octets_of(given, "fmspc", Fmspc.WIDTH))


def octets_of(given: Mapping[str, str], name: str, width: int) -> bytes:
    """A parameter in hex.

    Raises:
        Rejected: it is missing, or another number of hex digits.
    """
    text = given.get(name, "")
    try:
        octets = bytes.fromhex(text) if len(text) == 2 * width else b""
    except ValueError:
        octets = b""
    if len(octets) != width:
        raise Rejected(f"{name} must be {2 * width} hex digits")
    return octets


def edition_of(given: Mapping[str, str], *, numbered: bool) -> Edition:
    """Which set of statements is asked for by `update` or `tcbEvaluationDataNumber`, or by neither.

    Args:
        given: the parameters.
        numbered: whether the service knows the latter; a PCCS passes over it.

    Raises:
        Rejected: both are given, or what is given means nothing; 410 for a number that is no longer served, and 404
            for one that is not served yet.
    """
    number = given.get("tcbEvaluationDataNumber") if numbered else None
    if number is None:
        return _updated(given.get("update", "standard"))
    if "update" in given:
        raise Rejected("update and tcbEvaluationDataNumber exclude each other")
    if not (number.isascii() and number.isdigit() and len(number) <= _MAX_NUMBER_DIGITS):
        raise Rejected("tcbEvaluationDataNumber must be a number")
    found = next((edition for edition in (STANDARD, EARLY) if edition.number == int(number)), None)
    if found is None:
        raise Rejected("no such evaluation data", status=410 if int(number) < STANDARD.number else 404)
    return found


def choice_of(given: Mapping[str, str], name: str, choices: tuple[str, ...], default: str | None = None) -> str:
    """A parameter that is one of a few words.

    Raises:
        Rejected: it is none of them, or missing without a default.
    """
    value = given.get(name, default)
    if value not in choices:
        raise Rejected(f"{name} must be one of {', '.join(choices)}")
    assert value is not None
    return value


def wanted_of(route: Route, given: Mapping[str, str], *, numbered: bool) -> Wanted:
    """Which document is asked for.

    Raises:
        Rejected: a parameter is missing or means nothing (see `edition_of`).
    """
    match route.document:
        case Document.TCB | Document.IDENTITY:
            return Wanted(route=route, edition=edition_of(given, numbered=numbered))
        case Document.PCK_CRL:
            return Wanted(route=route, ca=choice_of(given, "ca", tuple(PCK_CA_NAMES)))
        case Document.FMSPCS:
            return Wanted(route=route, platforms=choice_of(given, "platform", _PLATFORMS, "all"))
        case Document.ROOT_CRL | Document.PCK_CERT | Document.NUMBERS:
            return Wanted(route=route)


def _updated(update: str) -> Edition:
    edition = _UPDATES.get(update.lower())
    if edition is None:
        raise Rejected(f"update must be one of {', '.join(_UPDATES)}")
    return edition
