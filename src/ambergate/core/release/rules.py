"""The rules of release: each looks at one thing that terms can say, and tells what it saw and wanted.

A rule gives nothing where its member is not there: what silence means is the policy's business, which runs the rules
over its defaults too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import Malformed
from ambergate.core.release.envelope import decode_held_key
from ambergate.core.release.jwe import decode_held_ec
from ambergate.core.release.terms import MEASURED_TD
from ambergate.core.release.values import canonical, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from ambergate.core.octets import Octets
    from ambergate.core.release.envelope import Tee, WorkloadKey
    from ambergate.core.release.resource_policy import Alternative
    from ambergate.core.release.terms import Terms
    from ambergate.core.token.claims import AttestationClaims

_SEQUENCE: Final = b"\x30"  # how DER begins; RSA held data begins with its exponent's 0 or 1: 65537 alone is accepted
_MAX_TOLD: Final = 256  # characters of any one value in a finding; a token's issuer chooses some of them


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on beside token and policy.

    Attributes:
        at: the instant of the decision, aware.
        nonce: that of the evidence which the broker itself had appraised for this request, in the background check;
            None: it was shown a token.
    """

    at: datetime
    nonce: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule makes of one token."""

    rule: str
    holds: bool
    seen: str
    wanted: str

    def as_dict(self) -> dict[str, str]:
        """As a mismatch is told."""
        return {"rule": self.rule, "seen": self.seen, "wanted": self.wanted}


if TYPE_CHECKING:
    Rule = Callable[[AttestationClaims, Terms, Circumstances], Iterator[Finding]]


def workload_key(claims: AttestationClaims) -> WorkloadKey:
    """The public key that the enclave or TD attested: the only one that a secret may be sealed for.

    Raises:
        Malformed: there is none, or none good enough. Runtime data is never looked at.
    """
    if claims.held_data is None:
        wanted = "an RSA or EC public key in attester_held_data"
        raise Malformed("no attester_held_data", code="malformed-held-key", wanted=wanted)
    if claims.held_data.startswith(_SEQUENCE):
        return decode_held_ec(claims.held_data)
    tee: Tee = "TDX" if claims.attester_type == "TDX" else "SGX"
    return decode_held_key(claims.held_data, tee=tee)


def lifetime(claims: AttestationClaims, at: datetime) -> Finding:
    """The token is neither expired nor from the future at the instant of the decision."""
    wanted = f"between {claims.issued_at.isoformat()} and {claims.expires_at.isoformat()}"
    return _finding("lifetime", at.isoformat(), wanted, holds=claims.issued_at <= at < claims.expires_at)


def sealable(claims: AttestationClaims) -> Finding:
    """The enclave attested a public key good enough to seal for."""
    try:
        workload_key(claims)
    except Malformed as exc:
        seen = exc.message if exc.seen is None else f"{exc.message} ({exc.seen})"
        return _finding("workload_key", seen, exc.wanted or "", holds=False)
    return _finding("workload_key", "a public key", "a public key", holds=True)


def attester_type(claims: AttestationClaims, alternative: Alternative) -> Finding:
    """The environment is of the kind that is named; the same digits from another kind mean something else."""
    wanted = alternative.tee
    return _finding("attester_type", claims.attester_type, wanted, holds=claims.attester_type == wanted)


def _measured(name: str, seen: Callable[[AttestationClaims], str | None]) -> Rule:
    """The measurement is one that the terms name, whatever case its digits are in."""

    def rule(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
        del given
        allowed: tuple[Octets, ...] = getattr(terms, name)
        if allowed:
            text = seen(claims)
            yield _finding(name, text, _any_of(allowed), holds=_read(type(allowed[0]), text) in allowed)

    return rule


def isv_prod_id(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The signer's product is one that the terms name."""
    del given
    if terms.isv_prod_id:
        holds = claims.isv_prod_id in terms.isv_prod_id
        yield _finding("isv_prod_id", claims.isv_prod_id, _any_of(terms.isv_prod_id), holds=holds)


def isv_svn(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The program's security version is not older than the minimum."""
    del given
    yield from _at_least("isv_svn", claims.isv_svn, terms.minimum_isv_svn)


def seam_svn(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The TDX module's security version is not older than the minimum."""
    del given
    yield from _at_least("seam_svn", None if claims.td is None else claims.td.seam_svn, terms.minimum_seam_svn)


def tcb(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The platform's TCB status is one that the terms list, or one whose grace has not ended."""
    if not terms.tcb_statuses and not terms.tcb_grace:
        return
    listed = terms.tcb_statuses or ("UpToDate",)
    ends = [(each.status, each.end(claims.tcb_date)) for each in terms.tcb_grace]
    lasting = {status: end for status, end in ends if end is not None and given.at < end}
    wanted = _any_of((*listed, *(f"{status} until {shown(end)}" for status, end in lasting.items())))
    ended = [shown(end) for status, end in ends if status == claims.tcb_status and end is not None]
    holds = claims.tcb_status in listed or claims.tcb_status in lasting
    if not holds and ended:
        wanted += f" ({claims.tcb_status} was accepted until {max(ended)})"
    yield _finding("tcb_status", claims.tcb_status, wanted, holds=holds)


def advisory(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """No advisory concerns the platform but those that are named and whose acceptance has not ended."""
    if not terms.advisory:
        return
    named = {each.id: each.until for each in terms.advisory}
    wanted = _any_of(sorted(named))
    refused = []
    for each in claims.advisory_ids:
        until = named.get(each)
        if each not in named or (until is not None and given.at >= until):
            refused.append(each)
            note = "" if until is None else f" (it was accepted until {shown(until)})"
            yield _finding("advisory", each, f"only {wanted}{note}", holds=False)
    if not refused:
        yield _finding("advisory", ", ".join(claims.advisory_ids) or "none", f"only {wanted}", holds=True)


def debug(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """Its memory is closed to its host, or the terms say in so many words that it need not be."""
    del given
    if terms.dangerously_allow_debug is not None:
        allowed = terms.dangerously_allow_debug
        yield _finding("debug", claims.debug, _unless(allowed, "False"), holds=claims.debug is False or allowed)


def sept_ve(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """A TD's host cannot inject exceptions by taking pages away, or the terms say that it may."""
    del given
    if terms.dangerously_allow_sept_ve is not None and claims.attester_type == "TDX":
        seen = None if claims.td is None else claims.td.sept_ve_disable
        allowed = terms.dangerously_allow_sept_ve
        yield _finding("sept_ve_disable", seen, _unless(allowed, "True"), holds=seen is True or allowed)


def simulated(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The platform is hardware, or the terms say in so many words that software will do."""
    del given
    if terms.insecure_accept_simulated is not None:
        allowed = terms.insecure_accept_simulated
        holds = claims.simulated is False or allowed
        yield _finding("simulated", claims.simulated, _unless(allowed, "False"), holds=holds)


def policy_ids_matched(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """One of these policies of the attestation service matched, on the issuer's word."""
    del given
    if terms.policy_ids_matched:
        holds = not set(terms.policy_ids_matched).isdisjoint(claims.policy_ids_matched)
        seen = ", ".join(claims.policy_ids_matched) or "none"
        yield _finding("policy_ids_matched", seen, _any_of(terms.policy_ids_matched), holds=holds)


def issuer(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The token's issuer, whom the broker trusts anyway, is one that the owner names."""
    del given
    if terms.issuers:
        yield _finding("issuer", claims.issuer, _any_of(terms.issuers), holds=claims.issuer in terms.issuers)


def token_age(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The token was issued at most so many seconds ago."""
    if terms.max_token_age_seconds is not None:
        age = (given.at - claims.issued_at).total_seconds()
        limit = terms.max_token_age_seconds
        yield _finding("token_age", f"{age:.0f} s", f"<= {limit} s", holds=0 <= age <= limit)


def nonce(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The issuer compared a nonce of its own with the evidence ("required"), in this very request ("bound")."""
    if terms.nonce is None:
        return
    seen = "none" if claims.nonce is None else "a nonce"
    if terms.nonce == "required":
        yield _finding("nonce", seen, "verifier_nonce", holds=claims.nonce is not None)
        return
    same = claims.nonce is not None and given.nonce is not None and dict(claims.nonce) == dict(given.nonce)
    wanted = "the nonce of evidence that the broker had appraised for this request, in the background check"
    yield _finding("nonce", "that nonce" if same else seen, wanted, holds=same)


def runtime_data(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """Each named member of the attested runtime data has the named value, as JSON has values."""
    del given
    told = claims.runtime_data or {}
    for name, wanted in terms.runtime_data:
        seen = canonical(told[name]) if name in told else "absent"
        yield _finding(f"runtime_data.{name}", seen, wanted, holds=name in told and seen == wanted)


def not_before(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The time for it has come."""
    del claims
    if terms.not_before is not None:
        yield _finding("not_before", shown(given.at), shown(terms.not_before), holds=given.at >= terms.not_before)


def not_after(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The time for it has not passed; the instant itself is the first at which it has."""
    del claims
    if terms.not_after is not None:
        yield _finding(
            "not_after", shown(given.at), f"before {shown(terms.not_after)}", holds=given.at < terms.not_after
        )


def weekly(claims: AttestationClaims, terms: Terms, given: Circumstances) -> Iterator[Finding]:
    """The instant lies in one of the windows of the week."""
    del claims
    if terms.weekly:
        holds = any(each.holds(given.at) for each in terms.weekly)
        yield _finding("weekly", f"{given.at:%a} {shown(given.at)}", _any_of(terms.weekly), holds=holds)


def _of_td(name: str) -> Callable[[AttestationClaims], str | None]:
    return lambda claims: None if claims.td is None else getattr(claims.td, name)


# What each rule looks at, and the rule: each member of `Terms` once, but for `tee`, which `attester_type` looks at, and
# `any` and `all`, which alternatives are made of. All run on every decision, in this order; each has a test that fails
# without it.
RULES: Final[tuple[tuple[tuple[str, ...], Rule], ...]] = (
    (("mr_enclave",), _measured("mr_enclave", lambda claims: claims.mr_enclave)),
    (("mr_signer",), _measured("mr_signer", lambda claims: claims.mr_signer)),
    (("isv_prod_id",), isv_prod_id),
    (("minimum_isv_svn",), isv_svn),
    *(((name,), _measured(name, _of_td(name))) for name in MEASURED_TD),
    (("minimum_seam_svn",), seam_svn),
    (("tcb_statuses", "tcb_grace"), tcb),
    (("advisory",), advisory),
    (("dangerously_allow_debug",), debug),
    (("dangerously_allow_sept_ve",), sept_ve),
    (("insecure_accept_simulated",), simulated),
    (("policy_ids_matched",), policy_ids_matched),
    (("issuers",), issuer),
    (("max_token_age_seconds",), token_age),
    (("nonce",), nonce),
    (("runtime_data",), runtime_data),
    (("not_before",), not_before),
    (("not_after",), not_after),
    (("weekly",), weekly),
)


def _at_least(name: str, seen: int | None, minimum: int | None) -> Iterator[Finding]:
    if minimum is not None:
        yield _finding(name, seen, f">= {minimum}", holds=seen is not None and seen >= minimum)


def _read(kind: type[Octets], text: str | None) -> Octets | None:
    """A claim's measurement as its type; None when it is none, which no policy names."""
    try:
        return None if text is None else kind.from_hex(text)
    except ValueError:
        return None


def _unless(allowed: bool, wanted: str) -> str:  # noqa: FBT001  what the owner said
    return "anything" if allowed else wanted


def _any_of(allowed: tuple[object, ...] | list[str]) -> str:
    return " or ".join(str(value) for value in allowed)


def _finding(rule: str, seen: object, wanted: object, *, holds: bool) -> Finding:
    return Finding(rule, holds, str(seen)[:_MAX_TOLD], str(wanted))
