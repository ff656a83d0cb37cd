"""A process that renders one manifest template, and can be killed at any time.

    python -I -B -m ambergate.graminize.template_worker

It reads one request from standard input and writes one answer to standard output, both JSON. Before it touches the
template it gives up what rendering does not need: its environment, new files and sockets, children, core files,
memory and CPU beyond its budget. A template may come from anybody: it sees the sandbox of Jinja, and what Gramine
documents for templates, no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from typing import TYPE_CHECKING, Any, Final, Self

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_ERROR: Final = 300  # characters of an error's words
MAX_ASKED: Final = 64  # programs that one template may ask about


class _AskError(Exception):
    """The template wants to know something that whoever started us has to find out."""

    def __init__(self, function: str, argument: str) -> None:
        super().__init__(function)
        self.wanted = (function, argument)


class _Variables:
    """`env`: the environment, and which of it was read."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.read: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        self.read[name] = None
        return self._variables[name]

    def __contains__(self, name: object) -> bool:
        self.read[str(name)] = None
        return name in self._variables

    def __iter__(self) -> Iterator[str]:
        return iter(())  # which variables there are is not a template's business

    def get(self, name: str, default: object = None) -> object:
        """As of a dict."""
        self.read[name] = None
        return self._variables.get(name, default)


class _Path(str):
    """A path as text that `/` joins: templates write `python.stdlib / "x"`."""

    __slots__ = ()

    def __truediv__(self, other: str) -> _Path:
        return _Path(f"{self}/{other}")


class _Listed(_Path):
    """A path of a list that was asked for; a slash at its end told that it is a directory."""

    _directory: bool

    def __new__(cls, said: str) -> Self:
        made = super().__new__(cls, said.rstrip("/"))
        made._directory = said.endswith("/")
        return made

    def is_dir(self) -> bool:
        """As of pathlib's, which templates of Gramine's own ask."""
        return self._directory


class _RuntimeDirectory(_Path):
    """`gramine.runtimedir`: called, or joined as it stands."""

    __slots__ = ()

    def __call__(self, libc: str = "glibc") -> _Path:
        if libc not in {"glibc", "musl"}:
            msg = "there are runtime directories for glibc and musl"
            raise ValueError(msg)
        return _Path(self.removesuffix("glibc") + libc)


def _asks(function: str, answers: Mapping[str, list[str]]) -> Callable[..., list[_Listed]]:
    def ask(*arguments: object, **_ignored: object) -> list[_Listed]:
        found: dict[str, None] = {}
        for argument in arguments:
            key = f"{function}:{argument}"
            if key not in answers:
                raise _AskError(function, str(argument))
            found.update(dict.fromkeys(answers[key]))
        return [_Listed(path) for path in found]

    return ask


def _globals(asked: Mapping[str, Any], variables: _Variables) -> dict[str, object]:
    facts, answers = asked["python"], asked["answers"]
    python = {name: _Path(value) for name, value in facts["paths"].items()}
    config = dict(facts["config"])
    library = _Path(asked["pkglibdir"])
    return {
        "gramine": {
            "libos": library / "libsysdb.so",
            "pkglibdir": library,
            "runtimedir": _RuntimeDirectory(library / "runtime" / "glibc"),
        },
        "python": {
            **python,
            "ext_suffix": config.get("EXT_SUFFIX"),
            "get_config_var": config.get,
            "get_path": lambda name, *_: _Path(facts["scheme"][name]),
            "get_paths": lambda *_: dict(facts["scheme"]),
            "implementation": dict(facts["implementation"]),
            "get_sys_path": _asks("get_sys_path", answers),
        },
        "env": variables,
        "ldd": _asks("ldd", answers),
    }


def render(asked: Mapping[str, Any]) -> dict[str, object]:
    """The template as text, and once more with marks that tell lines; or what is wrong with it."""
    variables = _Variables(asked["env"])
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.globals.update(_globals(asked, variables))
    try:
        text = environment.from_string(asked["text"]).render(**asked["defines"])
        if len(text) > asked["limit"]:
            return {"error": f"it renders to more than {asked['limit']} characters"}
        marked = environment.from_string(asked["marked"]).render(**asked["defines"])
    except _AskError as exc:
        return (
            {"wanted": exc.wanted} if len(asked["answers"]) < MAX_ASKED else {"error": "it asks about too many files"}
        )
    except jinja2.TemplateSyntaxError as exc:
        return {"error": str(exc.message)[:MAX_ERROR], "line": exc.lineno}
    except MemoryError:
        return {"error": "it takes too much memory"}
    except Exception as exc:  # noqa: BLE001  a template can raise anything; all of it is the template's own fault
        return {"error": f"{type(exc).__name__}: {exc}"[:MAX_ERROR], "line": _template_line(exc)}
    return {"text": text, "marked": marked if len(marked) <= 2 * asked["limit"] else "", "read": list(variables.read)}


def _template_line(error: BaseException) -> int | None:
    """The line of the template in which it went wrong; Jinja names it in the traceback."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _give_up(memory: int, cpu: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  no pathlib in here
        budget = int(file.read().split()[0]) * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (budget, budget))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))


def main() -> None:
    """One request, one answer."""
    os.environ.clear()
    asked = json.loads(sys.stdin.buffer.read())
    # What Jinja loads late, its handling of errors too, is loaded now: no file is opened afterwards.
    with contextlib.suppress(ZeroDivisionError):
        ImmutableSandboxedEnvironment().from_string("{% for x in [1] %}{{ 'a\\n' }}{{ x // 0 }}{% endfor %}").render()
    _give_up(asked["memory"], asked["cpu"])
    sys.stdout.buffer.write(json.dumps(render(asked)).encode())


if __name__ == "__main__":
    main()
