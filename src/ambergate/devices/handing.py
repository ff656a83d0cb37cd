"""A secret handed to a program by other ways than `/dev/amber/secret`: variable, argument, file, key of Gramine's.

What is handed is the secret byte for byte. Each way refuses what it cannot carry whole, before the program starts.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GRAMINE_KEYS: Final = Path("/dev/attestation/keys")  # Gramine documentation, "Attestation and Secret Provisioning"
GRAMINE_KEY_SIZE: Final = 16  # bytes; the key of an encrypted mount, AES-128
MAX_DESTINATIONS: Final = 16  # our limit
FORMS: Final = "env:NAME, file:PATH, gramine-key:NAME or dangerously-arg:TEXT"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ARGUMENT: Final = re.compile(r"[^\0]{2,128}", re.DOTALL)  # one character would be found by accident
_KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_RULES: Final = {"env": _VARIABLE, "file": re.compile(r"[^\0]+"), "gramine-key": _KEY, "dangerously-arg": _ARGUMENT}
_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True, repr=False)
class Handed:
    """What the program's own process does with the secret before it becomes the program.

    Attributes:
        secret: the bytes.
        variables: names in its environment, and in nobody else's.
        keys: paths of keys of Gramine's: these belong to the process that writes them, and to its children.
        arguments: texts in the program's arguments in whose place the secret goes.
    """

    secret: bytes = b""
    variables: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def environ(self) -> dict[str, str]:
        """The variables."""
        return dict.fromkeys(self.variables, os.fsdecode(self.secret))

    def command(self, program: Sequence[str]) -> list[str]:
        """The program's name and arguments. Each place is filled once: the secret itself is not looked into."""
        if not self.arguments:
            return list(program)
        places = re.compile("|".join(re.escape(text) for text in sorted(self.arguments, key=len, reverse=True)))
        secret = os.fsdecode(self.secret)
        return [program[0], *(places.sub(lambda _: secret, word) for word in program[1:])]

    def write_keys(self) -> None:
        """Write the keys.

        Raises:
            SettingsError: Gramine does not take one.
        """
        for path in self.keys:
            _write_key(path, self.secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where the secret goes besides `/dev/amber/secret`."""

    variables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    keys: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str], *, keys_directory: Path = GRAMINE_KEYS) -> Destinations:
        """Destinations as a user writes them: `env:NAME`, `file:PATH`, `gramine-key:NAME`, `dangerously-arg:TEXT`.

        Raises:
            SettingsError: one of them is none.
        """
        if len(texts) > MAX_DESTINATIONS:
            raise SettingsError("the secret goes to too many places", seen=len(texts), wanted=f"<= {MAX_DESTINATIONS}")
        parts = [(text, *text.partition(":")[::2]) for text in texts]
        for text, kind, name in parts:
            rule = _RULES.get(kind)
            if rule is None or not rule.fullmatch(name):
                raise SettingsError("this is no place for a secret", code="settings-secret-to", seen=text, wanted=FORMS)
        return cls(
            variables=tuple(name for _, kind, name in parts if kind == "env"),
            files=tuple(Path(name).absolute() for _, kind, name in parts if kind == "file"),
            keys=tuple(str(keys_directory / name) for _, kind, name in parts if kind == "gramine-key"),
            arguments=tuple(name for _, kind, name in parts if kind == "dangerously-arg"),
        )

    def __bool__(self) -> bool:
        return bool(self.variables or self.files or self.keys or self.arguments)

    def check(self, program: Sequence[str]) -> None:
        """Look, before anything is fetched, whether each place is there in the program's arguments.

        Raises:
            SettingsError: one is not.
        """
        for text in self.arguments:
            if not any(text in word for word in program[1:]):
                raise SettingsError(
                    "no argument of the program has a place for the secret",
                    code="settings-secret-to",
                    seen=f"{len(program) - 1} arguments",
                    wanted=f"{text!r} in one of them",
                )

    def hand(self, secret: bytes) -> Handed:
        """Write the files; the rest is for the program's process.

        Raises:
            SettingsError: one way cannot carry this secret whole, or a file cannot be written.
        """
        if self.keys and len(secret) != GRAMINE_KEY_SIZE:
            raise SettingsError(
                "the secret is no key of Gramine's",
                code="settings-secret-to",
                seen=f"{len(secret)} bytes",
                wanted=f"{GRAMINE_KEY_SIZE} bytes",
                hint="create the secret at the key broker from 16 raw bytes",
            )
        if (self.variables or self.arguments) and b"\0" in secret:
            raise SettingsError(
                "the secret does not fit into a variable or an argument",
                code="settings-secret-to",
                seen="a zero byte in it",
                hint="use --secret-to file:PATH, or /dev/amber/secret",
            )
        _write_files(self.files, secret)
        return Handed(secret, self.variables, self.keys, self.arguments)


def _write_files(paths: Iterable[Path], secret: bytes) -> None:
    for path in paths:
        try:
            _write_file(path, secret)
        except OSError as exc:
            raise SettingsError(
                "the secret's file cannot be written", code="settings-secret-to", seen=f"{path}: {exc.strerror}"
            ) from exc


def _write_file(path: Path, secret: bytes) -> None:
    """The whole file under its name, or the old one: never a part, never for others to read."""
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - from a descriptor
            file.write(secret)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def _write_key(path: str, secret: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.write(descriptor, secret)  # in one piece: Gramine takes each write as a whole key
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise _no_key(path, exc.strerror) from exc
    if written != len(secret):
        raise _no_key(path, f"took {written} bytes of {len(secret)}")


def _no_key(path: str, seen: str | None) -> SettingsError:
    return SettingsError(
        "Gramine does not take the key",
        code="settings-secret-to",
        seen=f"{path}: {seen}",
        hint="the manifest names it: key_name of an encrypted mount in fs.mounts",
    )
