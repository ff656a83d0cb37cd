"""A differential run: mutants drawn by seed, judged by both verifiers, on every processor."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from fuzz.case import Case
from fuzz.choices import choice_of
from fuzz.judges import MAX_SECONDS, quietly
from fuzz.mutants import mutant
from fuzz.platforms import draw_specimens
from fuzz.specimens import genuine_specimens

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 200  # cases drawn from one seed, and from one set of simulated platforms
_PLATFORMS: Final = 6  # drawn for a chunk; each has evidence of an enclave and of a TD


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that no choice explains, and what is wrong with it."""

    what: str
    case: Case


@dataclass(slots=True)
class Tally:
    """What came of some cases."""

    cases: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)  # both accept, both refuse, differ by choice
    choices: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)  # where ours refused
    slowest: float = 0.0  # seconds of CPU
    findings: list[Finding] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Count a case; keep it if it is a finding."""
        self.cases += 1
        self.slowest = max(self.slowest, case.ours.seconds)
        if not case.ours.accepted:
            self.steps[case.ours.where] += 1
        what = judge(case)
        if what.startswith("finding: "):
            bare = Case(triple=case.triple, ours=case.ours, theirs=case.theirs)  # without the facts: they do not travel
            self.findings.append(Finding(what.removeprefix("finding: "), bare))
        verdict, _, name = what.partition(": ")
        self.verdicts[verdict] += 1
        if verdict == "choice":
            self.choices[name] += 1

    def merge(self, other: Tally) -> None:
        """Add what came of other cases."""
        self.cases += other.cases
        self.verdicts += other.verdicts
        self.choices += other.choices
        self.steps += other.steps
        self.slowest = max(self.slowest, other.slowest)
        self.findings += other.findings


def judge(case: Case) -> str:
    """`both accept`, `both refuse`, `choice: NAME`, or `finding: what is wrong`."""
    if case.ours.stray:
        return f"finding: an error that is not ours, {case.ours.why}"
    if case.ours.seconds > MAX_SECONDS:
        return f"finding: {case.ours.seconds:.1f} s of CPU"
    if case.same:
        return "both accept" if case.ours.accepted else "both refuse"
    choice = choice_of(case)
    if choice is not None:
        return f"choice: {choice.name}"
    return "finding: the verifiers differ, and no choice says why"


def run_chunk(seed: str, chunk: int, cases: int) -> Tally:
    """The cases of one chunk; the same seed and chunk draw the same mutants (signatures of simulated ones apart)."""
    rng = Random(f"{seed}/{chunk}")
    genuine = genuine_specimens()
    simulated = [each for _ in range(_PLATFORMS) for each in draw_specimens(rng)]
    pool = [*genuine, *simulated]
    tally = Tally()
    with quietly():
        for _ in range(cases):
            family = genuine if genuine and rng.random() < 0.5 else simulated
            tally.add(Case.judged(mutant(rng, rng.choice(family), pool)))
    return tally


def run(seed: str, cases: int, *, workers: int | None = None) -> Iterator[Tally]:
    """The tallies of all chunks, as they come in.

    Args:
        seed: what everything is drawn from.
        cases: how many mutants.
        workers: processes; one per processor when not given.
    """
    chunks = [(number, min(CHUNK, cases - start)) for number, start in enumerate(range(0, cases, CHUNK))]
    with ProcessPoolExecutor(max_workers=workers or os.cpu_count()) as pool:
        futures = [pool.submit(run_chunk, seed, number, size) for number, size in chunks]
        for future in as_completed(futures):
            yield future.result()
