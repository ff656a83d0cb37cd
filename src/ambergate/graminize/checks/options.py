"""Rules about Gramine's own options: what its closed schema refuses, and what earlier releases called otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.client.loading import MANIFEST_KEYS
from ambergate.graminize.application import amber_keys
from ambergate.graminize.deprecated import old_options
from ambergate.graminize.problems import Problem, Severity
from ambergate.graminize.schema import violations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.graminize.checks.subject import Subject

_ARGUMENTS: Final = ("argv", "argv_src_file", "insecure__use_cmdline_argv")


def old(subject: Subject, /) -> Iterator[Problem]:
    """Options of earlier Gramines."""
    for option in old_options(subject.manifest.document):
        yield subject.problem(
            "deprecated",
            option.path,
            "is an option of an earlier Gramine",
            seen=".".join(option.path),
            wanted=option.instead,
            why="Gramine 1.9 refuses it",
            severity=Severity.ERROR if option.mend is None else Severity.CONVERTED,
        )


def amber_keys_refused(subject: Subject, /) -> Iterator[Problem]:
    """The `sgx.amber_*` settings, which only a Gramine with the client in it knows."""
    known = [key for key in amber_keys(subject.manifest.document) if key in MANIFEST_KEYS]
    if known and subject.delivery != "native":
        yield subject.problem(
            "stock-gramine",
            ("sgx", known[0]),
            "is no key that stock Gramine knows"
            if len(known) == 1
            else f"and {len(known) - 1} more are not stock keys",
            seen=", ".join(f"sgx.{key}" for key in known),
            wanted="loader.env.AMBER_*, as amber manifest convert writes them",
            why="gramine-manifest and gsc build refuse the manifest",
            severity=Severity.CONVERTED,
        )


def schema(subject: Subject, /) -> Iterator[Problem]:
    """Everything else that Gramine's own check would refuse."""
    ours = {("sgx", key) for key in amber_keys(subject.document)}
    for each in violations(subject.document):
        if each.path not in ours:
            yield subject.problem(
                "schema",
                each.path,
                each.message,
                seen=each.seen,
                wanted=each.wanted,
                why="gramine-manifest and gsc build refuse the manifest",
            )


def arguments(subject: Subject, /) -> Iterator[Problem]:
    """Gramine takes arguments from one place."""
    loader = subject.get("loader", default={})
    given = [name for name in _ARGUMENTS if isinstance(loader, dict) and loader.get(name) not in (None, False)]
    if len(given) > 1:
        yield subject.problem(
            "arguments",
            ("loader", given[1]),
            "gives arguments a second time",
            seen=", ".join(f"loader.{name}" for name in given),
            wanted="one of them",
            why="Gramine does not start",
        )


RULES: Final = (old, amber_keys_refused, schema, arguments)
