"""Mutation testing of `core/verify`: one thing of the code is changed at a time, and a test must notice.

    python -m scripts.mutate [--only tcb.py] [--jobs 2] [--list]

What is changed is `scripts/mutants.py`'s affair. Outcomes are kept in build/mutants.jsonl, by the text around each
mutant: a second run takes up what is new, and what survived. The tests are collected once; a mutant inside a function
is put into a forked copy of that process, and meets only the tests that run its line, quick ones and proven killers
first. A mutant outside of functions gets a process of its own, in which its module is imported as changed.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

import coverage
import pytest
from scripts.mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec

PROJECT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = PROJECT / "src" / "ambergate" / "core" / "verify"
# Not mutated: the tables of words, which docs/checks.md is compared with, and the sentences of explanations.
WORDS: Final = ("__init__.py", "steps.py", "telling.py")
TESTS: Final = ("tests/unit/verify", "tests/faults")
BUILD: Final = PROJECT / "build"
OUTCOMES: Final = BUILD / "mutants.jsonl"
LINES: Final = BUILD / "mutants.coverage"  # which test runs which line
_PLUGINS: Final = ("no:xdist", "no:cov", "no:cacheprovider", "no:terminal")
OPTIONS: Final = ("-s", "-o", "addopts=--import-mode=importlib", *(f"-p{name}" for name in _PLUGINS))
SLOW: Final = 0.3  # seconds: a test that takes longer comes last
PATIENCE: Final = 15  # seconds, beside four times what the tests usually take
KILLED: Final = ("killed", "timed out")


class Outcomes:
    """What became of each mutant, on disk."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        if OUTCOMES.exists():
            for line in OUTCOMES.read_text().splitlines():
                entry = json.loads(line)
                self.known[entry["id"]] = entry

    def killed(self, mutant: Mutant) -> bool:
        return self.known.get(mutant.id, {}).get("outcome") in KILLED

    def put(self, mutant: Mutant, outcome: str, by: str) -> None:
        entry = {"id": mutant.id, "where": mutant.where, "what": mutant.what, "outcome": outcome, "by": by}
        self.known[mutant.id] = entry
        with OUTCOMES.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        if outcome not in KILLED:
            print(f"{outcome}: {mutant.where}: {mutant.what}", flush=True)


class Order:
    """Collects what pytest reports, and puts the tests that take long behind the others."""

    def __init__(self) -> None:
        self.failed = ""
        self.took: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] += report.duration  # type: ignore[assignment]  # Counter adds fractions as well
        if report.failed:
            self.failed = report.nodeid

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: "hypothesis" in item.keywords)


class Runner(Order):
    """Runs mutants where pytest would run its tests."""

    def __init__(self, todo: Sequence[Mutant], outcomes: Outcomes, jobs: int) -> None:
        super().__init__()
        self.todo, self.outcomes, self.jobs = todo, outcomes, jobs
        self.kills: Counter[str] = Counter()
        self.running: dict[int, tuple[Mutant, int]] = {}
        self.lines = coverage.CoverageData(str(LINES))
        self.lines.read()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        _run(session.items, self)  # without any mutant, for how long they take
        if self.failed:
            pytest.exit(f"{self.failed} fails without any mutant", returncode=2)
        functions = _functions()
        for number, mutant in enumerate(self.todo, 1):
            if number % 50 == 0:
                print(f"{number} of {len(self.todo)}", file=sys.stderr, flush=True)
            self._start(mutant, self._chosen(session.items, mutant), functions)
            while len(self.running) >= self.jobs:
                self._reap()
        while self.running:
            self._reap()
        return True

    def _chosen(self, items: Iterable[pytest.Item], mutant: Mutant) -> list[pytest.Item]:
        """The tests that run a mutant's lines; those that use what a file's shared fixtures made there as well."""
        by_line = self.lines.contexts_by_lineno(str(mutant.path))
        contexts = {context for line in mutant.lines for context in by_line.get(line, ())}
        called = {context.removesuffix("|run") for context in contexts}
        shared = {context.split("::")[0] for context in contexts if context.endswith("|setup")}
        chosen = [item for item in items if item.nodeid in called or item.nodeid.split("::")[0] in shared]
        return sorted(chosen, key=lambda i: (self.took[i.nodeid] > SLOW, -self.kills[i.nodeid], self.took[i.nodeid]))

    def _start(
        self, mutant: Mutant, items: list[pytest.Item], functions: dict[tuple[str, str, int], list[FunctionType]]
    ) -> None:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            meets = [item.nodeid for item in items] if mutant.function else list(self.took)
            signal.alarm(int(4 * sum(self.took[name] for name in meets)) + PATIENCE)
            if mutant.function is None:
                os.close(read)
                os.dup2(write, 1)
                os.execv(sys.executable, [sys.executable, "-m", "scripts.mutate", "--one", mutant.id])
            try:
                os._exit(self._try(mutant, items, functions, write))
            except BaseException as exc:  # noqa: BLE001  whatever it is, this process must not go on as its parent
                os.write(write, repr(exc).encode())
                os._exit(1)
        os.close(write)
        self.running[pid] = (mutant, read)

    def _try(
        self,
        mutant: Mutant,
        items: list[pytest.Item],
        functions: dict[tuple[str, str, int], list[FunctionType]],
        write: int,
    ) -> int:
        """In the forked process: 1 if a test notices."""
        for code in _codes(mutant.code):
            for function in functions.get((str(mutant.path), code.co_qualname, code.co_firstlineno), ()):
                function.__code__ = code
        _run(items, self)
        os.write(write, self.failed.encode())
        return 1 if self.failed else 0

    def _reap(self) -> None:
        pid, status = os.wait()
        mutant, read = self.running.pop(pid)
        with os.fdopen(read, "rb") as pipe:
            by = pipe.read().decode(errors="replace").strip().rpartition("\n")[2]
        if os.WIFSIGNALED(status):
            outcome = "timed out" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
        else:
            outcome = "killed" if os.WEXITSTATUS(status) else "survived"
        self.kills[by] += 1
        self.outcomes.put(mutant, outcome, by)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module as a mutant has it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if fullname != f"ambergate.core.verify.{self.mutant.path.stem}":
            return None
        return importlib.util.spec_from_file_location(fullname, self.mutant.path, loader=self)

    def get_source(self, fullname: str) -> None:
        """Nothing that would be the mutant's."""

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return self.mutant.code


def _run(items: Sequence[pytest.Item], order: Order) -> None:
    """One test after another, until one fails."""
    for item, after in zip(items, [*items[1:], None], strict=False):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if order.failed:
            return


def _functions() -> dict[tuple[str, str, int], list[FunctionType]]:
    """The functions of the code under test, by file, name and line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(SOURCES)):
            code = each.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(each)
    return found


def _codes(code: CodeType) -> Iterable[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _measure() -> None:
    """Which test runs which line; not again while neither tests nor code have changed."""
    sources = [path for folder in (SOURCES, *map(Path, TESTS)) for path in folder.rglob("*.py")]
    if LINES.exists() and LINES.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    LINES.unlink(missing_ok=True)
    command = ["-q", "-p", "no:xdist", "--cov=ambergate.core.verify", "--cov-context=test", "--cov-report=", *TESTS]
    environment = {**os.environ, "COVERAGE_FILE": str(LINES)}
    rest = ["--cov-fail-under=0", f"--cov-config={os.devnull}"]
    subprocess.run([sys.executable, "-m", "pytest", *command, *rest], cwd=PROJECT, env=environment, check=True)


def _one(mutant: Mutant) -> int:
    """In a process of its own: 1 if a test notices."""
    sys.meta_path.insert(0, Changed(mutant))
    order = Order()
    found = pytest.main([*OPTIONS, "-x", *TESTS], plugins=[order])
    print(f"\n{order.failed or 'nobody'}" if found == pytest.ExitCode.TESTS_FAILED else f"\nno run: {found}")
    return 0 if found == pytest.ExitCode.OK else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="a file of core/verify; may be given again")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the mutants that are known to survive, and stop")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.chdir(PROJECT)
    BUILD.mkdir(exist_ok=True)
    paths = sorted(path for path in SOURCES.glob("*.py") if path.name not in WORDS)
    mutants = [m for p in paths if not arguments.only or p.name in arguments.only for m in mutants_of(p)]
    if arguments.one:
        return _one(next(mutant for mutant in mutants if mutant.id == arguments.one))
    outcomes = Outcomes()
    todo = [mutant for mutant in mutants if not outcomes.killed(mutant)]
    todo.sort(key=lambda mutant: mutant.function is None)  # those that cost a process of their own come last
    if not arguments.list and todo:
        print(f"{len(mutants)} mutants, {len(todo)} of them to try", flush=True)
        _measure()
        pytest.main([*OPTIONS, *TESTS], plugins=[Runner(todo, outcomes, arguments.jobs)])
    alive = [mutant for mutant in mutants if not outcomes.killed(mutant)]
    for mutant in alive:
        print(f"{mutant.id} {mutant.where}: {mutant.what}")
    print(f"{len(mutants)} mutants, {len(mutants) - len(alive)} killed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
