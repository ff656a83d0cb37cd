"""What a manifest starts, and with which amber settings: as its user wrote it, or after it was converted.

A converted manifest starts the launcher, whose arguments hold the application's own start behind `--`: its file, then
its arguments as it sees them, name first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.loading import APIKEY_FILE, ENVIRONMENT, MANIFEST_KEYS
from ambergate.client.settings import TOKEN_CACHE_VARIABLE
from ambergate.core.errors import SettingsError
from ambergate.graminize.source import value_at

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the agent's files are inside Gramine; outside they are wherever the manifest's mount says.
AGENT: Final = "/ambergate"
INTERPRETER: Final = f"{AGENT}/bin/python3"
SCRIPT: Final = f"{AGENT}/launch.py"
LIBRARIES: Final = f"{AGENT}/lib"
# By its whole path: a bare name would be looked for on PATH. -I -S: neither environment nor site-packages decide what
# is imported. -B, and a prefix where nothing is: no compiled files are looked for, which nobody measured.
START: Final = (INTERPRETER, "-I", "-S", "-B", "-X", "pycache_prefix=/nonexistent", SCRIPT)
AMBER_DIRECTORY: Final = "/dev/amber"
DELIVERIES: Final = ("shim", "prefetch", "native")
DEFAULT_DELIVERY: Final = "shim"
# Options of the launcher; each takes one value.
OPTIONS: Final = (
    "--delivery",
    "--require",
    "--secret-to",
    "--external",
    "--allow-argument",
    "--library-path",
    "--preload",
)
# Each variable that the client reads, and the setting that it is; an API key's file is one of its own here.
VARIABLES: Final[Mapping[str, str]] = {
    **ENVIRONMENT,
    APIKEY_FILE: "endpoint_apikey_file",
    TOKEN_CACHE_VARIABLE: "token_cache",
}
# Of --secret-to: the name of a key of Gramine's, which opens an encrypted mount (`devices.handing`).
GRAMINE_KEY: Final = "gramine-key:"
# The key below `sgx` of each setting that has one.
MANIFEST_NAMES: Final[Mapping[str, str]] = {name: key for key, name in MANIFEST_KEYS.items()}
_PREFIXES: Final = ("amber_", "kbs_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How the application is started.

    Attributes:
        executable: `libos.entrypoint` of the application.
        argv: its arguments, name first; None: Gramine gives it its path for a name.
        options: what the launcher is told, in order; empty where there is none.
        converted: whether a launcher starts it.
    """

    executable: str
    argv: tuple[str, ...] | None
    options: tuple[tuple[str, str], ...] = ()
    converted: bool = False

    @property
    def delivery(self) -> str | None:
        """By which way the launcher delivers; None where there is none."""
        return next(iter(self.told("--delivery")), None)

    def told(self, option: str) -> tuple[str, ...]:
        """What the launcher is told by an option."""
        return tuple(value for name, value in self.options if name == option)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One amber setting of a manifest.

    Attributes:
        name: as in `client.settings.Settings`.
        path: its key.
        text: its value; None: it is passed through from the host's environment.
    """

    name: str
    path: tuple[str, ...]
    text: str | None


def start_of(document: Mapping[str, Any]) -> Start:
    """What a manifest starts.

    Raises:
        SettingsError: it names no program, or starts the launcher in a way in which we never write it.
    """
    entrypoint, argv = value_at(document, ("libos", "entrypoint")), value_at(document, ("loader", "argv"))
    if not isinstance(entrypoint, str) or not entrypoint:
        raise SettingsError(
            "the manifest starts no program", seen="no libos.entrypoint", wanted='libos.entrypoint = "/..."'
        )
    words = tuple(argv) if isinstance(argv, list) and all(isinstance(word, str) for word in argv) else None
    if entrypoint != INTERPRETER:
        return Start(executable=entrypoint, argv=words)
    if words is None or words[: len(START)] != START or "--" not in words:
        raise _not_ours("loader.argv does not start the launcher")
    end = words.index("--")
    told, program = words[len(START) : end], words[end + 1 :]
    pairs = tuple(zip(told[::2], told[1::2], strict=False))
    if len(told) % 2 or len(program) < 2 or any(name not in OPTIONS for name, _ in pairs):
        raise _not_ours(f"loader.argv is {' '.join(words)[:120]}")
    return Start(executable=program[0], argv=program[1:], options=pairs, converted=True)


def settings_of(document: Mapping[str, Any]) -> dict[str, Setting]:
    """The amber settings by their names; where both forms give one, the environment's, which is the one that acts."""
    found: dict[str, Setting] = {}
    sgx, environ = value_at(document, ("sgx",), {}), value_at(document, ("loader", "env"), {})
    for key, name in MANIFEST_KEYS.items():
        value = sgx.get(key) if isinstance(sgx, dict) else None
        if isinstance(value, str):
            found[name] = Setting(name=name, path=("sgx", key), text=value)
    for variable, name in VARIABLES.items():
        value = environ.get(variable) if isinstance(environ, dict) else None
        if isinstance(value, str | dict):
            found[name] = Setting(name=name, path=("loader", "env", variable), text=variable_text(value))
    return found


def variable_text(value: object) -> str | None:
    """The value of an entry of `loader.env`; None: the host gives it."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else None


def amber_keys(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys below `sgx` that are, or look like, settings of ours."""
    sgx = value_at(document, ("sgx",), {})
    return tuple(key for key in sgx if key.startswith(_PREFIXES)) if isinstance(sgx, dict) else ()


def _not_ours(seen: str) -> SettingsError:
    return SettingsError(
        "the manifest starts the launcher in a way in which nothing of ours writes it",
        code="settings-manifest",
        seen=seen,
        wanted=f"{' '.join(START)} --delivery WAY -- PROGRAM NAME [ARGS]",
        hint="convert the manifest that it was made from",
    )
