"""The watcher of workers where the machine is in its way. Each in a process of its own: it forks, and has signals."""

from __future__ import annotations

import subprocess
import sys

HEAD = """
import os, signal, time
from ambergate.services.web import workers

def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]

def serve(place):
    place.ready()
    while True:
        signal.pause()

def watch(count, work, clock=time.monotonic, on_start=lambda: os.kill(os.getpid(), signal.SIGTERM)):
    watcher = workers.Watcher(
        count, work, reload=lambda: False, on_start=on_start, on_stop=lambda: print("stops"), clock=clock
    )
    raise SystemExit(watcher.run())
"""


def watched(script: str) -> tuple[int, str, str]:
    """Exit code, output, log."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_it_stops_and_says_nothing() -> None:
    assert watched("watch(2, serve)") == (0, "stops\n", "")


def test_two_that_end_at_once_before_they_accept_end_the_service_with_their_code() -> None:
    """The watcher learns of both deaths by one signal, and only then of their pipes."""
    script = """
reads, writes = os.pipe()

def work(place):
    if place.number == 0:
        serve(place)
    os.read(reads, 1)
    return 3

def clock():
    if len(children()) == 3 and not clock.done:
        clock.done = True
        os.kill(os.getpid(), signal.SIGHUP)  # so that signals are heeded first
        os.write(writes, b"12")
        for pid in children()[1:]:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return time.monotonic()

clock.done = False
watch(3, work, clock)
"""
    assert watched(script) == (3, "stops\n", "")


def test_a_machine_without_room_for_another_process_is_asked_again() -> None:
    script = """
fork, asked = os.fork, []

def refuse_once():
    asked.append(1)
    if len(asked) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = refuse_once
before = len(os.listdir("/proc/self/fd"))

def started():
    assert len(asked) == 3
    assert len(os.listdir("/proc/self/fd")) == before + 3  # the selector, and the two ends that signals are told by
    os.kill(os.getpid(), signal.SIGTERM)

watch(2, serve, on_start=started)
"""
    code, told, log = watched(script)
    assert (code, told) == (0, "stops\n"), log
    assert "no worker can be started: Resource temporarily unavailable" in log


def test_a_signal_to_a_worker_that_was_just_forked_is_its_own() -> None:
    """It ends by it, at its start; the watcher, which nobody told to stop, says that it failed."""
    script = """
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
watch(1, serve)
"""
    assert watched(script) == (1, "stops\n", "")
