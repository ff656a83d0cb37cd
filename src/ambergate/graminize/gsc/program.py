"""What an image starts, as the kernel would: which file, with which arguments, where and as whom.

    program = program_of(image.config, files)
    program.executable, program.argv

Scripts become their interpreter with the script as an argument, since an enclave is built around one ELF program.
Source: execve(2) and the kernel's binfmt_script (first line of a script); OCI Image Specification 1.1, "config".
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import AmberError, SettingsError
from ambergate.graminize.gsc.files import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ambergate.graminize.gsc.files import ImageFiles
    from ambergate.graminize.gsc.layout import ImageConfig

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where no PATH is said
MAX_SCRIPTS: Final = 4  # scripts whose interpreter is a script (Linux, exec_binprm)
MAX_FIRST_LINE: Final = 256  # bytes of a script that the kernel looks at (Linux, BINPRM_BUF_SIZE)
MAX_ACCOUNTS: Final = 1024 * 1024  # bytes of /etc/passwd and /etc/group; our limit
MAX_ID: Final = 2**32 - 2  # of users and groups (Linux, uid_t; the last one means none)
_ID_DIGITS: Final = len(str(MAX_ID))
_ELF: Final = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_X86_64: Final = b"\x3e\x00"  # e_machine, at 18
_MACHINE_AT: Final = 18
_ENV: Final = ("/usr/bin/env", "/bin/env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What an image starts.

    Attributes:
        executable: an ELF program of the image, all links followed.
        argv: its arguments, name first.
        environment: the image's variables.
        directory: where it starts.
        uid: as whom.
        gid: and in which group.
    """

    executable: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    uid: int
    gid: int


def program_of(config: ImageConfig, files: ImageFiles) -> Program:
    """What an image starts.

    Raises:
        SettingsError: nothing, or what is not there, no program of x86-64, or run by a user that the image lacks.
    """
    words = (*config.entrypoint, *config.command)
    if not words or not words[0]:
        raise SettingsError(
            "the image starts nothing",
            seen="neither ENTRYPOINT nor CMD",
            hint="graminize the image of an application, or give it an ENTRYPOINT first",
        )
    if config.architecture not in ("", "amd64"):
        raise SettingsError(
            "the image is of another architecture", seen=config.architecture, wanted="amd64, which SGX is part of"
        )
    search = config.environment.get("PATH", DEFAULT_PATH)
    executable, argv = _started(words, config.directory, search, files)
    uid, gid = _account(config.user, files)
    return Program(
        executable=executable,
        argv=argv,
        environment=config.environment,
        directory=config.directory,
        uid=uid,
        gid=gid,
    )


def _started(words: Sequence[str], directory: str, search: str, files: ImageFiles) -> tuple[str, tuple[str, ...]]:
    argv = tuple(words)
    path = _found(argv[0], directory, search, files)
    for _ in range(MAX_SCRIPTS + 1):
        real = files.resolve(path)
        head = _head(real, files)
        if head.startswith(_ELF):
            if head[_MACHINE_AT : _MACHINE_AT + 2] != _X86_64:
                raise SettingsError("the program is of another architecture", seen=path, wanted="x86-64")
            return real, argv
        if not head.startswith(b"#!"):
            raise SettingsError(
                "the program is neither an ELF program of 64 bits nor a script",
                seen=f"{path}: starts with {head[:4].hex()}",
                wanted="one that Linux runs",
                hint="a script needs its first line, such as #!/bin/sh",
            )
        interpreter = _interpreter(head, path, search, files)
        argv = (*interpreter, path, *argv[1:])
        path = _found(interpreter[0], directory, search, files)
    raise SettingsError("a script's interpreter is a script", seen=path, wanted=f"at most {MAX_SCRIPTS} of them")


def _interpreter(head: bytes, path: str, search: str, files: ImageFiles) -> tuple[str, ...]:
    """The interpreter that a script's first line names, with its one argument; through env, which one it would find."""
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    try:
        parts = line.decode("utf-8").split(None, 1)
    except UnicodeDecodeError as exc:
        raise SettingsError("a script's first line is not UTF-8", seen=path) from exc
    if not parts:
        raise SettingsError("a script names no interpreter", seen=path, wanted="#!/path/to/interpreter")
    parts = [part.rstrip() for part in parts]
    if parts[0] in _ENV and len(parts) > 1 and not parts[1].startswith("-") and "=" not in parts[1]:
        return (_found(parts[1], "/", search, files),)
    return tuple(parts)


def _found(word: str, directory: str, search: str, files: ImageFiles) -> str:
    """The path of a program, as execvp(3) finds it."""
    places = (
        [posixpath.join(directory, word)]
        if "/" in word
        else [posixpath.join(place or ".", word) for place in search.split(":")]
    )
    for place in places:
        entry = files.find(place)
        if entry is not None and entry.kind is Kind.FILE and entry.mode & 0o111:
            return place
    raise SettingsError(
        "the image has no such program",
        seen=f"{word}, from {directory}",
        wanted="an executable file" if "/" in word else f"one in PATH, {search}",
        hint="is it in a volume, perhaps? Only what is in the image can be measured",
    )


def _head(path: str, files: ImageFiles) -> bytes:
    return files.head(path, MAX_FIRST_LINE)


def _account(user: str, files: ImageFiles) -> tuple[int, int]:
    """Numbers of the user and group, by the image's own accounts. Without a user: root."""
    name, _, group = user.partition(":")
    uid, gid = 0, 0
    if name and not name.isdecimal():
        fields = _line("/etc/passwd", name, files, "user")
        uid, gid = _number(fields, 2, name), _number(fields, 3, name)
    elif name:
        uid = _id(name, name)
        same = [fields for fields in _accounts("/etc/passwd", files) if len(fields) > 3 and fields[2] == name]
        gid = _number(same[0], 3, name) if same else 0
    if group:
        gid = _id(group, group) if group.isdecimal() else _number(_line("/etc/group", group, files, "group"), 2, group)
    return uid, gid


def _line(path: str, name: str, files: ImageFiles, what: str) -> list[str]:
    for fields in _accounts(path, files):
        if fields[0] == name:
            return fields
    raise SettingsError(f"the image has no such {what}", seen=name, wanted=f"one of {path}, or a number")


def _accounts(path: str, files: ImageFiles) -> list[list[str]]:
    try:
        text = files.read(path, limit=MAX_ACCOUNTS).decode("utf-8", "replace")
    except AmberError:
        return []
    return [line.split(":") for line in text.splitlines() if line]


def _number(fields: list[str], at: int, name: str) -> int:
    if len(fields) <= at:
        raise SettingsError("an account of the image has no number", seen=name[:80])
    return _id(fields[at], name)


def _id(text: str, name: str) -> int:
    """A user's or group's number."""
    if not text.isdecimal() or len(text) > _ID_DIGITS or int(text) > MAX_ID:
        raise SettingsError("an account of the image has no number", seen=name[:80], wanted=f"0 to {MAX_ID}")
    return int(text)
