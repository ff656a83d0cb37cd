"""Rules about the enclave: attestation, debugging, what the host may decide, and room for the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.graminize.application import GRAMINE_KEY
from ambergate.graminize.problems import Problem, Severity
from ambergate.graminize.sizes import (
    DEFAULT_ENCLAVE,
    DEFAULT_THREADS,
    LEAST_ENCLAVE,
    LEAST_THREADS,
    is_power_of_two,
    parse_size,
    size_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ambergate.graminize.checks.subject import Subject

_EPID: Final = "Intel has ended EPID's service: nobody can verify such a quote"
# What lets the host decide what only the signer should: rule, key, bad value, what follows, what to write.
_HOST_DECIDES: Final = (
    (
        "host-arguments",
        ("loader", "insecure__use_cmdline_argv"),
        True,
        "the host chooses the arguments, and the launcher is an interpreter: it would run any code",
        'loader.argv = ["name", "argument"], or convert --external-config FILE --allow-argument PATTERN',
    ),
    (
        "host-environment",
        ("loader", "insecure__use_host_env"),
        True,
        "the host chooses LD_PRELOAD, and so the code; and every amber setting",
        "loader.env for each variable",
    ),
    (
        "host-files",
        ("sgx", "file_check_policy"),
        "allow_all_but_log",
        "the host chooses the content of every file that is not trusted, code too",
        '"strict", or nothing',
    ),
)
_WEAKER: Final = (
    (("loader", "insecure__disable_aslr"), True, "addresses are the same in every run, which makes faults exploitable"),
    (("sgx", "insecure__rpc_thread_num"), None, "system calls are shared with the host in memory that both write"),
    (("sys", "insecure__allow_eventfd"), True, "the host sees and changes what eventfds say"),
)
_CODE_VARIABLES: Final = ("LD_", "PYTHON", "GCONV_PATH", "OPENSSL_", "SSL_")


def remote_attestation(subject: Subject, /) -> Iterator[Problem]:
    """Without DCAP there is no quote."""
    path = ("sgx", "remote_attestation")
    found = subject.get(*path)
    if found == "dcap" or isinstance(found, bool):
        return  # a truth value is of an earlier Gramine: `options` says so
    yield subject.problem(
        "dcap-missing",
        path,
        "does not ask for DCAP attestation",
        seen=f'"{found}"' if found is not None else "nothing",
        wanted='sgx.remote_attestation = "dcap"',
        why=_EPID if found == "epid" else "inside SGX there is no quote, and without a quote no token",
    )


def debug(subject: Subject, /) -> Iterator[Problem]:
    """A debug enclave keeps no secret."""
    if subject.get("sgx", "debug") is True:
        yield subject.problem(
            "debug",
            ("sgx", "debug"),
            "makes an enclave that the host can read and change",
            seen="true",
            wanted="false",
            why="policies refuse it unless they say dangerously_allow_debug, and no secret is released to it",
            severity=Severity.WARNING,
        )


def host_decides(subject: Subject, /) -> Iterator[Problem]:
    """What lets the host choose code or settings."""
    for rule, path, bad, why, wanted in _HOST_DECIDES:
        if subject.get(*path) == bad:
            shown = str(bad).lower()
            yield subject.problem(rule, path, "lets the host decide what is run", seen=shown, wanted=wanted, why=why)
    for path, weak, why in _WEAKER:
        found = subject.get(*path)
        if found and (weak is None or found == weak):
            yield subject.problem(
                "weaker",
                path,
                "makes the enclave weaker",
                seen=str(found).lower(),
                wanted="leave it out",
                why=why,
                severity=Severity.WARNING,
            )


def host_variables(subject: Subject, /) -> Iterator[Problem]:
    """Variables by which the host would choose what is loaded."""
    variables = subject.get("loader", "env", default={})
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if isinstance(value, dict) and value.get("passthrough") is True and name.startswith(_CODE_VARIABLES):
            yield subject.problem(
                "host-variable",
                ("loader", "env", name),
                "is given by the host and chooses what is loaded, or whom TLS trusts",
                seen="passthrough = true",
                wanted="a value",
                why="the host could run its own code in the enclave, or pose as a service",
            )


def keys_in_manifest(subject: Subject, /) -> Iterator[Problem]:
    """Keys of encrypted files that everybody can read."""
    keys = subject.get("fs", "insecure__keys", default={})
    for name in keys if isinstance(keys, dict) else ():
        yield subject.problem(
            "key-in-manifest",
            ("fs", "insecure__keys", name),
            "is a key that everybody with the manifest has",
            seen="a key",
            wanted=f"amber manifest convert --secret-to {GRAMINE_KEY}{name}",
            why="what it encrypts is not secret",
        )


def log_level(subject: Subject, /) -> Iterator[Problem]:
    """Gramine's log goes to the host."""
    found = subject.get("loader", "log_level")
    if found in {"warning", "debug", "trace", "all"}:
        yield subject.problem(
            "log-level",
            ("loader", "log_level"),
            "tells the host more than errors",
            seen=f'"{found}"',
            wanted='"error" or "none"',
            why="from warning on, names of files and arguments of system calls may be in it",
            severity=Severity.WARNING,
        )


def enclave_size(subject: Subject, /) -> Iterator[Problem]:
    """Room for the launcher and the agent, in a size that SGX has."""
    path = ("sgx", "enclave_size")
    found = subject.get(*path)
    size = DEFAULT_ENCLAVE if found is None else parse_size(found)
    if size is None:
        if isinstance(found, str):
            why = "the signer would not read it"
            yield subject.problem("enclave-size", path, "is no size", seen=f'"{found}"', wanted='"512M"', why=why)
    elif not is_power_of_two(size):
        wanted = size_text(1 << size.bit_length())
        why = "SGX knows no other enclaves"
        yield subject.problem(
            "enclave-size", path, "is no power of two", seen=f'"{found}"', wanted=f'"{wanted}"', why=why
        )
    elif size < LEAST_ENCLAVE and subject.delivery != "native":
        yield subject.problem(
            "enclave-size",
            path,
            "is too small for the launcher and the agent",
            seen=f'"{found}"',
            wanted=f'at least "{size_text(LEAST_ENCLAVE)}"',
            why="an interpreter and TLS start in each process before the application does",
            severity=subject.mended,
        )


def threads(subject: Subject, /) -> Iterator[Problem]:
    """Threads for the agent, and for Gramine's own."""
    path = ("sgx", "max_threads")
    found = subject.get(*path, default=DEFAULT_THREADS)
    least = LEAST_THREADS.get(subject.delivery, 0)
    if type(found) is int and found < least:
        yield subject.problem(
            "threads",
            path,
            "is too small for the agent",
            seen=found,
            wanted=f"at least {least}",
            why="each process of the instance may have so many threads, and a read would wait for one for ever",
            severity=subject.mended,
        )


def subprocesses(subject: Subject, /) -> Iterator[Problem]:
    """By the shim the agent is a process of its own."""
    path = ("sys", "disallow_subprocesses")
    if subject.delivery == "shim" and subject.get(*path) is True:
        yield subject.problem(
            "subprocesses",
            path,
            "forbids the agent, which is a child of the launcher",
            seen="true",
            wanted="false, or --delivery prefetch",
            why="the application would not start",
            severity=subject.mended,
        )


RULES: Final = (
    remote_attestation,
    debug,
    host_decides,
    host_variables,
    keys_in_manifest,
    log_level,
    enclave_size,
    threads,
    subprocesses,
)
