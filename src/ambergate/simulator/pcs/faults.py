"""Named faults of a collateral service: what is published, what is answered, and how it is sent.

Each says what a sound client makes of it, so that a client can be held to the list.
"""

from __future__ import annotations

import gzip
import re
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ambergate.core.errors import SettingsError
from ambergate.core.measurements import Fmspc
from ambergate.simulator.documents import STANDARD
from ambergate.simulator.pcs.answers import PCCS_MESSAGES, Answer
from ambergate.simulator.pcs.request import Document
from ambergate.simulator.period import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ambergate.simulator.pcs.shelf import Forge, Recast
    from ambergate.simulator.pki import Entity
    from ambergate.simulator.publication import Publication

RETRY_AFTER: Final = 1  # seconds
OVERSIZE: Final = 8 * 1024 * 1024  # bytes; published documents stay below 64 KiB
_BOMB: Final = 16 * 1024 * 1024  # bytes, once unpacked
_DER_SEQUENCE: Final = b"\x30"  # what every DER certificate or CRL begins with
_COUNT: Final = re.compile("[1-9][0-9]{0,8}")
_PROXY_PAGE: Final = b"<!DOCTYPE html><title>Sign in</title><p>Sign in to this network to go on."


class Outcome(StrEnum):
    """What a sound client makes of a fault."""

    TAKEN = "taken"  # the document is good, however it came
    RETRIED = "retried"  # asks again after a while
    UNAVAILABLE = "unavailable"  # gives up: asking again would not help, or took too long
    REFUSED = "refused"  # has a document, and does not believe it


class Manner(StrEnum):
    """How an answer is sent."""

    WHOLE = "whole"
    DRIPPING = "dripping"  # byte by byte, for longer than anybody should wait
    CUT = "cut"  # the connection ends half-way


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A named way to serve badly."""

    name: str
    description: str
    outcome: Outcome
    documents: frozenset[Document]
    recast: Recast | None = None
    reword: Callable[[Answer, str], Answer] | None = None  # takes the request's target, too
    manner: Manner = Manner.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """A fault that is to happen.

    `first` bounds it to the first so many requests that it concerns; `document` aims it at one kind.
    """

    fault: Fault
    first: int | None = None
    document: Document | None = None

    @classmethod
    def parse(cls, text: str) -> Armed:
        """Read `NAME`, `NAME:FIRST`, `NAME@DOCUMENT` or `NAME:FIRST@DOCUMENT`.

        Raises:
            SettingsError: no such fault, not a number from 1, or a document that the fault does not concern.
        """
        head, aimed, document = text.partition("@")
        name, bounded, first = head.partition(":")
        fault = FAULTS.get(name)
        if fault is None:
            raise SettingsError(
                "there is no such fault", seen=name, wanted="a name on the list", hint="run: amber simulator pcs faults"
            )
        if bounded and not _COUNT.fullmatch(first):
            raise SettingsError("a fault is bounded by a number of requests", seen=text, wanted="e.g. http-503:2")
        if aimed and document not in fault.documents:
            wanted = ", ".join(sorted(fault.documents))
            raise SettingsError(f"{name} does not concern this document", seen=document, wanted=wanted)
        return cls(fault=fault, first=int(first) if bounded else None, document=Document(document) if aimed else None)

    def concerns(self, document: Document) -> bool:
        """Whether a request for this kind of document meets the fault."""
        return document in self.fault.documents if self.document is None else document is self.document


class Misfortune:
    """Decides which fault a request meets: the first of those armed that concerns it and is not used up.

    Args:
        armed: the faults, in order.
    """

    def __init__(self, armed: Iterable[Armed] = ()) -> None:
        self._left = [(each, each.first) for each in armed]
        self._lock = threading.Lock()

    def meet(self, document: Document) -> Fault | None:
        """The fault of this request; a bounded one is used up by one."""
        with self._lock:
            for place, (armed, left) in enumerate(self._left):
                if left != 0 and armed.concerns(document):
                    self._left[place] = (armed, None if left is None else left - 1)
                    return armed.fault
        return None


_ALL: Final = frozenset(Document)
_JSON: Final = frozenset({Document.TCB, Document.IDENTITY, Document.NUMBERS})
_CRLS: Final = frozenset({Document.PCK_CRL, Document.ROOT_CRL})
_SIGNED: Final = _JSON | _CRLS
_NUMBERED: Final = frozenset({Document.TCB, Document.IDENTITY})


def _status(code: int, outcome: Outcome, description: str, **headers: str) -> Fault:
    answer = Answer(status=code, headers={"Content-Type": "text/plain"}, body=PCCS_MESSAGES.get(code, "").encode())
    return Fault(
        name=f"http-{code}",
        description=description,
        outcome=outcome,
        documents=_ALL,
        reword=lambda *_: answer.saying(**headers),
    )


def _stale(published: Publication, forge: Forge) -> Publication:
    past = Period.ended_before(forge.at)
    return replace(
        published,
        tcb_info=replace(published.tcb_info, period=past),
        qe_identity=replace(published.qe_identity, period=past),
        pck_crl=replace(published.pck_crl, period=past),
        root_crl=replace(published.root_crl, period=past),
    )


def _under_another_root(published: Publication, forge: Forge) -> Publication:
    other = forge.stranger
    return replace(
        published,
        root=other.root,
        pck_ca=other.pck_ca,
        tcb_signing=other.tcb_signing,
        qe_signing=other.tcb_signing,
        pck_crl=replace(published.pck_crl, issuer=other.pck_ca),
        root_crl=replace(published.root_crl, issuer=other.root),
    )


def _signed_by_another_key(published: Publication, forge: Forge) -> Publication:
    def impostor(entity: Entity) -> Entity:
        return replace(entity, key=forge.stranger.root.key)

    return replace(
        published,
        tcb_signing=impostor(published.tcb_signing),
        qe_signing=impostor(published.qe_signing),
        pck_crl=replace(published.pck_crl, issuer=impostor(published.pck_crl.issuer)),
        root_crl=replace(published.root_crl, issuer=impostor(published.root_crl.issuer)),
    )


def _of_another_family(published: Publication, _: Forge) -> Publication:
    return replace(published, tcb_info=replace(published.tcb_info, fmspc=Fmspc(b"other.")))


def _older(published: Publication, _: Forge) -> Publication:
    return published.under(replace(STANDARD, number=STANDARD.number - 1))


def _in_hex(answer: Answer, _: str) -> Answer:
    """The CRL as hex text of its DER, whether DER or PEM was to come; a PCCS's is that already."""
    if answer.body.startswith(b"-----BEGIN"):
        der = x509.load_pem_x509_crl(answer.body).public_bytes(Encoding.DER)
        return replace(answer, body=der.hex().encode())
    return replace(answer, body=answer.body.hex().encode()) if answer.body.startswith(_DER_SEQUENCE) else answer


def _oversized(answer: Answer, _: str) -> Answer:
    return replace(answer, body=answer.body.ljust(OVERSIZE, b" "))


def _bomb(answer: Answer, _: str) -> Answer:
    packed = gzip.compress(answer.body.ljust(_BOMB, b" "), compresslevel=9, mtime=0)
    return replace(answer.saying(Content_Encoding="gzip"), body=packed)


def _redirected(answer: Answer, target: str) -> Answer:
    return replace(answer, status=302, headers={"Location": target}, body=b"")


_UNREADY: Final = (
    _status(404, Outcome.UNAVAILABLE, "There is no such document."),
    _status(410, Outcome.UNAVAILABLE, "The document is no longer served."),
    _status(429, Outcome.RETRIED, f"Too many requests: come back after {RETRY_AFTER} s.", Retry_After=str(RETRY_AFTER)),
    _status(460, Outcome.UNAVAILABLE, "The PCCS has found its own data damaged."),
    _status(461, Outcome.UNAVAILABLE, "The platform is unknown to the PCCS."),
    _status(462, Outcome.UNAVAILABLE, "The PCCS has no certificates of the platform."),
    _status(500, Outcome.RETRIED, "The service has failed."),
    _status(502, Outcome.RETRIED, "The PCCS cannot reach Intel."),
    _status(503, Outcome.RETRIED, "The service is overloaded, and does not say for how long."),
    _status(504, Outcome.RETRIED, "The service was not answered in time itself."),
)

_SENT: Final = (
    Fault(
        name="slow",
        description="The body drips: bytes keep coming, for longer than anybody should wait.",
        outcome=Outcome.UNAVAILABLE,
        documents=_ALL,
        manner=Manner.DRIPPING,
    ),
    Fault(
        name="truncated",
        description="The connection ends before as many bytes have come as Content-Length says.",
        outcome=Outcome.RETRIED,
        documents=_ALL,
        manner=Manner.CUT,
    ),
    Fault(
        name="wrong-content-type",
        description="Content-Type is text/html, whatever comes.",
        outcome=Outcome.TAKEN,
        documents=_ALL,
        reword=lambda answer, _: answer.saying(Content_Type="text/html"),
    ),
    Fault(
        name="hex-crl",
        description="Revocation lists are hex text of their DER.",
        outcome=Outcome.TAKEN,
        documents=_CRLS,
        reword=_in_hex,
    ),
    Fault(
        name="not-json",
        description="A sign-in page of the network comes with status 200.",
        outcome=Outcome.REFUSED,
        documents=_JSON,
        reword=lambda answer, _: replace(answer.saying(Content_Type="text/html"), body=_PROXY_PAGE),
    ),
    Fault(
        name="oversized",
        description=f"{OVERSIZE >> 20} MiB come where a few KiB are due.",
        outcome=Outcome.REFUSED,
        documents=_ALL,
        reword=_oversized,
    ),
    Fault(
        name="packed",
        description=f"A few KiB come that unpack to {_BOMB >> 20} MiB.",
        outcome=Outcome.REFUSED,
        documents=_ALL,
        reword=_bomb,
    ),
    Fault(
        name="redirect",
        description="The service sends the client elsewhere: to the same address.",
        outcome=Outcome.UNAVAILABLE,
        documents=_ALL,
        reword=_redirected,
    ),
)

_PUBLISHED: Final = (
    Fault(
        name="stale",
        description="Documents are properly signed, and have expired.",
        outcome=Outcome.REFUSED,
        documents=_SIGNED,
        recast=_stale,
    ),
    Fault(
        name="wrong-chain",
        description="Documents are properly signed under another root of the same name.",
        outcome=Outcome.REFUSED,
        documents=_SIGNED,
        recast=_under_another_root,
    ),
    Fault(
        name="wrong-signature",
        description="Another key has signed in the name of the right certificate.",
        outcome=Outcome.REFUSED,
        documents=_SIGNED,
        recast=_signed_by_another_key,
    ),
    Fault(
        name="wrong-fmspc",
        description="The TCB info is of another platform family.",
        outcome=Outcome.REFUSED,
        documents=frozenset({Document.TCB}),
        recast=_of_another_family,
    ),
    Fault(
        name="rollback",
        description="The evaluation number is lower than the one before; refused by whoever has seen that.",
        outcome=Outcome.REFUSED,
        documents=_NUMBERED,
        recast=_older,
    ),
)

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({fault.name: fault for fault in (*_UNREADY, *_SENT, *_PUBLISHED)})
