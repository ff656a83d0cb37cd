"""A judged case, and the facts about it that the choices are decided by."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from fuzz.judges import Outcome, ours, theirs
from fuzz.mutators.chains import armour, ders_of

from ambergate.core.collateral.certificates import Certificate, read_certificate, read_pem_chain
from ambergate.core.collateral.crl import RevocationList, read_crl
from ambergate.core.collateral.pck import PckExtension, read_pck_extension
from ambergate.core.errors import Malformed, MalformedEvidence
from ambergate.core.quote import Quote, TdReport, encode_quote, parse_quote
from ambergate.core.verify.anchors import INTEL_ROOT_KEY
from ambergate.core.verify.signatures import is_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fuzz.triple import Triple

_CHAINS: Final = ("tcb_info_issuer_chain", "qe_identity_issuer_chain")
_LISTS: Final = ("root_ca_crl", "pck_crl")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A triple and what both verifiers say of it. Facts are looked up when asked for: only where they differ."""

    triple: Triple
    ours: Outcome
    theirs: Outcome

    @classmethod
    def judged(cls, triple: Triple) -> Case:
        """Ask both."""
        return cls(triple=triple, ours=ours(triple), theirs=theirs(triple))

    @property
    def same(self) -> bool:
        """Both refuse, or both accept with the same status and the same advisories in any order."""
        if self.ours.accepted and self.theirs.accepted:
            return self.ours.status == self.theirs.status and self._same_advisories
        return self.ours.accepted == self.theirs.accepted

    @property
    def _same_advisories(self) -> bool:
        return sorted(self.ours.advisory_ids) == sorted(self.theirs.advisory_ids)

    @cached_property
    def quote(self) -> Quote | None:
        """The quote, if it parses."""
        try:
            return parse_quote(self.triple.raw)
        except MalformedEvidence:
            return None

    @property
    def td(self) -> TdReport | None:
        """The report of a TD, if it is one."""
        return self.quote.body if self.quote and isinstance(self.quote.body, TdReport) else None

    @cached_property
    def members(self) -> dict[str, Any]:
        """The bundle's members; none if it is not JSON."""
        try:
            members = json.loads(self.triple.bundle)
        except (ValueError, RecursionError):
            return {}
        return members if isinstance(members, dict) else {}

    @cached_property
    def tcb_info(self) -> dict[str, Any]:
        """The TCB info's members; none if it is not JSON."""
        try:
            members = json.loads(self.members["tcb_info"])
        except (ValueError, RecursionError, KeyError, TypeError):
            return {}
        return members if isinstance(members, dict) else {}

    @cached_property
    def qe_levels(self) -> list[dict[str, Any]]:
        """The QE identity's levels; none if they cannot be read."""
        try:
            levels = json.loads(self.members["qe_identity"])["tcbLevels"]
        except (ValueError, RecursionError, KeyError, TypeError):
            return []
        return levels if isinstance(levels, list) else []

    @property
    def modules(self) -> list[dict[str, Any]]:
        """The TDX module identities of the TCB info; none if there are none."""
        return self.tcb_info.get("tdxModuleIdentities") or []

    @cached_property
    def hardware(self) -> PckExtension | None:
        """The platform as the quote's PCK certificate describes it."""
        try:
            chain = read_pem_chain(self.quote.certification.data if self.quote else b"")
            return next(read_pck_extension(each.sgx_extension) for each in chain if each.sgx_extension is not None)
        except (Malformed, StopIteration):
            return None

    @cached_property
    def root_list(self) -> RevocationList | None:
        """The root's revocation list, if it parses."""
        try:
            return read_crl(self.members["root_ca_crl"])
        except (Malformed, KeyError, TypeError):
            return None

    @cached_property
    def repeats(self) -> bool:
        """Whether an object of the bundle, or of a signed document, has two members of one name."""
        texts = (self.triple.bundle, self.members.get("tcb_info"), self.members.get("qe_identity"))
        return any(_repeats(text) for text in texts if isinstance(text, str))

    @cached_property
    def pck_certificates(self) -> tuple[Certificate, ...]:
        """Every certificate of the quote's chain that parses."""
        return tuple(_certificates(self.quote.certification.data)) if self.quote else ()

    @cached_property
    def signing_certificates(self) -> tuple[Certificate, ...]:
        """Every certificate of the two signing chains that parses."""
        return tuple(each for name in _CHAINS for each in _certificates(_octets(self.members.get(name))))

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All of them."""
        return (*self.pck_certificates, *self.signing_certificates)

    @cached_property
    def straightened(self) -> Case:
        """The same case, every chain spelled plainly: leaf, its issuers as far as they are there, the right root."""
        if self.quote is None or not self.members:
            return self
        root = self._root()
        certification = replace(self.quote.certification, data=_straight(self.quote.certification.data, root))
        members = {
            name: _straight(_octets(text), root).decode("latin-1") if name in _CHAINS else text
            for name, text in self.members.items()
        }
        raw = encode_quote(replace(self.quote, certification=certification))
        return Case.judged(replace(self.triple, raw=raw, bundle=json.dumps(members)))

    @cached_property
    def with_plain_lists(self) -> Case:
        """The same case with revocation lists spelled as plain lower-case hex."""
        try:
            lists = {name: read_crl(self.members[name]).der.hex() for name in _LISTS}
        except (Malformed, KeyError):
            return self
        return Case.judged(replace(self.triple, bundle=json.dumps({**self.members, **lists})))

    def _root(self) -> bytes:
        """The right root as PEM: the one that both were given, or Intel's where the case holds it; else nothing."""
        if self.triple.root_der is not None:
            return load_der_x509_certificate(self.triple.root_der).public_bytes(Encoding.PEM)
        more = _certificates(_octets(self.members.get("pck_crl_issuer_chain")))
        return next((armour(each.der) for each in (*self.certificates, *more) if _is_intels_root(each)), b"")


def _repeats(text: str) -> bool:
    found: list[bool] = []

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found.append(len({name for name, _ in pairs}) < len(pairs))
        return dict(pairs)

    try:
        json.loads(text, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return any(found)


def _is_intels_root(certificate: Certificate) -> bool:
    key, signature, signed = certificate.public_key, certificate.signature, certificate.to_be_signed
    return certificate.point == INTEL_ROOT_KEY and is_signed(key, signature, signed)


def _certificates(text: bytes) -> Iterator[Certificate]:
    """The certificates that parse, whatever stands between or beside them."""
    for der in ders_of(text):
        try:
            yield read_certificate(der)
        except Malformed:
            continue


def _straight(text: bytes, root: bytes) -> bytes:
    roots = {each.subject for each in _certificates(root)}  # a damaged root may not even issue itself
    found = [each for each in _certificates(text) if not each.self_issued and each.subject not in roots]
    leaf = next((each for each in found if not each.is_ca), None)
    path = [leaf] if leaf else []
    while path:
        issuer = next((each for each in found if each.subject == path[-1].issuer and each not in path), None)
        if issuer is None:
            break
        path.append(issuer)
    return b"".join(armour(each.der) for each in path) + root


def _octets(text: object) -> bytes:
    return text.encode("utf-8", "replace") if isinstance(text, str) else b""
