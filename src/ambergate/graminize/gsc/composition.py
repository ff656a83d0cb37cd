"""The one manifest that a graminized image runs by: what the image says, what the user says, and every file's hash.

    template = composed(program, user, measured_files(files), Rules(...))

Where both say something the user's manifest wins; PATH, LD_LIBRARY_PATH and LD_PRELOAD are joined, the image's first.
The result is a template still: where Gramine lies inside the image only its own tools there know. Everything else in it
is text, whatever braces the image's variables hold.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from ambergate.core.errors import SettingsError, TooLarge
from ambergate.graminize.gsc.files import Kind
from ambergate.graminize.source import value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ambergate.graminize.gsc.files import ImageFiles
    from ambergate.graminize.gsc.program import Program

Document = dict[str, Any]
MAX_TRUSTED: Final = 200_000  # files of one manifest; Gramine reads them one by one at every start
JOINED: Final = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD")
APP_FILES: Final = "/gramine/app_files"  # where Gramine Shielded Containers has them
# What stands in the composed document for the directory that Gramine's tools in the image know, and their expression.
PKGLIBDIR: Final = "@gramine.pkglibdir@"
_EXPRESSION: Final = "{{ gramine.pkglibdir }}"
_LIBOS: Final = "libsysdb.so"  # below that directory; the libc that Gramine brings is in runtime/glibc
_BRACES: Final = re.compile(r"\{(?=[{%#])")
# Never measured: made anew by the host at every start, or no part of the application.
_LEFT_OUT: Final = ("/boot/", "/dev/", "/proc/", "/sys/", "/run/", "/tmp/", "/var/run/", f"{APP_FILES}/")  # noqa: S108
_OF_HOST: Final = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a build was told besides manifest and image.

    Attributes:
        insecure_args: take arguments from the host at every start, which nobody measured.
        debug: let the host read and change the enclave.
    """

    insecure_args: bool = False
    debug: bool = False


def composed(program: Program, user: Mapping[str, Any], rules: Rules) -> Document:
    """Image and user's manifest in one document, without the image's files.

    Raises:
        SettingsError: the user's manifest starts another program than the image, or has values where tables belong.
    """
    told = copy.deepcopy(dict(user))
    for path in (("libos",), ("loader",), ("loader", "env"), ("fs",), ("sgx",), ("sys",)):
        found = value_at(told, path, {})
        if not isinstance(found, dict):
            raise SettingsError(f"the manifest's {'.'.join(path)} is no table", seen=repr(found)[:80], wanted="a table")
    if rules.debug:
        told.setdefault("sgx", {})["debug"] = True
    entrypoint = told.get("libos", {}).get("entrypoint")
    if entrypoint not in (None, program.executable):
        raise SettingsError(
            "the manifest starts another program than the image",
            seen=f"libos.entrypoint = {entrypoint!r}",
            wanted=program.executable,
            hint="leave libos.entrypoint out: it is the image's ENTRYPOINT",
        )
    base: Document = {
        "libos": {"entrypoint": program.executable},
        "loader": {
            "entrypoint": {"uri": f"file:{PKGLIBDIR}/{_LIBOS}"},
            "log_level": "error",
            "uid": program.uid,
            "gid": program.gid,
            "env": _environment(program.environment, told),
        },
        "fs": {
            "root": {"type": "chroot", "uri": "file:/"},
            "start_dir": program.directory,
            "mounts": [{"type": "chroot", "path": "/gramine_lib", "uri": f"file:{PKGLIBDIR}/runtime/glibc"}],
        },
        "sys": {"enable_extra_runtime_domain_names_conf": True},
        "sgx": {
            "remote_attestation": "dcap",
            "trusted_files": [f"file:{PKGLIBDIR}/{_LIBOS}", f"file:{PKGLIBDIR}/runtime/glibc/"],
        },
    }
    if rules.insecure_args:
        base["loader"]["insecure__use_cmdline_argv"] = True
    elif "argv" not in told.get("loader", {}) and "argv_src_file" not in told.get("loader", {}):
        base["loader"]["argv"] = list(program.argv)
    return _merged(base, told)


def with_files(document: Document, files: ImageFiles) -> Document:
    """The document with every file of the image as a trusted one, by its hash; sorted, so always the same.

    Files that it trusts already stay as they are, Gramine's own are left to Gramine's tools.

    Args:
        document: composed, and converted.
        files: of the image that will run.

    Raises:
        TooLarge: there are more than a manifest should have.
    """
    document = copy.deepcopy(document)
    listed = document["sgx"].setdefault("trusted_files", [])
    allowed = [_path_of(uri) for uri in document["sgx"].get("allowed_files", [])]
    have = {_path_of(each) for each in listed}
    gramine = tuple(name.removesuffix(_LIBOS) for name in files.entries if name.endswith(f"/{_LIBOS}"))
    for name in sorted(files.entries):
        entry = files.entries[name]
        if entry.kind is not Kind.FILE or name in have or name.startswith(gramine) or not _is_measured(name, allowed):
            continue
        listed.append({"uri": f"file:{name}", "sha256": entry.digest})
    if len(listed) > MAX_TRUSTED:
        raise TooLarge("the image has too many files to trust", seen=len(listed), wanted=f"at most {MAX_TRUSTED}")
    return document


def as_template(document: Document) -> str:
    """The document as the template that Gramine's tools in the image render."""
    text = tomli_w.dumps(_literal(document))
    return text.replace(PKGLIBDIR, _EXPRESSION)


def _environment(image: Mapping[str, str], told: Document) -> dict[str, Any]:
    user = told.get("loader", {}).get("env", {})
    environment: dict[str, Any] = dict(image)
    for name in JOINED:
        both = [part for part in (image.get(name), user.get(name)) if isinstance(part, str) and part]
        if len(both) == 2:
            user[name] = ":".join(both)
    libraries = user.get("LD_LIBRARY_PATH", image.get("LD_LIBRARY_PATH", ""))
    if isinstance(libraries, str):
        # Gramine's own libc comes first, wherever the image's is.
        parts = [part for part in libraries.split(":") if part and part != "/gramine_lib"]
        environment["LD_LIBRARY_PATH"] = ":".join(("/gramine_lib", *parts, "/lib/x86_64-linux-gnu", "/usr/lib64"))
        user.pop("LD_LIBRARY_PATH", None)
    return environment


def _merged(base: Document, told: Mapping[str, Any]) -> Document:
    """Tables are joined, lists of mounts and files lengthened; otherwise what is told wins."""
    for name, value in told.items():
        have = base.get(name)
        if isinstance(have, dict) and isinstance(value, dict):
            base[name] = _merged(have, value)
        elif name in ("mounts", "trusted_files") and isinstance(have, list) and isinstance(value, list):
            base[name] = [*have, *value]
        else:
            base[name] = value
    return base


def _is_measured(name: str, allowed: Iterable[str]) -> bool:
    if name in _OF_HOST or name.startswith(_LEFT_OUT):
        return False
    return not any(name == each or (each.endswith("/") and name.startswith(each)) for each in allowed)


def _path_of(entry: object) -> str:
    uri = entry.get("uri") if isinstance(entry, dict) else entry
    return str(uri).removeprefix("file:")


def _literal(value: Any) -> Any:  # noqa: ANN401  a document's value
    """The value with every brace that a template would read taken literally, in keys and in texts."""
    if isinstance(value, str):
        return _BRACES.sub("{{ '{' }}", value)
    if isinstance(value, dict):
        return {_literal(name): _literal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_literal(each) for each in value]
    return value
