"""`python -m bench.soak`: many threads of many processes read tokens for a while, by FUSE and by the shim.

Every token is looked at by who reads it: whole, unmixed, given to nobody else. Meanwhile the server is watched: its
memory, its descriptors, its threads. Ends with 1 if anything was wrong, or something grew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.files.building import STARTER, Sight, agent_of, readers, sight, why_not

WAYS: Final = ("fuse", "shim")
LOOK: Final = 0.2  # seconds between two looks at the server
STEADY: Final = 20.0  # seconds from which on a server has all its threads in the first half
GROWTH: Final = 8 * 1024  # KiB by which it may then be larger in the second half than in the first
LARGEST: Final = 128 * 1024  # KiB; a server that may still be growing its threads
COUNTED: Final = ("wrong", "twice", "failed", "leaked")
_OUTPUT: Final = Path(__file__).resolve().parent.parent / "build" / "soak.json"


@dataclass(frozen=True, slots=True)
class Soaked:
    """How one delivery went."""

    delivery: str
    seconds: float
    processes: int
    threads: int  # of each process
    read: int
    wrong: int
    twice: int
    failed: int
    leaked: int  # descriptors, by the readers
    rss_first_half: int  # KiB, the most
    rss_second_half: int
    descriptors_before: int  # of the server, nobody reading
    descriptors_most: int
    descriptors_after: int
    threads_before: int
    threads_most: int

    def faults(self) -> list[str]:
        """What is wrong; empty when all is well."""
        found = [f"{name}: {count}" for name in COUNTED if (count := getattr(self, name))]
        if self.read == 0:
            found.append("nothing was read")
        if self.rss_second_half > (self.rss_first_half + GROWTH if self.seconds >= STEADY else LARGEST):
            found.append(f"the server grew from {self.rss_first_half} to {self.rss_second_half} KiB")
        if self.descriptors_after > self.descriptors_before:
            found.append(f"the server's descriptors grew from {self.descriptors_before} to {self.descriptors_after}")
        return found


def main() -> int:
    """Soak, print, write build/soak.json; 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Read the files from all sides.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each delivery (default 60)")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=64, help="of each process (default 64)")
    parser.add_argument("--delivery", choices=WAYS, action="append", help="may be repeated (default: both)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="default build/soak.json")
    arguments = parser.parse_args()
    wanted = (arguments.seconds, arguments.processes, arguments.threads)
    worst, done = 0, []
    for way in arguments.delivery or WAYS:
        reason = why_not(way)
        if reason is not None:
            print(f"{way}: not here: {reason}")
            continue
        soaked = soak(way, *wanted)
        done.append({**asdict(soaked), "faults": soaked.faults()})
        print(json.dumps(done[-1], indent=2))
        worst |= bool(soaked.faults())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    return worst


def soak(way: str, seconds: float, processes: int, threads: int) -> Soaked:
    """Read for this long by this delivery."""
    with tempfile.TemporaryDirectory() as folder:
        script = 'cat /dev/amber/status > /dev/null; echo begin; read go; "$@"; read go'
        load = (str(readers(Path(folder))), "soak", f"{seconds:g}", str(processes), str(threads))
        user = "root" if os.geteuid() == 0 else "user"
        command = [*STARTER, way, user, "/bin/sh", "-c", script, "sh", *load]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdin is not None
            assert starter.stdout is not None
            starter.stdout.readline()
            server = starter.pid if way == "fuse" else agent_of(starter.pid)
            before, ended = sight(server), threading.Event()
            sights: list[Sight] = []
            watching = threading.Thread(target=_watch, args=(server, sights, ended))
            watching.start()
            _tell(starter.stdin)
            counted = json.loads(starter.stdout.readline())
            ended.set()
            watching.join()
            after = _settled(server, before)
            _tell(starter.stdin)
    half = len(sights) // 2
    return Soaked(
        delivery=way,
        seconds=seconds,
        processes=processes,
        threads=threads,
        **counted,
        rss_first_half=max(seen.rss for seen in sights[:half] or [before]),
        rss_second_half=max(seen.rss for seen in sights[half:] or [after]),
        descriptors_before=before.descriptors,
        descriptors_most=max(seen.descriptors for seen in [before, *sights]),
        descriptors_after=after.descriptors,
        threads_before=before.threads,
        threads_most=max(seen.threads for seen in [before, *sights]),
    )


def _watch(pid: int, sights: list[Sight], ended: threading.Event) -> None:
    while not ended.wait(LOOK):
        sights.append(sight(pid))


def _settled(pid: int, before: Sight) -> Sight:
    """The server when it has closed what its last readers left, or after a while."""
    for _ in range(25):
        now = sight(pid)
        if now.descriptors <= before.descriptors:
            break
        threading.Event().wait(LOOK)
    return sight(pid)


def _tell(stdin: object) -> None:
    print("go", file=stdin, flush=True)  # type: ignore[call-overload]  # a text stream


if __name__ == "__main__":
    sys.exit(main())
