"""`python -m bench.latency`: how long the files take to be read, and how long a program takes to start with them.

    fuse_root, fuse_user   FUSE, mounted by root, and in a user namespace
    shim                   the shim and its agent
    start_*                `amber run` until the program's first instruction, less the same by the interpreter alone
    agent_*                what the agent brings into an enclave: until it answers, and with TLS and HTTP behind that

One read is open, read to the end and close of `status`, ready content, by a client in C. Opens are microseconds by the
clock on the wall, medians over interleaved rounds. Starts are milliseconds by that clock, imports milliseconds of CPU,
the least of all rounds: what else runs on the machine only adds. Printed beside what they should reach, and added to
build/bench.json as `files`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.files.building import STARTER, agent_of, readers, sight, why_not

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "bench.json"
_AMBER: Final = (sys.executable, "-m", "ambergate.cli")
_BECOME: Final = (sys.executable, "-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])")
_AGENT: Final = "ambergate.devices.agent, ambergate.devices.model, ambergate.client.loading, ambergate.attester.detect"
_CLIENT: Final = f"{_AGENT}, ambergate.client.session"
_IMPORT: Final = "import time; began = time.process_time(); import {}; print(time.process_time() - began)"
_CLIENTS: Final = 8
_OPENS: Final = 1000  # by one client in one round

# Figure -> what it should reach.
TO_REACH: Final[Mapping[str, float]] = {
    "fuse_root_p50_us": 250,
    "fuse_root_p99_us": 600,
    "fuse_user_to_root": 1.2,
    "fuse_8_clients_p50_us": 1500,
    "fuse_beside_blocked_p99_us": 20_000,
    "shim_p50_us": 100,
    "shim_p99_us": 250,
    "start_fuse_ms": 100,
    "start_shim_ms": 100,
    "agent_import_ms": 60,
    "agent_rss_kib": 25 * 1024,
}

# $R: the readers; $N: opens. Each line that is printed is the time of one open.
_ONE: Final = '"$R" open /dev/amber/status "$N"'
_EIGHT: Final = f'for i in {" ".join(map(str, range(_CLIENTS)))}; do {_ONE} > "$D/$i" & done; wait; cat "$D"/[0-7]'
_BESIDE: Final = (
    'printf wait > /dev/amber/userdata; mkfifo "$D/fifo"; "$R" wait /dev/amber/token > "$D/fifo" & exec 3< "$D/fifo"; '
    f'read line <&3; {_ONE}; kill -KILL $!; rm "$D/fifo"'
)
_CASES: Final[Mapping[str, tuple[str, str, str]]] = {  # name -> delivery, user, script
    "fuse_root": ("fuse", "root", _ONE),
    "fuse_user": ("fuse", "user", _ONE),
    "fuse_8_clients": ("fuse", "any", _EIGHT),
    "fuse_beside_blocked": ("fuse", "any", _BESIDE),
    "shim": ("shim", "any", _ONE),
    "shim_beside_blocked": ("shim", "any", _BESIDE),
}


def main() -> None:
    """Measure, print the table, add it to build/bench.json."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description="Measure the files.")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7, about a minute)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="where the figures go (default build/bench.json)")
    arguments = parser.parse_args()
    figures, skipped = measure(arguments.rounds)
    written = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
    written["files"] = {**figures, "rounds": arguments.rounds, "skipped": skipped}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    print(f"the files, {arguments.rounds} interleaved rounds\n")
    for name, figure in figures.items():
        print(f"  {name:28} {figure:>9}{_beside(name, figure)}")
    for line in skipped:
        print(f"  not measured: {line}")


def _beside(name: str, figure: float) -> str:
    wanted = TO_REACH.get(name)
    return "" if wanted is None else f"  to reach {wanted:g}{'' if figure <= wanted else ': missed'}"


def measure(rounds: int) -> tuple[dict[str, float], list[str]]:
    """The figures, and what could not be measured here."""
    skipped = [f"{way}: {reason}" for way in ("fuse", "shim") if (reason := why_not(way)) is not None]
    ways = {way for way in ("fuse", "shim") if why_not(way) is None}
    root = os.geteuid() == 0
    cases = {name: case for name, case in _CASES.items() if case[0] in ways and (root or case[1] != "root")}
    if not root:
        skipped.append("fuse_root: not root")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        client = readers(folder)
        platform = folder / "simulator"
        subprocess.run([*_AMBER, "simulator", "init", str(platform)], check=True, capture_output=True)
        opens: dict[str, list[list[float]]] = {name: [] for name in cases}
        rest: list[dict[str, float]] = []
        for _ in range(rounds):
            for name, case in cases.items():
                opens[name].append(_opens(client, folder, *case))
            rest.append(_of_starts(client, platform, ways))
    figures: dict[str, float] = {}
    for name, taken in opens.items():
        figures |= {f"{name}_p50_us": _median(taken, 0.5), f"{name}_p99_us": _median(taken, 0.99)}
    if {"fuse_root", "fuse_user"} <= set(opens):
        pairs = zip(opens["fuse_user"], opens["fuse_root"], strict=True)
        figures["fuse_user_to_root"] = round(statistics.median(_at(a, 0.5) / _at(b, 0.5) for a, b in pairs), 2)
    figures |= {name: round(min(each[name] for each in rest), 1) for name in rest[0]}
    return figures, skipped


def _of_starts(client: Path, platform: Path, ways: Iterable[str]) -> dict[str, float]:
    """One round of what is no read."""
    alone = _start((*_BECOME, str(client), "began"))
    run = (*_AMBER, "run", "--simulator", str(platform), "--delivery")
    figures = {f"start_{way}_ms": _start((*run, way, "--", str(client), "began")) - alone for way in sorted(ways)}
    for name, modules in (("agent_import_ms", _AGENT), ("agent_import_with_client_ms", _CLIENT)):
        figures[name] = float(subprocess.check_output([sys.executable, "-I", "-c", _IMPORT.format(modules)])) * 1000
    if "shim" in ways:
        figures["agent_rss_kib"] = float(_agent_size(platform))
    return figures


def _opens(client: Path, folder: Path, way: str, user: str, script: str) -> list[float]:
    """Microseconds of each open."""
    own = "root" if os.geteuid() == 0 else "user"
    command = [*STARTER, way, own if user == "any" else user, "/bin/sh", "-c", script]
    environ = {**os.environ, "R": str(client), "D": str(folder), "N": str(_OPENS)}
    told = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    return [int(line) / 1000 for line in told.split()]


def _start(command: Sequence[str]) -> float:
    """Milliseconds from here until the program's first instruction."""
    began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    told = subprocess.run(command, check=True, capture_output=True).stdout
    return (int(told) - began) / 1e6


def _agent_size(platform: Path) -> int:
    """KiB of the agent of `amber run`, once it has answered, before its first secret."""
    run = ("run", "--simulator", str(platform), "--delivery", "shim", "--")
    script = "cat /dev/amber/status > /dev/null; echo ready; read go"
    command = [*_AMBER, *run, "/bin/sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        assert starter.stdout is not None
        starter.stdout.readline()
        return sight(agent_of(starter.pid)).rss


def _median(rounds: Sequence[Sequence[float]], part: float) -> float:
    return round(statistics.median(_at(taken, part) for taken in rounds), 1)


def _at(taken: Sequence[float], part: float) -> float:
    return sorted(taken)[min(int(len(taken) * part), len(taken) - 1)]


if __name__ == "__main__":
    main()
