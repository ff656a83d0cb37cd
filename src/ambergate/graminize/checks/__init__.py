"""Looking at a manifest for everything that is wrong with it, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.graminize.checks import enclave, files, options, secret, settings
from ambergate.graminize.checks.subject import Subject
from ambergate.graminize.problems import Problem, Severity

if TYPE_CHECKING:
    from ambergate.graminize.checks.subject import Rule
    from ambergate.graminize.source import Manifest

RULES: Final[tuple[Rule, ...]] = (*options.RULES, *settings.RULES, *secret.RULES, *enclave.RULES, *files.RULES)
_ORDER: Final = {severity: place for place, severity in enumerate(Severity)}


def check(
    manifest: Manifest, *, delivery: str | None = None, secret_to: tuple[str, ...] = (), converting: bool = False
) -> list[Problem]:
    """All problems of a manifest, by line.

    Says nothing about what the application does, nor about files that are not on this machine.

    Args:
        manifest: the manifest.
        delivery: how it will be converted; what a converted one says itself counts more.
        secret_to: where the launcher will hand the secret over; what a converted one says counts where this is empty.
        converting: whether it is being converted now.
    """
    subject = Subject.of(manifest, delivery, secret_to=secret_to, converting=converting)
    found = [problem for rule in RULES for problem in rule(subject)]
    return sorted(found, key=lambda problem: (problem.line or 0, _ORDER[problem.severity], problem.rule, problem.key))
