"""An explanation as text for people."""

from __future__ import annotations

import textwrap
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ambergate.core.verify.explain import Explanation, Refusal, TcbExplanation
    from ambergate.core.verify.gaps import Gap, HigherLevel, Improvement
    from ambergate.core.verify.path import Link

_WIDTH: Final = 116  # columns
_NAMES: Final = {
    "platform": "platform level",
    "tdx-module": "TDX module",
    "relaunch": "relaunch rule",
    "quoting-enclave": "quoting enclave",
}


def tell(explanation: Explanation) -> str:
    """The whole of it."""
    kind = "Intel's root" if explanation.genuine_hardware else "a software platform's root, not Intel's"
    lines = _wrapped(
        "", f"A genuine {explanation.tee} quote at {_when(explanation.at)}, under {explanation.anchor} ({kind})."
    )
    lines += ["", "Who vouches for what"]
    for number, link in enumerate(explanation.path, start=1):
        lines += _wrapped(f"{number:3}. ", _link(link))
    lines += ["", "How long it holds"]
    lines += _wrapped(
        "  ",
        f"all of it from {_when(explanation.window.not_before)} to {_when(explanation.window.not_after)}; "
        f"{explanation.ends_first.what} ends first ({explanation.ends_first.step})",
    )
    ends = dict.fromkeys(f"{_when(each.window.not_after)}  {each.what}" for each in explanation.dates)
    lines += [f"    {end}" for end in ends]
    lines += ["", *_tcb(explanation.tcb), "", "Not proven by any of this"]
    for each in explanation.not_proven:
        lines += _wrapped("  - ", each)
    return "\n".join(lines)


def tell_refusal(refusal: Refusal) -> str:
    """What failed, what it would have proven, and what to do."""
    lines = [f"Not genuine: step {refusal.step} ({refusal.code}) did not hold."]
    rows = (
        ("would prove", refusal.would_prove),
        ("because", refusal.message),
        ("seen", refusal.seen),
        ("wanted", refusal.wanted),
        ("source", refusal.source),
        ("next", refusal.remedy),
    )
    for label, value in rows:
        if value is not None:
            lines += _wrapped(f"  {label + ':':13}", value)
    if refusal.held:
        lines += _wrapped("  held:        ", ", ".join(refusal.held))
    if refusal.not_looked_at:
        lines += _wrapped("  unknown:     ", f"{len(refusal.not_looked_at)} later steps were not looked at")
    return "\n".join(lines)


def _link(link: Link) -> str:
    told = f"{link.by} → {link.of}: {link.says}."
    if link.serial is not None:
        told += f" Serial {link.serial}."
    if link.window is not None:
        told += f" From {_when(link.window.not_before)} to {_when(link.window.not_after)}."
    steps = ", ".join(".".join(step.split(".")[:2]) for step in link.steps)
    return told + f" [{link.word_of}" + (f"; {steps}]" if steps else "]")


def _tcb(tcb: TcbExplanation) -> Iterator[str]:
    yield f"TCB status: {tcb.status.value} (level of {tcb.date.date().isoformat()}), stated by the anchor's holder"
    yield from _wrapped("  advisories: ", ", ".join(tcb.advisory_ids) or "none")
    yield f"  evaluation: TCB info {tcb.evaluation_data_number}, QE identity {tcb.qe_evaluation_data_number}"
    before = None
    for merge in tcb.merges:
        verb = "" if before is None else "stays " if merge.gives is before else "becomes "
        before = merge.gives
        yield f"  {_NAMES[merge.rule]:16} {merge.found.value:34} → {verb}{merge.gives.value}"
    limits = " and ".join(_NAMES[part] for part in tcb.limited_by)
    yield f"  limited by {limits}" if limits else "  limited by nothing: every part is up to date"
    if tcb.not_covered:
        yield "  higher levels that it does not reach"
    for level in tcb.not_covered:
        yield from _level(level)
    yield from _better(tcb)
    for need in tcb.needs:
        yield from _wrapped("  asks for: ", need)


def _level(level: HigherLevel) -> Iterator[str]:
    lacks = ", ".join(f"{gap.part} by {gap.behind} (has {gap.have}, needs {gap.need})" for gap in level.gaps)
    lead = f"{_NAMES[level.of]} of {level.date.date().isoformat()}, {level.status.value}"
    yield from _wrapped("    - ", f"{lead}: behind in {lacks}")


def _better(tcb: TcbExplanation) -> Iterator[str]:
    if tcb.next_better is None or tcb.best is None:
        yield "  no update that this collateral knows of gives a better status"
        return
    yield from _improvement("the least that gives a better status", tcb.next_better)
    if tcb.best == tcb.next_better:
        yield "  no update that this collateral knows of gives a better one still"
    else:
        yield from _improvement("the best within reach", tcb.best)
    if any(gap.part.startswith(("SGX", "PCE")) for gap in tcb.best.raises):
        yield from _wrapped(
            "  note: ",
            "SGX components and PCE count as the PCK certificate states them: after the update the platform needs a "
            "PCK certificate for its new TCB (PCS `pckcert`); if it is updated already, it needs only that",
        )


def _improvement(words: str, improvement: Improvement) -> Iterator[str]:
    yield f"  {words}: {improvement.status.value}, by"
    for gap in improvement.raises:
        yield from _wrapped("    - ", f"{_gap(gap)}: {gap.remedy}")


def _gap(gap: Gap) -> str:
    named = ", ".join(word for word in (gap.category, gap.type) if word)
    return f"{gap.part}{f' ({named})' if named else ''} has SVN {gap.have}, needs {gap.need}: {gap.behind} behind"


def _wrapped(lead: str, text: str) -> list[str]:
    """Lines of bounded width. What was seen may come from an attacker: nothing of it reaches a terminal as control."""
    plain = "".join(each if each.isprintable() or each.isspace() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [lead.rstrip()]


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
