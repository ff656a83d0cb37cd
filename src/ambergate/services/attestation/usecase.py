"""Attestation: evidence in, a token out, or the step at which it failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.appraise.appraisal import Appraiser
from ambergate.core.appraise.grace import verify_within_grace
from ambergate.core.collateral.certificates import read_pem_chain
from ambergate.core.collateral.needs import needs_of
from ambergate.core.errors import (
    AmberError,
    Malformed,
    MalformedCollateral,
    MalformedEvidence,
    NotGenuine,
    SettingsError,
)
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import PCK_CERT_CHAIN
from ambergate.core.token.claims import SIMULATED_SUFFIX
from ambergate.core.token.issue import Issuance, issue_token
from ambergate.core.token.names import Profile
from ambergate.core.verify.cut import cut_for_memory
from ambergate.core.verify.memo import Verifier
from ambergate.core.verify.steps import BY_ID
from ambergate.core.verify.verifier import prove_certified
from ambergate.services.attestation.binding import check_binding
from ambergate.services.attestation.decision import Decision, is_refusal
from ambergate.services.attestation.known import KnownPlatforms
from ambergate.services.attestation.named import NamedPolicies, NotAtHand, check_matched
from ambergate.services.attestation.ports import CollateralAtHand
from ambergate.services.web.json_text import ascii_json_bytes
from ambergate.services.web.spans import UNTRACED, Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from ambergate.core.appraise.appraisal import Appraisal
    from ambergate.core.appraise.named import Policy
    from ambergate.core.appraise.policy import AppraisalPolicy
    from ambergate.core.collateral.needs import Needs
    from ambergate.core.quote.layout import Quote
    from ambergate.core.token.jose import SigningKey
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.cut import Cut
    from ambergate.core.verify.memo import Recognised
    from ambergate.core.verify.verdict import VerifiedQuote
    from ambergate.services.attestation.evidence import Evidence
    from ambergate.services.attestation.known import Platform
    from ambergate.services.attestation.nonces import Nonces
    from ambergate.services.attestation.ports import Audit, Caller, CollateralSource, SeenPlatforms, SigningKeys

DEFAULT_ALGORITHM: Final = "PS384"  # where neither request nor key names one: wire protocol, 1.4
MAX_AT_HAND: Final = 16 * 1024  # bytes of data beside a quote; more may take a while to be read as JSON and told again
CHAIN_LENGTH: Final = 3  # certificates: root, intermediate, PCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """One root that is believed, where its holder's statements come from, and whether it is a software platform's."""

    anchor: TrustAnchor
    collateral: CollateralSource
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who this service is, and how long its word holds.

    Attributes:
        base_url: where its keys are; the issuer's name unless another is set.
        instance_id: names the verifier.
        token_lifetime: of its tokens, at most.
        new_id: gives ids of tokens.
        name: instead of the base URL, of tokens about hardware.
        simulated_name: instead of the base URL and `SIMULATED_SUFFIX`, of tokens about software platforms.
    """

    base_url: str
    instance_id: UUID
    token_lifetime: timedelta
    new_id: Callable[[], UUID]
    name: str | None = None
    simulated_name: str | None = None

    def name_for(self, *, simulated: bool, by_url: bool = False) -> str:
        """The claim `iss`.

        Args:
            simulated: whether the evidence is a software platform's.
            by_url: for clients that compare it with the address they asked: no other name counts.
        """
        if simulated:
            return (None if by_url else self.simulated_name) or self.base_url + SIMULATED_SUFFIX
        return (None if by_url else self.name) or self.base_url


class Judged(NamedTuple):
    """A decision, and the token that it gives; where it refuses, there is none."""

    decision: Decision
    token: str

    def __repr__(self) -> str:
        return "Judged(...)"


class _Ready(NamedTuple):
    """All that a decision asks others for."""

    quote: Recognised
    platform: Platform
    trust: Trust
    verifier: Verifier
    policies: tuple[Policy, ...]
    key: SigningKey


class _NoPolicies:
    def get(self, policy_id: UUID, /) -> None:
        del policy_id

    at_hand = get


class Attestation:
    """The use case. Safe to share between threads.

    Args:
        roots: whose evidence is taken, each key once.
        policy: which genuine evidence is welcome.
        nonces: makes and recognises nonces.
        keys: sign tokens.
        issuer: who issues them.
        audit: keeps each decision before it is told.
        named: the named policies; None: there are none.
        seen: is told of every platform that gave genuine evidence, welcome or not.
        spans: marks its parts, where somebody traces.

    Raises:
        SettingsError: two roots with one key, or none.
    """

    def __init__(  # noqa: PLR0913  # each is a part of its own
        self,
        *,
        roots: Sequence[Trust],
        policy: AppraisalPolicy,
        nonces: Nonces,
        keys: SigningKeys,
        issuer: Issuer,
        audit: Audit,
        named: NamedPolicies | None = None,
        seen: SeenPlatforms | None = None,
        spans: Spans = UNTRACED,
    ) -> None:
        self._roots = {trust.anchor.key: (trust, Verifier(anchor=trust.anchor)) for trust in roots}
        if not roots or len(self._roots) != len(roots):
            raise SettingsError("each root must be named, and once", seen=f"{len(roots)} roots")
        sources = ((trust.anchor.key, trust.collateral) for trust in roots)
        self._at_hand = {key: source for key, source in sources if isinstance(source, CollateralAtHand)}
        self._policy = policy
        self._appraiser = Appraiser(policy)
        self._nonces = nonces
        self._keys = keys
        self._issuer = issuer
        self._audit = audit
        self._spans = spans
        self._named = named or NamedPolicies(_NoPolicies(), {})
        self._known = KnownPlatforms(seen)

    def judge_at_hand(self, evidence: Evidence, caller: Caller, *, at: datetime) -> Judged | None:
        """As `judge`, if all that it takes is in memory; None: it may have to wait, or to prove a platform.

        It then takes two signatures' time: short enough for a thread that others wait for.
        """
        ready = self._ready(evidence, caller, at)
        try:
            return None if ready is None else self._judge(evidence, caller, at, ready)
        except NotAtHand:  # a policy in Rego that was not judged over such claims before
            return None

    def judge(self, evidence: Evidence, caller: Caller, *, at: datetime) -> Judged:
        """What becomes of this evidence. Nobody may be told before `told` has recorded it. May wait.

        Args:
            evidence: what the request holds.
            caller: whose request it is; its key's settings count where the request has none.
            at: now, aware.

        Raises:
            Unavailable: collateral cannot be had. That is no decision.
        """
        return self._judge(evidence, caller, at, None)

    async def told(self, judged: Judged) -> str:
        """The token, once the decision is recorded.

        Raises:
            Malformed: the nonce is not one.
            TooLarge: a token could not hold the runtime data.
            NotGenuine: quote, nonce, chain, signature or binding does not hold; names the step.
            NotWelcome: the service's policy refuses it, or a named one that must match; or a named one is not here.
            Unavailable: the decision cannot be recorded.
        """
        with self._spans.within("audit"):
            await self._audit.record(judged.decision)
        if judged.decision.error is not None:
            raise judged.decision.error
        return judged.token

    def _judge(self, evidence: Evidence, caller: Caller, at: datetime, ready: _Ready | None) -> Judged:
        decision = Decision(at=at, key_id=caller.key_id, quote=evidence.quote)
        try:
            return Judged(decision, self._decide(evidence, caller, decision, ready))
        except AmberError as error:
            if not is_refusal(error):
                raise
            decision.error = error
            return Judged(decision, "")

    def _decide(self, evidence: Evidence, caller: Caller, decision: Decision, ready: _Ready | None) -> str:
        at = decision.at
        policies = self._named.wanted(evidence, caller) if ready is None else ready.policies
        fresh = self._nonces.check(evidence.nonce, at) if evidence.nonce is not None else b""
        with self._spans.within("verify"):
            if ready is None:
                found = self._verify(evidence.quote, at)
            else:
                found = ready.trust, ready.platform, ready.verifier.verify_known(ready.quote)
        trust, platform, verified = found
        decision.verified, decision.simulated = verified, trust.simulated
        azure = check_binding(verified, evidence, fresh)
        self._known.saw(platform, verified, at=at)
        appraisal = self._appraiser.appraise(verified, at=at)
        decision.claims = appraisal.claims
        with self._spans.within("policies"):
            if ready is None:
                decision.policies = self._named.judge(policies, appraisal.claims, at=at)
            else:
                decision.policies = self._named.recall(policies, appraisal.claims, at=at, kind=verified.kind)
        if evidence.policy_must_match or caller.policy_must_match:
            check_matched(decision.policies)
        algorithm = _algorithm(evidence, caller)
        key = self._keys.key_for(algorithm) if ready is None else ready.key
        profile = Profile(evidence.profile or caller.profile or evidence.endpoint_profile)
        issuance = self._issuance(evidence, trust, appraisal, decision, azure=azure)
        decision.token_id, decision.profile, decision.algorithm = issuance.token_id, profile, algorithm
        with self._spans.within("sign"):
            return issue_token(appraisal, issuance, key, algorithm, profile=profile, write=ascii_json_bytes)

    def _ready(self, evidence: Evidence, caller: Caller, at: datetime) -> _Ready | None:
        """All that `_decide` asks others for, if none of it has to be waited for."""
        if len(evidence.runtime_data or b"") + len(evidence.user_data or b"") > MAX_AT_HAND:
            return None
        cut = cut_for_memory(evidence.quote)
        platform = None if cut is None else self._known.get(cut.digest)
        if cut is None or platform is None or not self._known.quiet(platform, at):
            return None
        needs = platform.needs
        trust, verifier = self._roots[needs.root_key]
        source = self._at_hand.get(needs.root_key)
        collateral = None if source is None else source.at_hand(fmspc=needs.fmspc, ca=needs.ca, tee=needs.tee)
        quote = None if collateral is None else verifier.known(cut, collateral, at=at)
        if quote is None:
            return None
        policies, key = self._named.at_hand(evidence, caller), self._keys.at_hand(_algorithm(evidence, caller))
        if policies is None or key is None:
            return None
        return _Ready(quote, platform, trust, verifier, policies, key)

    def _verify(self, raw: bytes, at: datetime) -> tuple[Trust, Platform | None, VerifiedQuote]:
        cut = cut_for_memory(raw)
        platform = None if cut is None else self._known.get(cut.digest)
        needs = self._needs_of(raw, cut) if platform is None else platform.needs
        trust, verifier = self._root(needs)
        collateral = trust.collateral.collateral(fmspc=needs.fmspc, ca=needs.ca, tee=needs.tee)
        verified = verify_within_grace(
            lambda when: verifier.verify(raw, collateral, at=when), collateral, self._policy, at=at
        )
        return trust, platform or (None if cut is None else self._known.get(cut.digest)), verified

    def _needs_of(self, raw: bytes, cut: Cut | None) -> Needs:
        """What to fetch for it. Remembered by the platform's digest: to read a chain costs as much as some signatures.

        Nothing is fetched for a chain that its root's holder did not sign: no stranger chooses what is asked for.
        """
        try:
            quote = parse_quote(raw)
        except MalformedEvidence as exc:
            raise _failed("1.1.quote_format", exc) from exc
        try:
            needs = needs_of(quote)
        except (MalformedEvidence, MalformedCollateral) as exc:  # the sender's doing, not ours: it is the quote's
            raise _failed(_unreadable_step(quote), exc) from exc
        prove_certified(quote, self._root(needs)[0].anchor)
        if cut is not None:
            self._known.put(cut.digest, needs)
        return needs

    def _root(self, needs: Needs) -> tuple[Trust, Verifier]:
        """The root that the quote itself names; verification will prove or refute it."""
        found = self._roots.get(needs.root_key)
        if found is None:
            raise NotGenuine(
                "the chain ends at another root",
                step="2.2.pck_chain_anchor",
                code="pck-chain-untrusted",
                seen=f"key {needs.root_key.hex()[:16]}…",
                wanted=" or ".join(trust.anchor.name for trust, _ in self._roots.values()),
                hint="this service does not take evidence of that root",
            )
        return found

    def _issuance(
        self, evidence: Evidence, trust: Trust, appraisal: Appraisal, decision: Decision, *, azure: bool
    ) -> Issuance:
        nonce = evidence.nonce
        issued = decision.at.replace(microsecond=0)
        return Issuance(
            issuer=self._issuer.name_for(simulated=trust.simulated, by_url=evidence.by_url),
            base_url=self._issuer.base_url,
            token_id=self._issuer.new_id(),
            instance_id=self._issuer.instance_id,
            issued_at=issued,
            # A token never outlives what it rests on, or the grace that the policy gives it.
            expires_at=min(issued + self._issuer.token_lifetime, appraisal.holds_until),
            simulated=trust.simulated,
            nonce=None if nonce is None else {"val": nonce.val, "iat": nonce.iat, "signature": nonce.signature},
            runtime_data=evidence.runtime_data,
            user_data=evidence.user_data,
            azure=azure,
            runtime_json=evidence.runtime_json,
            echo=evidence.echo,
            policies=tuple(decision.policies),
        )


def _algorithm(evidence: Evidence, caller: Caller) -> str:
    return evidence.algorithm or caller.default_algorithm or DEFAULT_ALGORITHM


def _failed(step: str, exc: Malformed) -> NotGenuine:
    """What cannot be read cannot be proven: the same answer as from the verifier, whose step this is."""
    return NotGenuine(exc.message, step=step, code=BY_ID[step].code, seen=exc.seen, wanted=exc.wanted, hint=exc.hint)


def _unreadable_step(quote: Quote) -> str:
    """The step that looks at what `needs_of` could not read."""
    if quote.certification.kind != PCK_CERT_CHAIN:
        return "1.2.certification_data"
    try:
        chain = read_pem_chain(quote.certification.data)
    except MalformedCollateral:
        return "2.1.pck_chain_format"
    return "2.12.pck_extension" if len(chain) == CHAIN_LENGTH else "2.1.pck_chain_format"
