"""The rules by which stock Gramine accepts a manifest: closed at every level, so that a misspelt key is an error.

Written from Gramine's documentation (manifest syntax, 1.6 to 1.9, and gramine-manifest-check), in our own terms. Where
releases differ, what any of them accepts is accepted here: `loader.entrypoint` is text up to 1.8, a table from 1.9.
It proves what Gramine's own check proves, that names and kinds of values are right, and nothing about what they mean.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ambergate.graminize.lines import KeyPath

MAX_SHOWN: Final = 60  # characters of a value in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One way in which a manifest breaks the rules."""

    path: KeyPath
    message: str
    seen: str
    wanted: str

    @property
    def key(self) -> str:
        """The key as a manifest writes it."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Kind:
    """A value of one of TOML's kinds."""

    name: str
    kinds: type

    def accepts(self, value: object) -> bool:
        """True and false are no numbers here, whatever Python thinks."""
        return isinstance(value, self.kinds) and isinstance(value, bool) == (self.kinds is bool)


@dataclass(frozen=True, slots=True)
class Words:
    """One of some values."""

    words: tuple[str | bool, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """A list whose elements all keep one rule."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Either:
    """A value that keeps one of several rules: of the table's rule if it is a table, else of another."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with these members and no other.

    Attributes:
        members: rule of each.
        required: those that must be there.
        others: the rule of all other members; None where there are none.
    """

    members: Mapping[str, Rule]
    required: tuple[str, ...] = ()
    others: Rule | None = None


@dataclass(frozen=True, slots=True)
class ByType:
    """A table whose rule its member `type` tells; `default` where it has none."""

    tables: Mapping[str, Table]
    default: str


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever it is."""


Rule = Kind | Words | Each | Either | Table | ByType | Anything

_TEXT: Final = Kind("text", str)
_NUMBER: Final = Kind("a whole number", int)
_FLAG: Final = Kind("true or false", bool)
_SIZE: Final = Kind('a size as text, e.g. "512M"', str)
_URI: Final = Kind('a URI, e.g. "file:/usr/bin/app"', str)
_FEATURE: Final = Words(("unspecified", "disabled", "required"))
_FEATURE_OR_NOT: Final = Words(("disabled", "required"))


def _mounts(*, path: bool) -> ByType:
    """The root and the other mounts differ in one member: the root needs no path."""
    more: dict[str, Rule] = {"path": _TEXT} if path else {}
    needs = ("path",) if path else ()
    encrypted: dict[str, Rule] = {"type": _TEXT, "uri": _URI, "key_name": _TEXT, **more}
    return ByType(
        {
            "chroot": Table({"type": _TEXT, "uri": _URI, **more}, ("uri", *needs)),
            "encrypted": Table(encrypted, ("uri", *needs)),
            "tmpfs": Table({"type": _TEXT, "uri": _TEXT, **more}, needs),
            "untrusted_shm": Table({"type": _TEXT, "uri": _URI, **more}, ("uri", *needs)),
        },
        "chroot",
    )


_HASHED: Final = Table({"uri": _URI, "sha256": _TEXT}, ("uri",))
_FS: Final = Table(
    {
        "mounts": Each(_mounts(path=True)),
        "root": _mounts(path=False),
        "start_dir": _TEXT,
        "insecure__keys": Table({}, others=_TEXT),
    },
    ("mounts",),
)
_LIBOS: Final = Table({"entrypoint": _TEXT, "check_invalid_pointers": _FLAG}, ("entrypoint",))
_VARIABLE: Final = Either((_TEXT, Table({"value": _TEXT, "passthrough": Words((True,))})))
_LOADER: Final = Table(
    {
        "entrypoint": Either((_URI, _HASHED)),
        "argv": Each(_TEXT),
        "argv_src_file": _TEXT,
        "env": Table({}, others=_VARIABLE),
        "env_src_file": _TEXT,
        "gid": _NUMBER,
        "uid": _NUMBER,
        "insecure__use_cmdline_argv": _FLAG,
        "insecure__use_host_env": _FLAG,
        "insecure__disable_aslr": _FLAG,
        "log_file": _TEXT,
        "log_level": Words(("none", "error", "warning", "debug", "trace", "all")),
    },
    ("entrypoint",),
)
_SGX: Final = Table(
    {
        "allowed_files": Each(_URI),
        "cpu_features": Table(
            {
                **dict.fromkeys(("avx", "avx512", "amx"), _FEATURE),
                **dict.fromkeys(("mpx", "pkru"), _FEATURE_OR_NOT),
            }
        ),
        "debug": _FLAG,
        "edmm_enable": _FLAG,
        "enable_stats": _FLAG,
        "enclave_size": _SIZE,
        "file_check_policy": Words(("strict", "allow_all_but_log")),
        "insecure__allow_memfaults_without_exinfo": _FLAG,
        "insecure__rpc_thread_num": _NUMBER,
        "isvprodid": _NUMBER,
        "isvsvn": _NUMBER,
        "max_threads": _NUMBER,
        "preheat_enclave": _FLAG,
        "profile": Table(
            {
                "enable": Words(("none", "main", "all")),
                "mode": Words(("aex", "ocall_inner", "ocall_outer")),
                "with_stack": _FLAG,
                "frequency": _NUMBER,
            }
        ),
        "ra_client_linkable": _FLAG,
        "ra_client_spid": _TEXT,
        "remote_attestation": Words(("none", "dcap", "epid")),
        "seal_key": Table({"flags_mask": _TEXT, "xfrm_mask": _TEXT, "misc_mask": _TEXT}),
        "trusted_files": Each(Either((_URI, _HASHED))),
        "trusted_files_cache_size": _SIZE,
        "use_exinfo": _FLAG,
        "vtune_profile": _FLAG,
    }
)
_SYS: Final = Table(
    {
        "allowed_ioctls": Each(Table({"request_code": _NUMBER, "struct": _TEXT}, ("request_code",))),
        "brk": Table({"max_size": _SIZE}),
        "debug__mock_syscalls": Each(Table({"name": _TEXT, "return": _NUMBER}, ("name",))),
        "disallow_subprocesses": _FLAG,
        "enable_extra_runtime_domain_names_conf": _FLAG,
        "enable_sigterm_injection": _FLAG,
        "experimental__enable_flock": _FLAG,
        "fds": Table({"limit": _NUMBER}),
        "insecure__allow_eventfd": _FLAG,
        "ioctl_structs": Table({}, others=Anything()),
        "stack": Table({"size": _SIZE}),
    }
)
MANIFEST: Final = Table(
    {"fs": _FS, "libos": _LIBOS, "loader": _LOADER, "sgx": _SGX, "sys": _SYS}, ("fs", "libos", "loader")
)


def violations(document: Mapping[str, object], rule: Rule = MANIFEST) -> list[Violation]:
    """Every way in which a manifest breaks the rules; none: stock Gramine accepts it."""
    return list(_look(document, rule, ()))


def dotted(path: Sequence[str | int]) -> str:
    """A path as a manifest writes it, elements of lists by number: `fs.mounts[2].uri`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _look(value: object, rule: Rule, path: KeyPath) -> Iterator[Violation]:
    if isinstance(rule, Kind):
        if not rule.accepts(value):
            yield _wrong(path, value, rule.name)
    elif isinstance(rule, Words):
        # Not by `in`: 1 would pass for True.
        if not any(value == word and type(value) is type(word) for word in rule.words):
            yield _wrong(path, value, ", ".join(shown(word) for word in rule.words))
    elif isinstance(rule, Either):
        table = next((each for each in rule.rules if isinstance(each, Table)), None)
        other = next(each for each in rule.rules if not isinstance(each, Table))
        yield from _look(value, table if table is not None and isinstance(value, dict) else other, path)
    elif isinstance(rule, Each):
        if not isinstance(value, list):
            yield _wrong(path, value, "a list")
            return
        for index, element in enumerate(value):
            yield from _look(element, rule.rule, (*path, index))
    elif not isinstance(rule, Anything):
        yield from _look_into(value, rule, path)


def _look_into(value: object, rule: Table | ByType, path: KeyPath) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield _wrong(path, value, "a table")
        return
    if isinstance(rule, ByType):
        kind = value.get("type", rule.default)
        if not isinstance(kind, str) or kind not in rule.tables:
            yield _wrong((*path, "type"), kind, ", ".join(rule.tables))
            return
        rule = rule.tables[kind]
    for name, member in value.items():
        found = rule.members.get(name, rule.others)
        if found is None:
            yield _unknown((*path, name), member, rule)
        else:
            yield from _look(member, found, (*path, name))
    for name in rule.required:
        if name not in value:
            yield Violation(
                path=(*path, name), message="is missing", seen="nothing", wanted=_wanted(rule.members[name])
            )


def _unknown(path: KeyPath, value: object, rule: Table) -> Violation:
    near = difflib.get_close_matches(str(path[-1]), list(rule.members), n=1)
    wanted = f"{dotted((*path[:-1], near[0]))}?" if near else f"one of {', '.join(rule.members)}"
    return Violation(path=path, message="is no key that Gramine knows", seen=shown(value, path), wanted=wanted)


def _wrong(path: KeyPath, value: object, wanted: str) -> Violation:
    return Violation(path=path, message="has a value that Gramine refuses", seen=shown(value, path), wanted=wanted)


def _wanted(rule: Rule) -> str:
    if isinstance(rule, Kind):
        return rule.name
    return "a list" if isinstance(rule, Each) else "a table" if isinstance(rule, Table | ByType) else _first(rule)


def _first(rule: Rule) -> str:
    return _wanted(rule.rules[0]) if isinstance(rule, Either) else "a value"


def shown(value: Any, path: KeyPath = ()) -> str:  # noqa: ANN401  whatever TOML can say
    """A value as TOML writes it, cut where it is long; never one that a secret may be in."""
    if any("key" in str(part).lower() for part in path):
        return "a value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
