"""What the root's holder has signed of one platform, ready to be sent, and signed anew every day."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.measurements import MrEnclave
from ambergate.simulator.documents import EARLY, STANDARD, Edition, EvaluationNumbers, qe_levels
from ambergate.simulator.keys import sign_raw
from ambergate.simulator.pcs.request import Document, Wanted
from ambergate.simulator.pki import Hierarchy, pem_chain
from ambergate.simulator.platform import SimulatedPlatform
from ambergate.simulator.quoting import QUOTING_ENCLAVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ambergate.simulator.pcs.request import Route
    from ambergate.simulator.pki import Entity
    from ambergate.simulator.publication import Publication

REISSUED_AFTER: Final = timedelta(days=1)  # Intel's PCS signs anew about as often
_PLATFORM_KIND: Final = "E5"  # as `fmspcs` calls multi-package servers

# Its ISVPRODID is 2, as Intel's; the hash stands for no program.
_VERIFICATION_ENCLAVE: Final = replace(
    QUOTING_ENCLAVE,
    mr_enclave=MrEnclave(hashlib.sha256(b"ambergate simulator: quote verification enclave").digest()),
    isv_prod_id=2,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A document as it is sent: JSON, PEM, or DER of a revocation list; and the chain of who signed it."""

    content: bytes
    chain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """What a lie about the published needs: an instant, and somebody else's root, CAs and keys."""

    at: datetime
    stranger: Hierarchy


if TYPE_CHECKING:
    Recast = Callable[[Publication, Forge], Publication]


class Shelf:
    """Signs documents when they are first asked for; the same bytes then for a day of the clock, as at Intel's.

    Args:
        platform: whom the documents speak of.
        now: the clock.
        random: where the keys of strangers come from.
        status: what the standard set says of the platform.
        early_status: what the early set says of it.
    """

    def __init__(
        self,
        platform: SimulatedPlatform,
        *,
        now: Callable[[], datetime],
        random: Callable[[int], bytes],
        status: TcbStatus = TcbStatus.UP_TO_DATE,
        early_status: TcbStatus = TcbStatus.OUT_OF_DATE,
    ) -> None:
        self.platform = platform
        self.now = now
        self._random = random
        self._statuses = {STANDARD: status, EARLY: early_status}
        self._lock = threading.Lock()
        self._forge: Forge | None = None
        self._pages: dict[tuple[Wanted, Recast | None], Page] = {}

    def page(self, wanted: Wanted, recast: Recast | None = None) -> Page:
        """The document, or what a lie makes of it.

        Args:
            wanted: which document.
            recast: what becomes of the published before it is signed.
        """
        with self._lock:
            forge = self._issue()
            key = (wanted, recast)
            if key not in self._pages:
                published = self._published(wanted, forge.at)
                published = published if recast is None else recast(published, forge)
                self._pages[key] = _signed(wanted, published, self.platform.state.pki.pck)
            return self._pages[key]

    def _issue(self) -> Forge:
        """This day's issue: a new one when the clock has left the day of the old one, forwards or backwards."""
        at = self.now()
        if self._forge is None or not self._forge.at <= at < self._forge.at + REISSUED_AFTER:
            stranger = SimulatedPlatform.create(at=at, random=self._random, ca=self.platform.ca)
            self._forge = Forge(at=at, stranger=stranger.state.pki)
            self._pages.clear()
        return self._forge

    def _published(self, wanted: Wanted, at: datetime) -> Publication:
        publish = self.platform.td_publication if wanted.route.tee == "TDX" else self.platform.publication
        edition = wanted.edition
        published = publish(at=at, status=self._statuses[edition], edition=edition)
        if wanted.route.api == "v3":
            published = replace(published, tcb_info=replace(published.tcb_info, version=2))
        if wanted.route.enclave == "QVE":
            published = _of_the_verification_enclave(published, edition)
        if wanted.ca not in ("", self.platform.ca):
            other = self.platform.state.pki.other_pck_ca
            published = replace(published, pck_ca=other, pck_crl=replace(published.pck_crl, issuer=other))
        return published


def signed_document(name: str, text: str, signer: Entity) -> bytes:
    """A signed document as it is sent: the signature covers exactly the text of the inner object."""
    return f'{{"{name}":{text},"signature":"{sign_raw(signer.key, text.encode()).hex()}"}}'.encode()


def _of_the_verification_enclave(published: Publication, edition: Edition) -> Publication:
    enclave = _VERIFICATION_ENCLAVE
    identity = replace(published.qe_identity, id="QVE", enclave=enclave, levels=qe_levels(enclave, edition))
    return replace(published, qe_identity=identity)


def _signed(wanted: Wanted, published: Publication, pck: Entity) -> Page:
    pck_chain = pem_chain(published.pck_ca, published.root)
    match wanted.route.document:
        case Document.TCB | Document.IDENTITY | Document.NUMBERS:
            name, text, signer = _statement(wanted.route, published)
            return Page(content=signed_document(name, text, signer), chain=pem_chain(signer, published.root))
        case Document.PCK_CRL:
            return Page(content=published.pck_crl.der(), chain=pck_chain)
        case Document.PCK_CERT:
            return Page(content=pck.pem.encode(), chain=pck_chain)
        case Document.ROOT_CRL:
            return Page(content=published.root_crl.der())
        case Document.FMSPCS:
            family = {"fmspc": published.tcb_info.fmspc.hex().upper(), "platform": _PLATFORM_KIND}
            served = [family] if wanted.platforms in ("all", _PLATFORM_KIND) else []
            return Page(content=json.dumps(served, separators=(",", ":")).encode())


def _statement(route: Route, published: Publication) -> tuple[str, str, Entity]:
    """A statement's name, its text, and who signs it."""
    if route.document is Document.TCB:
        return "tcbInfo", published.tcb_info.text(), published.tcb_signing
    if route.document is Document.IDENTITY:
        return "enclaveIdentity", published.qe_identity.text(), published.qe_signing
    numbers = EvaluationNumbers(editions=(EARLY, STANDARD), period=published.tcb_info.period, id=route.tee)
    return "tcbEvaluationDataNumbers", numbers.text(), published.tcb_signing
