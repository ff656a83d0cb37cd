"""Rendering a manifest template as `gramine-manifest` does, without trusting it.

What a template may use is what Gramine documents (manual page of gramine-manifest): `gramine.*`, `python.*`, `env`,
`ldd()`, and the values given by `-D`. It is rendered in a process that can be killed (`template_worker.py`).

Two functions start programs in Gramine's own tool. Here `ldd` asks the system's dynamic linker to list libraries, which
runs nothing of the file; `python.get_sys_path` starts an interpreter only if root installed it or the user named it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import SettingsError, TooLarge, Unavailable
from ambergate.graminize.linking import linked

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEMPLATE: Final = 1024 * 1024  # bytes; Gramine's own have about 4 KiB
MAX_RENDERED: Final = 4 * 1024 * 1024  # characters
MEMORY: Final = 256 * 1024 * 1024  # bytes above what Python and Jinja take
CPU_SECONDS: Final = 5
WALL_SECONDS: Final = 60.0  # a machine may be busy with others
ASK_SECONDS: Final = 20.0  # for an interpreter to list its path
MAX_LISTED: Final = 256 * 1024  # bytes of such a list
# Where Gramine's packages put its own files; another prefix with --gramine-libdir.
PKGLIBDIR: Final = "/usr/lib/x86_64-linux-gnu/gramine"
# The environment that a template may read never holds these.
PRIVATE_VARIABLES: Final = ("AMBER_APIKEY", "AMBER_APIKEY_FILE")
_JINJA: Final = re.compile(r"\{[{%#]")
_CONSTRUCT: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_MARK: Final = re.compile("\ue000(\\d+)\ue001")  # private use: no manifest holds these characters
_SYS_PATH: Final = "import sys; sys.stdout.write('\\0'.join(path for path in sys.path if path))"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a template is rendered with.

    Attributes:
        defines: the values of `-D NAME=VALUE`.
        environ: the environment that `env` shows, without what is private.
        pkglibdir: the directory of Gramine's own files, `gramine.pkglibdir`.
        answers: what templates asked about programs so far: each is asked once.
    """

    defines: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    pkglibdir: str = PKGLIBDIR
    answers: dict[str, list[str]] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered template.

    Attributes:
        text: the text.
        lines: for each of its lines the line of the template that it is from; empty where that is not known.
        read: variables of the environment that it read.
    """

    text: str
    lines: tuple[int, ...] = ()
    read: tuple[str, ...] = ()


def is_template(name: str, text: str) -> bool:
    """Whether a text is a Jinja template: by its name, or because it holds what only templates hold."""
    return name.endswith((".template", ".jinja", ".j2")) or _JINJA.search(text) is not None


def render(text: str, surroundings: Surroundings) -> Rendered:
    """Render a template.

    Raises:
        SettingsError: it does not render; says in which line, where that is known.
        TooLarge: it is too long.
    """
    if len(text.encode("utf-8", "surrogateescape")) > MAX_TEMPLATE:
        raise TooLarge("the template is too long", wanted=f"<= {MAX_TEMPLATE} bytes")
    answers = surroundings.answers
    while True:
        told = _ask_worker(text, surroundings)
        if "wanted" in told:
            function, argument = told["wanted"]
            answers[f"{function}:{argument}"] = _FUNCTIONS[function](argument, surroundings)
            continue
        if "error" in told:
            raise _failed(told["error"], told.get("line"))
        plain, marked = told["text"], told["marked"]
        lines = _lines(marked) if _MARK.sub("", marked) == plain else ()
        return Rendered(text=plain, lines=lines, read=tuple(told["read"]))


def _ask_worker(text: str, surroundings: Surroundings) -> dict[str, Any]:
    environ = {name: value for name, value in surroundings.environ.items() if name not in PRIVATE_VARIABLES}
    request = {
        "text": text,
        "marked": _marked(text),
        "defines": dict(surroundings.defines),
        "env": environ,
        "pkglibdir": surroundings.pkglibdir,
        "python": _python_facts(),
        "answers": surroundings.answers,
        "memory": MEMORY,
        "cpu": CPU_SECONDS,
        "limit": MAX_RENDERED,
    }
    process = subprocess.Popen(
        (sys.executable, "-I", "-B", "-m", "ambergate.graminize.template_worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    limit = 24 * MAX_RENDERED  # JSON may write a character in six, and there are two texts
    with process, _killed_after(process):
        try:
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended; what it said, or did not say, tells
        said = process.stdout.read(limit + 1)
        process.kill()
    try:
        answer = json.loads(said) if len(said) <= limit else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _failed(f"it was ended: no more than {MEMORY >> 20} MiB, {CPU_SECONDS} s of CPU", None)
    return answer


class _killed_after:  # noqa: N801  reads as what it is
    """A process that has so long, and no longer."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._timer = threading.Timer(WALL_SECONDS, process.kill)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _failed(why: object, line: object) -> SettingsError:
    where = f"line {line}: " if isinstance(line, int) else ""
    return SettingsError(
        "the template does not render",
        code="settings-template",
        seen=f"{where}{why}",
        hint="values that it needs are given by -D NAME=VALUE" if "undefined" in str(why) else None,
    )


def _python_facts() -> dict[str, object]:
    scheme = sysconfig.get_paths()
    distlib = sysconfig.get_path("stdlib", vars={"py_version_short": str(sys.version_info[0])})
    paths = {name: scheme[name] for name in ("stdlib", "platstdlib", "purelib")}
    return {
        "paths": {**paths, "distlib": f"{distlib}/dist-packages"},
        "scheme": scheme,
        "config": {name: value for name, value in sysconfig.get_config_vars().items() if isinstance(value, str | int)},
        "implementation": {"name": sys.implementation.name, "cache_tag": sys.implementation.cache_tag or ""},
    }


def _libraries(program: str, _surroundings: Surroundings) -> list[str]:
    """As `ldd` lists them. The linker is told to list, and runs nothing of the program."""
    path = Path(program)
    if not path.is_file():
        raise _failed(f"ldd: no such file: {program[:80]}", None)
    try:
        return sorted({str(file) for _, file in linked(path)})
    except Unavailable as exc:
        raise _failed(f"ldd: {exc.seen}", None) from exc


def _sys_path(interpreter: str, surroundings: Surroundings) -> list[str]:
    if not _may_be_started(interpreter, surroundings):
        raise SettingsError(
            "the template asks for the path of an interpreter that may not be started",
            code="settings-template",
            seen=interpreter[:200],
            wanted="one that root installed, or that -D names",
        )
    # Directories with a slash behind them: the worker, which has no files, tells them so.
    listed = [Path(path) for path in _output([interpreter, "-c", _SYS_PATH]).split("\0") if path]
    return [f"{path}/" if path.is_dir() else str(path) for path in listed if path.exists()]


def _may_be_started(interpreter: str, surroundings: Surroundings) -> bool:
    if interpreter in surroundings.defines.values():
        return True
    path = Path(interpreter)
    try:
        if not path.is_absolute() or not re.fullmatch(r"python[0-9.]*", path.resolve(strict=True).name):
            return False
        places = [path.resolve(), *path.resolve().parents]
        return all(found.stat().st_uid == 0 and not found.stat().st_mode & _OTHERS_WRITE for found in places)
    except OSError:
        return False


_FUNCTIONS: Final = {"ldd": _libraries, "get_sys_path": _sys_path}


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the linker, or an interpreter that may be started
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": os.defpath},
            timeout=ASK_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise _failed(f"{command[0]}: {exc}", None) from exc
    return done.stdout[:MAX_LISTED].decode("utf-8", "replace")


def _marked(text: str) -> str:
    """The template with its line number at the end of each line, where that changes nothing else.

    Not behind a line that ends in a statement, nor in one: a mark must not keep Jinja from trimming. Where it would
    change something after all, the two renderings differ and the marks are not used.
    """
    if "\ue000" in text or "\ue001" in text:
        return text
    spans = [match.span() for match in _CONSTRUCT.finditer(text)]
    pieces, start = [], 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        body = line.rstrip()
        end = start + len(body)
        inside = any(first < end < last for first, last in spans)
        take = body and not inside and not body.endswith(("%}", "#}", "-}}"))
        pieces.append(f"{body}\ue000{number}\ue001{line[len(body) :]}" if take else line)
        start += len(line)
    return "".join(pieces)


def _lines(marked: str) -> tuple[int, ...]:
    """The template's line of each rendered line; an unmarked one is taken to be from where the one before is."""
    found, last = [], 1
    for line in marked.split("\n"):
        mark = _MARK.search(line)
        last = int(mark[1]) if mark else last
        found.append(last)
    return tuple(found)
