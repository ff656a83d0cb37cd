"""A worker: one process that runs policies for one engine, and can be killed at any time.

    python -I -m ambergate.rego.worker MEMORY_MIB

It reads requests from descriptor 0 and writes answers to what was descriptor 1; both are frames (`frames.py`). Before
the first request it gives up what it will not need: its environment, new files and descriptors (so sockets), files'
contents, children, core files, memory beyond its budget. Each request has a budget of CPU seconds of its own. Nothing
that is written here is believed by whoever reads it (`pool.py`).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from ambergate.rego.frames import MAX_ANSWER, read_frame, write_frame

if TYPE_CHECKING:
    from types import ModuleType

QUICK: Final = 0.1  # seconds of CPU; who contradicts itself does so sooner, who runs out of something later
MAX_ERROR: Final = 4000  # characters of the interpreter's own words
MAX_REASON: Final = 200  # characters of why it cannot be loaded


def main() -> None:
    """Serve until descriptor 0 ends."""
    os.environ.clear()
    answers = os.dup(1)
    try:
        import regopy  # noqa: PLC0415  its memory is reserved before the limit is set
    except (ImportError, OSError) as exc:  # the latter where a library that it is linked to is not here
        write_frame(answers, json.dumps({"unusable": str(exc)[:MAX_REASON]}).encode())
        return

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # the interpreter prints what it cannot parse
    os.dup2(silence, 2)
    os.close(silence)
    _run(regopy, {"module": "package amber\n", "input": {}, "query": "data.amber"})  # what is loaded late is loaded now
    _give_up(int(sys.argv[1]), answers)
    write_frame(answers, b'{"ready":true}')
    while (request := read_frame(0)) is not None:
        asked = json.loads(request)
        _allow_cpu(asked["cpu"])
        answer = json.dumps(_run(regopy, asked)).encode()
        if len(answer) > MAX_ANSWER:
            answer = b'{"refused":"the answer is too long"}'
        write_frame(answers, answer)


def _give_up(memory: int, highest: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  no pathlib in here
        pages = int(file.read().split()[0])
    # The interpreter's allocator reserves 256 GiB of addresses when it is loaded: the budget comes on top of them.
    budget = pages * resource.getpagesize() + memory * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (budget, budget))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, highest + 1))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))


def _allow_cpu(seconds: int) -> None:
    """The kernel ends this process when it has used so much more: also when nobody is there any more to kill it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _run(regopy: ModuleType, asked: dict[str, Any]) -> dict[str, object]:
    """One query against one module, in an interpreter of its own.

    `refused` is an answer that will be the same again. `failed` is what the interpreter says when it has run out of
    something: it may not have given back all of it, so this process is not to be asked again.
    """
    started = time.process_time()
    try:
        interpreter = regopy.Interpreter()
        interpreter.add_module("p.rego", asked["module"])
        interpreter.set_input(asked["input"])
        output = interpreter.query(asked["query"])
        if not output.ok():
            quick = time.process_time() - started < QUICK
            return {"refused" if quick else "failed": "rules contradict each other, or a built-in function failed"}
        results = [each.expressions for each in output.results]
        return {"value": results[0][0]} if results and results[0] else {"value": {}}
    except regopy.RegoError as exc:
        return {"error": str(exc)[:MAX_ERROR]}
    except Exception as exc:  # noqa: BLE001  whatever the binding raises: no answer
        return {"failed": f"the interpreter gave no answer ({type(exc).__name__})"}


if __name__ == "__main__":
    main()
