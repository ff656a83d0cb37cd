"""What an enclave starts: it becomes the application, which finds token and secret at `/dev/amber`.

    python3 launch.py --delivery shim|prefetch [--OPTION VALUE]... -- FILE NAME [ARGUMENT]...

    --require token,secret      do not start the application unless these could be had
    --secret-to PLACE           hand the secret over there too, as `amber run --secret-to`
    --external FILE             settings that may vary, from a file that nobody measured (`client/external.py`)
    --allow-argument PATTERN    arguments may come from that file too, each of which one such pattern matches as a whole
    --library-path DIRECTORY    this interpreter's libraries, which the application is not to find
    --preload TEXT              LD_PRELOAD of the application, which this interpreter is not to load

The options are measured with the manifest, as settings in `loader.env` are. Settings come from the environment,
evidence from Gramine: there is no software platform in here. Only the standard library, and no click.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from ambergate.attester.detect import detect
from ambergate.cli._late import LateSession
from ambergate.cli._telling import EXIT_USAGE, describe, exit_code, now
from ambergate.client.external import read_external
from ambergate.client.loading import from_environment, load
from ambergate.client.settings import TOKEN_CACHE_VARIABLE, with_token_cache
from ambergate.core.errors import AmberError, SettingsError, Unavailable
from ambergate.devices.becoming import REQUIRABLE, Job, become_by_prefetch, become_by_shim, given_place
from ambergate.devices.handing import Destinations
from ambergate.devices.launch import NotStarted
from ambergate.devices.model import Tree
from ambergate.devices.nodes import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ambergate.client.settings import Settings

OPTIONS: Final = (
    "--delivery",
    "--require",
    "--secret-to",
    "--external",
    "--allow-argument",
    "--library-path",
    "--preload",
)
WAYS: Final = ("shim", "prefetch")
MAX_ARGUMENTS: Final = 256  # from an external file; our limit
MAX_ARGUMENT: Final = 4096  # characters; our limit
LIBRARY_PATH: Final = "LD_LIBRARY_PATH"
PRELOAD: Final = "LD_PRELOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The command line."""

    delivery: str
    require: tuple[str, ...]
    secret_to: tuple[str, ...]
    external: Path | None
    allowed: tuple[str, ...]
    library_path: str | None
    preload: str | None
    executable: str
    program: tuple[str, ...]


class BadCommandLineError(Exception):
    """Nothing of ours writes such a command line."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Become the application, or say why not and exit."""
    try:
        told = read_command_line(sys.argv[1:] if arguments is None else arguments)
        start(told, os.environ)
    except BadCommandLineError as error:
        sys.stderr.write(f"amber: {error}\n")
        sys.exit(EXIT_USAGE)
    except NotStarted as error:
        sys.stderr.write(f"{describe(error)}\n")
        sys.exit(error.exit_code)
    except AmberError as error:
        sys.stderr.write(f"{describe(error)}\n")
        sys.exit(exit_code(error))


def read_command_line(arguments: Sequence[str]) -> Told:
    """The command line.

    Raises:
        BadCommandLineError: it is none.
    """
    if "--" not in arguments:
        raise BadCommandLineError("no -- before the program")
    end = arguments.index("--")
    options, program = arguments[:end], arguments[end + 1 :]
    pairs = list(zip(options[::2], options[1::2], strict=False))
    unknown = next((name for name, _ in pairs if name not in OPTIONS), None)
    if unknown is not None or len(options) % 2:
        raise BadCommandLineError(f"{unknown or options[-1]} is no option, or has no value")
    given = dict(pairs)
    if given.get("--delivery") not in WAYS:
        raise BadCommandLineError(f"--delivery is {' or '.join(WAYS)}")
    require = tuple(name for name in given.get("--require", "").split(",") if name)
    if not set(require) <= set(REQUIRABLE):
        raise BadCommandLineError(f"--require takes {', '.join(REQUIRABLE)}")
    if len(program) < 2 or not program[0]:
        raise BadCommandLineError("no program: a file and its name are wanted")
    return Told(
        delivery=given["--delivery"],
        require=require,
        secret_to=tuple(value for name, value in pairs if name == "--secret-to"),
        external=Path(given["--external"]) if "--external" in given else None,
        allowed=tuple(value for name, value in pairs if name == "--allow-argument"),
        library_path=given.get("--library-path"),
        preload=given.get("--preload"),
        # Without a slash it would be looked for on PATH; Gramine looks in the directory where it starts.
        executable=program[0] if "/" in program[0] else f"./{program[0]}",
        program=tuple(program[1:]),
    )


def start(told: Told, environ: Mapping[str, str]) -> NoReturn:
    """Become the application.

    Raises:
        AmberError: it must not start, or cannot.
    """
    settings, more = read_settings(told, environ)
    place = given_place()
    if place is None:
        raise Unavailable(
            "the amber files have no place",
            code="no-place",
            seen=f"{DIRECTORY} is no empty directory of ours",
            wanted=f'{{ type = "tmpfs", path = "{DIRECTORY}" }} in fs.mounts',
        )
    late = LateSession(settings, detect())
    job = Job(
        program=(*told.program, *more),
        executable=told.executable,
        environ=application_environment(told, environ),
        tree=Tree(late, settings, now=now),
        born=int(now().timestamp() * 1e9),
        user_namespace=False,
        require=told.require,
        secret_to=Destinations.parse(told.secret_to),
        warm=late.warm,
    )
    job.secret_to.check(job.program)
    if told.delivery == "shim":
        become_by_shim(job, place)
    become_by_prefetch(job, place)


def read_settings(told: Told, environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    """The settings, and arguments from outside that are allowed.

    Raises:
        SettingsError: a setting is unusable, or the external file holds what it must not.
    """
    values: dict[str, bytes] = {}
    arguments: tuple[str, ...] = ()
    if told.external is not None:
        measured = {*from_environment(environ), *(("token_cache",) if TOKEN_CACHE_VARIABLE in environ else ())}
        values, arguments = read_external(told.external, measured=measured)
    _allow(arguments, told.allowed)
    return with_token_cache(load(environ=environ, flags=values).settings, environ), arguments


def application_environment(told: Told, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as the application's manifest meant it: its libraries, and none of this interpreter's."""
    kept = {**environ, **({PRELOAD: told.preload} if told.preload else {})}
    places = kept.get(LIBRARY_PATH, "").split(":")
    if told.library_path in places:
        places.remove(told.library_path)
        kept[LIBRARY_PATH] = ":".join(places)
        if not kept[LIBRARY_PATH]:
            del kept[LIBRARY_PATH]
    return kept


def _allow(arguments: Sequence[str], patterns: Sequence[str]) -> None:
    if len(arguments) > MAX_ARGUMENTS or any(len(each) > MAX_ARGUMENT or "\0" in each for each in arguments):
        seen = f"{len(arguments)} arguments"
        raise _not_allowed(seen, f"at most {MAX_ARGUMENTS}, each of at most {MAX_ARGUMENT} characters")
    for number, argument in enumerate(arguments, 1):
        if not any(re.fullmatch(pattern, argument) for pattern in patterns):
            wanted = " or ".join(patterns) or "no arguments: the manifest allows none"
            raise _not_allowed(f"argument {number}: {argument[:80]!r}", wanted)


def _not_allowed(seen: str, wanted: str) -> SettingsError:
    hint = "which arguments may come from outside is measured: amber manifest convert --allow-argument"
    return SettingsError(
        "an argument from outside is not allowed", code="settings-argument", seen=seen, wanted=wanted, hint=hint
    )
