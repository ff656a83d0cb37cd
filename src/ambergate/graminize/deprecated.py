"""Options of earlier Gramines, and what took their place. Gramine documentation, "Deprecated options"."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ambergate.graminize.source import value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.graminize.source import Document

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Old:
    """An option of an earlier Gramine that a document has.

    Attributes:
        path: its key.
        instead: what took its place, in words.
        mend: makes the change in a document, when that is possible without asking anybody.
    """

    path: Path
    instead: str
    mend: Callable[[Document], None] | None


_RENAMED: Final[Mapping[Path, Path]] = {
    ("sgx", "thread_num"): ("sgx", "max_threads"),
    ("sgx", "rpc_thread_num"): ("sgx", "insecure__rpc_thread_num"),
    ("sgx", "require_exinfo"): ("sgx", "use_exinfo"),
    ("sgx", "allowed_ioctls"): ("sys", "allowed_ioctls"),
    ("sgx", "ioctl_structs"): ("sys", "ioctl_structs"),
}
_REMOVED: Final[Mapping[Path, str]] = {
    ("loader", "pal_internal_mem_size"): "nothing: Gramine counts its memory itself",
    ("fs", "experimental__enable_sysfs_topology"): "nothing: it is always so",
    ("loader", "argv0_override"): "the first element of loader.argv",
    ("sgx", "nonpie_binary"): "nothing: every enclave can hold such a program",
    ("sgx", "zero_heap_on_demand"): "nothing",
    ("sgx", "allow_file_creation"): "sgx.allowed_files",
    ("sgx", "enable_stats_thread"): "sgx.enable_stats",
}
_FEATURES: Final = ("avx", "avx512", "amx", "mpx", "pkru")
# Tables by name, which are lists now.
_LISTS: Final = (("sgx", "trusted_files"), ("sgx", "allowed_files"))


def old_options(document: Mapping[str, Any]) -> list[Old]:
    """Those that a document has, in the order of our list."""
    renamed = [(path, new) for path, new in _RENAMED.items() if _has(document, path)]
    found = [
        Old(path, ".".join(new), _rename(path, new) if _is_table(document, new[:-1]) else None) for path, new in renamed
    ]
    found += [Old(path, instead, _remove(path)) for path, instead in _REMOVED.items() if _has(document, path)]
    for feature in _FEATURES:
        path = ("sgx", f"require_{feature}")
        if _has(document, path):
            mend = _require(path, feature) if _is_table(document, ("sgx", "cpu_features")) else None
            found.append(Old(path, f'sgx.cpu_features.{feature} = "required"', mend))
    if isinstance(value_at(document, ("sgx", "remote_attestation")), bool):
        path = ("sgx", "remote_attestation")
        found.append(Old(path, 'sgx.remote_attestation = "dcap"', _attest(path)))
    for path in _LISTS:
        if isinstance(value_at(document, path), dict):
            found.append(Old(path, f"{'.'.join(path)} = [...]", _to_list(path)))
    if isinstance(value_at(document, ("fs", "mount")), dict):
        mend = _mounts if isinstance(value_at(document, ("fs", "mounts"), []), list) else None
        found.append(Old(("fs", "mount"), "fs.mounts = [...]", mend))
    if _has(document, ("sgx", "protected_files")):
        instead = 'fs.mounts with { type = "encrypted", key_name = ... }'
        found.append(Old(("sgx", "protected_files"), instead, None))
    return found


def modernised(document: Document) -> tuple[Document, list[Old]]:
    """A copy with the options of 1.9, and what was changed. Those that nobody can change alone stay."""
    changed = copy.deepcopy(document)
    done = []
    for old in old_options(document):
        if old.mend is not None:
            old.mend(changed)
            done.append(old)
    return changed, done


def _has(document: Mapping[str, Any], path: Path) -> bool:
    table = value_at(document, path[:-1])
    return isinstance(table, dict) and path[-1] in table


def _is_table(document: Mapping[str, Any], path: Path) -> bool:
    """Whether a key can be put there: below a table, or below one that is not there yet."""
    return isinstance(value_at(document, path, {}), dict)


def _take(document: Document, path: Path) -> Any:  # noqa: ANN401  whatever TOML can say
    return value_at(document, path[:-1]).pop(path[-1])


def _rename(old: Path, new: Path) -> Callable[[Document], None]:
    def mend(document: Document) -> None:
        value = _take(document, old)
        document.setdefault(new[0], {}).setdefault(new[1], value)

    return mend


def _remove(path: Path) -> Callable[[Document], None]:
    def mend(document: Document) -> None:
        _take(document, path)

    return mend


def _require(path: Path, feature: str) -> Callable[[Document], None]:
    def mend(document: Document) -> None:
        if _take(document, path) is True:
            document["sgx"].setdefault("cpu_features", {}).setdefault(feature, "required")

    return mend


def _attest(path: Path) -> Callable[[Document], None]:
    def mend(document: Document) -> None:
        document["sgx"][path[-1]] = "dcap" if _take(document, path) else "none"

    return mend


def _to_list(path: Path) -> Callable[[Document], None]:
    def mend(document: Document) -> None:
        named = value_at(document, path)
        document[path[0]][path[1]] = [value for value in named.values() if isinstance(value, str)]

    return mend


def _mounts(document: Document) -> None:
    """`fs.mount.NAME = { type, path, uri }`: what lies above is mounted first."""
    named = [each for each in document["fs"].pop("mount").values() if isinstance(each, dict)]
    in_order = sorted(named, key=lambda mount: str(mount.get("path", "")))
    document["fs"]["mounts"] = [*in_order, *document["fs"].get("mounts", [])]
