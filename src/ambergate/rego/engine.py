"""`RegoEngine`: judges policies in Rego, each evaluation in a fresh interpreter in a worker process.

    with RegoEngine() as engine:
        outcome = engine.evaluate(policy, evidence_claims(verified), at=now)

What it proves is that the policy, as OPA would read it, matches these claims; a policy that the interpreter would read
in another way does not load (`lexer.py`, `program.py`, `reads.py`). What goes wrong is an outcome without a match.

An evaluation is remembered by the policy's text and the claims that it reads: the same question has the same answer. A
policy that reads the clock is asked anew each time, and sees the instant that it is judged at.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from ambergate.core.appraise.evidence import CLAIMS, OF_EACH
from ambergate.core.appraise.named import PolicyLanguage, PolicyOutcome
from ambergate.core.errors import MalformedPolicy, SettingsError, Unavailable
from ambergate.core.verify.recent import Recent
from ambergate.rego import verdict
from ambergate.rego.conjuncts import failing, probe_module, probes_of
from ambergate.rego.lexer import malformed
from ambergate.rego.module import PACKAGE, Module, policy_line
from ambergate.rego.pool import Limits, Pool, WorkerFailed
from ambergate.rego.program import Program, read_program
from ambergate.rego.strikes import ALLOWED, PAUSE, Strikes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ambergate.core.appraise.named import Policy, PolicyKind
    from ambergate.core.appraise.rules import Mismatch

MAX_CACHED: Final = 10_000  # outcomes; each takes below 2 KiB, but for what a policy exports (8 KiB at most)
MAX_PROGRAMS: Final = 256  # policies that were read; each takes below 4 MiB, most below 100 KiB
CHECK_SHARE: Final = 0.5  # of the deadline: what just makes it when it is checked would not when it is needed
_LIBRARY: Final = "install what it is linked to (Debian package libatomic1)"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The interpreter's words for what it cannot read: (error N:p.rego|OFFSET|LENGTH (errormsg N:TEXT)
_ERROR: Final = re.compile(r"\(error \d+:p\.rego\|(\d{1,8})\|\d+\s+\(errormsg \d+:([^\n()]{1,200})")
DETAILS_SHARE: Final = 0.25  # of the deadline: a refusal does not wait long for its reasons
MAX_TOLD: Final = 16  # mismatches of one outcome that name an expression
_SAMPLE: Final = {str: "0" * 64, int: 1, bool: False, list: ["INTEL-SA-00001"], dict: {}}


class Reading(NamedTuple):
    """A policy that was read."""

    program: Program
    module: Module


class RegoEngine:
    """Fits `PolicyEngine`. Safe to share between threads; ends its workers when it is closed.

    Args:
        workers: how many policies run at once. One that does not come to an end holds up one of them, until its
            deadline.
        limits: what one evaluation may cost.
        max_cached: how many outcomes are remembered; 0: none.
        clock: seconds of a clock that only goes forward; counts the pauses of `strikes.py`.

    Raises:
        SettingsError: regopy is not installed.
        ValueError: no worker, or too many.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        limits: Limits | None = None,
        max_cached: int = MAX_CACHED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if find_spec("regopy") is None:
            raise SettingsError("policies in Rego need regopy", hint="pip install 'ambergate[rego]'")
        self._pool = Pool(workers, limits or Limits())
        self._strikes = Strikes(clock)
        self._outcomes: Recent[bytes, verdict.Verdict] = Recent(max_cached)
        self._readings: Recent[tuple[bytes, PolicyKind], Reading] = Recent(MAX_PROGRAMS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def evaluate(self, policy: Policy, claims: Mapping[str, object], /, *, at: datetime) -> PolicyOutcome:
        """What the policy says of these claims at this instant (aware); see `PolicyEngine`."""
        try:
            found = self._judge(policy, claims, at)
        except MalformedPolicy as exc:
            found = verdict.refused("policy", exc.message, "a policy that loads")
        except WorkerFailed as exc:
            found = verdict.refused("policy", exc.message, "an answer")
        return _outcome(policy, found)

    def recall(self, policy: Policy, claims: Mapping[str, object], /) -> PolicyOutcome | None:
        """What `evaluate` would say, if that is remembered; None: ask it, and wait for a worker."""
        reading = self._readings.get((policy.hash, policy.kind))
        if reading is None or reading.program.reads_clock:
            return None
        try:
            found = self._outcomes.get(_key(policy, reading.program, claims))
        except WorkerFailed:
            return None
        return None if found is None else _outcome(policy, found)

    def lasts(self, policy: Policy, /) -> bool:
        """Whether what it said of this policy holds for all evidence of a kind, and at any instant.

        So it is of one that reads neither the clock nor a claim that differs within a kind.
        """
        reading = self._readings.get((policy.hash, policy.kind))
        if reading is None or reading.program.reads_clock:
            return False
        claims = reading.program.claims
        return claims is not None and claims.isdisjoint(OF_EACH)

    def check(self, policy: Policy, /) -> None:
        """Returns if the policy can be judged by: it was read, and it gave an answer to claims made up for it.

        Raises:
            MalformedPolicy: it cannot; says in which line, where that is known.
            Unavailable: no worker was free to try it.
        """
        reading = self._read(policy)
        kinds = {name: _SAMPLE[kind] for name, kind in CLAIMS.items()}
        for claims in ({}, {**kinds, "attester_type": "SGX"}, {**kinds, "attester_type": "TDX"}):
            module = reading.module.at(0)
            try:
                answer = self._ask(module, reading.program, claims, share=CHECK_SHARE)
            except WorkerFailed as exc:
                if not exc.blame:
                    hint = _LIBRARY if "libatomic" in exc.message else None
                    raise Unavailable("the policy could not be tried", seen=exc.message, hint=hint) from exc
                raise MalformedPolicy("the policy gives no answer", seen=exc.message) from exc
            if "error" in answer:
                raise _unread(module, str(answer["error"]))
            if "value" not in answer:
                raise MalformedPolicy("the policy gives no answer", seen=answer.get("refused"))

    def notes(self, policy: Policy) -> tuple[str, ...]:
        """What a person should know of a policy that loads.

        Raises:
            MalformedPolicy: it does not.
        """
        return self._read(policy).program.notes

    def _read(self, policy: Policy) -> Reading:
        if policy.language is not PolicyLanguage.REGO:
            raise MalformedPolicy("the policy is not in Rego", seen=policy.language.value, wanted="rego")
        key = (policy.hash, policy.kind)
        reading = self._readings.get(key)
        if reading is None:
            program = read_program(policy.text, policy.kind)
            reading = Reading(program, Module(program))
            self._readings.put(key, reading)
        return reading

    def _judge(self, policy: Policy, claims: Mapping[str, object], at: datetime) -> verdict.Verdict:
        reading = self._read(policy)
        if reading.program.reads_clock:
            return self._run(policy, reading, claims, at)
        key = _key(policy, reading.program, claims)
        found = self._outcomes.get(key)
        if found is None:
            found = self._run(policy, reading, claims, at)
            self._outcomes.put(key, found)
        return found

    def _run(self, policy: Policy, reading: Reading, claims: Mapping[str, object], at: datetime) -> verdict.Verdict:
        """Raises `WorkerFailed` where asking again may have another answer: that is not remembered."""
        nanoseconds = (at - _EPOCH) // timedelta(microseconds=1) * 1000
        name = policy.hash
        if self._strikes.pausing(name):
            raise WorkerFailed(
                f"it was ended {ALLOWED} times in a row, and is left alone for {PAUSE:.0f} s", blame=True
            )
        try:
            answer = self._ask(reading.module.at(nanoseconds), reading.program, claims)
        except WorkerFailed as exc:
            if exc.blame:
                self._strikes.ended(name)
            raise
        self._strikes.answered(name)
        value = answer.get("value")
        if not isinstance(value, dict):
            return verdict.refused("policy", str(answer.get("refused", "the interpreter cannot read it")), "one answer")
        found = verdict.of(reading.program, policy.kind, value)
        if found.matched or not found.failed:
            return found
        return found.with_details(self._details(reading, claims, found.failed, nanoseconds))

    def _details(
        self, reading: Reading, claims: Mapping[str, object], rules: frozenset[str], nanoseconds: int
    ) -> list[Mismatch]:
        probes = probes_of(reading.program, rules)
        try:
            asked = probe_module(reading.module, probes, nanoseconds)
            answer = self._ask(asked, reading.program, claims, share=DETAILS_SHARE)
        except WorkerFailed:
            return []  # the refusal stands without them
        value = answer.get("value")
        return failing(reading.program, probes, value, claims)[:MAX_TOLD] if isinstance(value, dict) else []

    def _ask(
        self, module: str, program: Program, claims: Mapping[str, object], *, share: float = 1.0
    ) -> dict[str, object]:
        request = {"module": module, "input": _input(program, claims), "query": f"data.{PACKAGE}"}
        try:
            return self._pool.ask(request, share=share)
        except (TypeError, ValueError, RecursionError) as exc:
            raise WorkerFailed("the claims are no JSON", blame=True) from exc


def _outcome(policy: Policy, found: verdict.Verdict) -> PolicyOutcome:
    return PolicyOutcome(policy=policy, matched=found.matched, mismatches=found.mismatches, exports=dict(found.exports))


def _input(program: Program, claims: Mapping[str, object]) -> dict[str, object]:
    """The claims as the policy's dialect has them."""
    if not program.v2:
        return dict(claims)
    tee = str(claims.get("attester_type", "")).lower()
    debug = claims.get(f"{tee}_is_debuggable")
    status = {} if debug is None else {"dbgstat": "enabled" if debug else "disabled"}
    return {tee: {**claims, **status}} if tee else {}


def _key(policy: Policy, program: Program, claims: Mapping[str, object]) -> bytes:
    """What the outcome depends on, as one digest. The kind of evidence always counts: in V2 it names the object."""
    read = claims if program.claims is None else {name: claims[name] for name in program.claims if name in claims}
    named = {**read, "attester_type": claims.get("attester_type")}
    try:
        text = json.dumps([policy.kind.value, named], sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise WorkerFailed("the claims are no JSON", blame=True) from exc
    return policy.hash + hashlib.sha256(text.encode()).digest()


def _unread(module: str, error: str) -> MalformedPolicy:
    match = _ERROR.search(error)
    if match is None:
        return MalformedPolicy("the interpreter cannot read the policy")
    offset = len(module.encode()[: int(match.group(1))].decode(errors="ignore"))
    return malformed(f"the interpreter cannot read this: {match.group(2).lower()}", policy_line(module, offset))
