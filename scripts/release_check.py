"""Build what would be released of HEAD, and hold it to all that is promised of it: `make release-check`.

Twice built it is the same to the byte, in other surroundings and from the source distribution too. It installs from
files alone, each by its hash, without extras and with all. What comes along is listed in bills of materials, under
licences that somebody read. What may be released lies in build/release afterwards, with SHA256SUMS.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from scripts.lock import read_requirements
from scripts.release import build, contents, dependencies, installation, sbom
from scripts.release.fault import Fault, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT: Final = Path(__file__).resolve().parents[1]
OUT: Final = PROJECT / "build" / "release"
_INSTALLED: Final = ("bare.txt", "all.txt", "build.txt")  # what the wheelhouse is filled with
_SAMPLE: Final = ("tests/architecture/test_imports.py", "tests/unit/quote", "tests/unit/releasing")


@dataclass
class Check:
    """One run: what it has made so far.

    Attributes:
        project: the checkout.
        out: where what may be released goes.
        work: for everything else.
        told: where progress is told.
        done: what was found, by step.
    """

    project: Path
    out: Path
    work: Path
    told: TextIO
    done: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run all steps, in order.

        Raises:
            Fault: a step found that this may not be released.
        """
        for name, step in self._steps():
            started = time.monotonic()
            print(f"{name:<52}", end="", file=self.told, flush=True)
            self.done[name] = step()
            print(f"ok, {time.monotonic() - started:5.1f} s  {self.done[name]}", file=self.told, flush=True)

    def _steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "the commit that is built", self._commit
        yield "requirements: every file by its hash", self._pins
        yield "licences of all that comes along", self._licences
        yield "build: the same twice, from the sdist too", self._build
        yield "contents: the commit's files, and no others", self._contents
        yield "machines that the compiled wheel is for", self._platform
        yield "bills of materials, by extra", self._bills
        yield "wheelhouse: what is installed, by hash", self._wheelhouse
        yield "offline, bare, the wheel for every machine", lambda: self._bare(self.built.pure)
        yield "offline, bare, the wheel with the shim", lambda: self._bare(self.built.shim)
        yield "offline, bare, from source", self._from_source
        yield "offline, all extras, the wheel for every machine", lambda: self._all(self.built.pure)
        yield "offline, all extras, the wheel with the shim", lambda: self._all(self.built.shim)
        yield "tests of the source distribution", self._tests
        yield "checksums", self._sums

    def _commit(self) -> str:
        self.commit, self.at = build.commit_of(self.project)
        unsaved = build.unsaved(self.project)
        return self.commit[:12] + (f", without what is changed in {len(unsaved)} files" if unsaved else "")

    def _pins(self) -> str:
        self.requirements = {file.name: file.read_text() for file in (self.project / "requirements").glob("*.txt")}
        for name, text in self.requirements.items():
            if loose := dependencies.unpinned(text):
                raise Fault(f"requirements/{name} leaves a choice", seen=loose[0], wanted="==VERSION --hash=sha256:")
        return f"{len(self.requirements)} files"

    def _licences(self) -> str:
        self.licences = dependencies.Licences.from_toml((self.project / "requirements" / "licences.toml").read_text())
        found = dependencies.closure("all")
        faults = dependencies.licence_faults(found, self.licences, read_requirements(self.requirements["all.txt"]))
        for fault in faults[1:]:
            print(f"\n{_sentence(fault)}", file=self.told)
        if faults:
            raise faults[0]
        return f"{len(found)} distributions, {len(self.licences.allowed)} licences"

    def _build(self) -> str:
        tree = build.tree_of(self.project, self.work / "one" / "tree")
        self.tree = contents.files_of(tree)
        self.built = build.build(tree, self.out, at=self.at, surroundings=build.HERE)
        again = build.tree_of(self.project, self.work / "another" / "place" / "of another name")
        other = build.build(again, self.work / "again", at=self.at, surroundings=build.ELSEWHERE)
        build.same(self.built.files, other.files, what="built twice")
        self.unpacked = build.unpacked(self.built.sdist, self.work / "sdist")
        derived = build.build(self.unpacked, self.work / "derived", at=self.at, surroundings=build.HERE)
        build.same(self.built.wheels, derived.wheels, what="built from the source distribution")
        return ", ".join(path.name for path in self.built.files)

    def _contents(self) -> str:
        files = contents.check_sdist(self.built.sdist, self.tree)
        pure = contents.check_wheel(self.built.pure, self.tree, with_shim=False)
        shim = contents.check_wheel(self.built.shim, self.tree, with_shim=True)
        return f"{files} files in the sdist, {pure} and {shim} in the wheels"

    def _platform(self) -> str:
        return build.platform_of(self.built.shim)

    def _bills(self) -> str:
        stem = self.built.sdist.name.removesuffix(".tar.gz")
        counts = sbom.write_all(sbom.environment(self.project), self.out, stem=stem, licences=self.licences)
        return ", ".join(f"{extra} {count}" for extra, count in counts.items())

    def _wheelhouse(self) -> str:
        self.wheels = self.work / "wheelhouse"
        files = [self.project / "requirements" / name for name in _INSTALLED]
        place = installation.Place.made(self.work / "downloads")
        installation.fill(self.wheels, files, place=place, carried=self.project / "wheels")
        if odd := dependencies.unlisted(self.wheels, {name: self.requirements[name] for name in _INSTALLED}):
            raise Fault("the wheelhouse holds other files", seen=", ".join(odd), wanted="those of requirements/")
        for name in _INSTALLED[:2]:
            shutil.copy(self.project / "requirements" / name, self.out / f"requirements-{name}")
        return f"{len(list(self.wheels.iterdir()))} files"

    def _bare(self, wheel: Path) -> str:
        place = installation.Place.made(self.work / f"bare-{wheel.stem}")
        requirements = self.project / "requirements" / "bare.txt"
        installation.install_wheel(place, wheel, extra="", requirements=requirements, wheelhouse=self.wheels)
        shim = installation.shim_of(place)
        if (shim != "none") is not (wheel == self.built.shim):
            raise Fault(f"{wheel.name}: the shim is not what the wheel says", seen=shim, wanted="as in its name")
        return f"a quote verified: {installation.use_bare(place)}"

    def _from_source(self) -> str:
        place = installation.Place.made(self.work / "source")
        requirements = self.project / "requirements" / "bare.txt"
        installation.install_sdist(place, self.built.sdist, requirements=requirements, wheelhouse=self.wheels)
        return f"a quote verified: {installation.use_bare(place)}"

    def _all(self, wheel: Path) -> str:
        place = installation.Place.made(self.work / f"all-{wheel.stem}")
        requirements = self.project / "requirements" / "all.txt"
        installation.install_wheel(place, wheel, extra="all", requirements=requirements, wheelhouse=self.wheels)
        return installation.use_all(place)

    def _tests(self) -> str:
        """Those of the sdist, in its own tree: all are found, and a sample runs."""
        environ = {
            **os.environ,
            "PYTHONPATH": str(self.unpacked / "src"),
            "PATH": f"{build.tool('')}:{os.environ['PATH']}",
        }
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        wanted = "tests that need nothing but the source distribution"
        found = run([*pytest, "--collect-only"], cwd=self.unpacked, environ=environ, wanted=wanted)
        run([*pytest, *_SAMPLE], cwd=self.unpacked, environ=environ, wanted=wanted)
        return found.strip().splitlines()[-1].split(" in ")[0]

    def _sums(self) -> str:
        files = sorted(path for path in self.out.iterdir() if path.name != "SHA256SUMS")
        lines = [f"{build.digest(path)}  {path.name}\n" for path in files]
        (self.out / "SHA256SUMS").write_text("".join(lines))
        return f"{len(files)} files in {self.out}"


def main() -> int:
    """Run it, and tell: exit code 0 when all of it may be released."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where to put what may be released (default %(default)s)")
    parser.add_argument(
        "--json", action="store_true", help="print the outcome as JSON; progress goes to standard error"
    )
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="amber-release-") as work:
        check = Check(PROJECT, arguments.out, Path(work), sys.stderr if arguments.json else sys.stdout)
        error = None
        try:
            check.run()
        except Fault as fault:
            error = fault
            shutil.rmtree(arguments.out, ignore_errors=True)  # what failed is not for release
            print(f"\n{_sentence(fault)}", file=sys.stderr)
    if arguments.json:
        outcome = {"ok": error is None, "steps": check.done, "error": error.as_dict() if error else None}
        print(json.dumps(outcome, indent=1))
    return 0 if error is None else 1


def _sentence(fault: Fault) -> str:
    parts = [f"error: {fault.message}"]
    parts += [f"  {name + ':':<8}{text}" for name, text in (("seen", fault.seen), ("wanted", fault.wanted)) if text]
    return "\n".join([*parts, f"  next:   {fault.hint}"] if fault.hint else parts)


if __name__ == "__main__":
    sys.exit(main())
