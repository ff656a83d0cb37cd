"""A converted manifest in the making: what is taken out of a document, and what is put into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ambergate.client.external import KEYS
from ambergate.client.settings import is_address, parse_url
from ambergate.core.errors import SettingsError
from ambergate.graminize.application import (
    AGENT,
    AMBER_DIRECTORY,
    INTERPRETER,
    LIBRARIES,
    MANIFEST_NAMES,
    OPTIONS,
    START,
    VARIABLES,
    Start,
    amber_keys,
    settings_of,
    variable_text,
)
from ambergate.graminize.sizes import (
    DEFAULT_ENCLAVE,
    DEFAULT_THREADS,
    GOOD_THREADS,
    LEAST_ENCLAVE,
    LEAST_THREADS,
    parse_size,
    size_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.graminize.lines import KeyPath
    from ambergate.graminize.source import Document

EXTERNAL: Final = "/ambergate-external.toml"  # where the launcher finds the external configuration
LIBRARY_PATH: Final = "LD_LIBRARY_PATH"
PRELOAD: Final = "LD_PRELOAD"
_VARIABLES: Final = {name: variable for variable, name in VARIABLES.items()}
_EXTERNAL_NAMES: Final = {name: key for key, name in KEYS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """The agent's files as a manifest names them.

    Attributes:
        uri: of their directory, `file:amber-agent`.
        hashes: SHA-256 of each file by its path below it.
    """

    uri: str
    hashes: Mapping[str, str]

    def trusted(self) -> list[dict[str, str]]:
        """Entries of `sgx.trusted_files`."""
        return [{"uri": f"{self.uri}/{name}", "sha256": digest} for name, digest in self.hashes.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a manifest is to become.

    Attributes:
        delivery: `shim`, `prefetch` or `native`.
        agent: its files; None for `native`.
        roots: path inside of PEM roots that are among them; None where the manifest's own setting stays.
        external: URI of the file that varying settings come from; None: all are measured.
        require: what the application does not start without, of `token` and `secret`.
        secret_to: where the launcher hands the secret over before the application starts, as `amber run --secret-to`.
        allow_arguments: patterns of arguments that may come from that file.
        insecure_measure_apikey: put an API key into the measured manifest, where everybody finds it.
    """

    delivery: str
    agent: Mounted | None = None
    roots: str | None = None
    external: str | None = None
    require: tuple[str, ...] = ()
    secret_to: tuple[str, ...] = ()
    allow_arguments: tuple[str, ...] = ()
    insecure_measure_apikey: bool = False


@dataclass(slots=True, kw_only=True)
class Making:
    """A document that is being changed."""

    document: Document
    plan: Plan
    notes: list[str]
    start: Start
    external: dict[str, str] = field(default_factory=dict)
    values: dict[str, str | None] = field(default_factory=dict)
    passed: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    moves: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def take_out_ours(self) -> None:
        """Settings and all that an earlier conversion put there; what is left is the application's own."""
        settings = settings_of(self.document)
        self.values = {name: each.text for name, each in settings.items()}
        self.paths = {name: each.path for name, each in settings.items()}
        for key in amber_keys(self.document):
            del self.document["sgx"][key]
        environ = self._table("loader").get("env", {})
        for variable in VARIABLES:
            value = environ.pop(variable, None)
            if value is not None and variable_text(value) is None:
                self.passed[variable] = value
        if self.start.converted:
            self._take_out_launcher(environ)

    def _take_out_launcher(self, environ: dict[str, Any]) -> None:
        self.document["libos"]["entrypoint"] = self.start.executable
        loader = self.document["loader"]
        argv = list(self.start.argv or ())
        if argv == [self.start.executable]:
            loader.pop("argv")
        else:
            loader["argv"] = argv
        for preload in self.start.told("--preload"):
            environ[PRELOAD] = preload
        path = variable_text(environ.get(LIBRARY_PATH)) or ""
        left = ":".join(place for place in path.split(":") if place != LIBRARIES)
        if left != path:
            _set_variable(environ, LIBRARY_PATH, left)
        mounts = self.document["fs"]["mounts"]
        uris = [str(each.get("uri")) for each in mounts if each.get("path") in {AGENT, EXTERNAL}]
        self.document["fs"]["mounts"] = [each for each in mounts if each.get("path") not in {AGENT, EXTERNAL}]
        for kind in ("trusted_files", "allowed_files"):
            entries = self._table("sgx").get(kind)
            if entries is not None:
                self.document["sgx"][kind] = [each for each in entries if not _below(each, uris)]

    def put_native(self) -> None:
        """The settings where a Gramine with the client built in reads them."""
        sgx, system = self._table("sgx"), self._table("fs")
        if self.start.converted:
            system["mounts"] = [each for each in system["mounts"] if each.get("path") != AMBER_DIRECTORY]
        for name, text in self.values.items():
            if name in MANIFEST_NAMES and text is not None:
                sgx[MANIFEST_NAMES[name]] = _with_slash(name, text)
                self.moves["sgx", MANIFEST_NAMES[name]] = self.paths[name]

    def put_launcher(self) -> None:
        """The launcher, its files, its place and its settings."""
        assert self.plan.agent is not None
        self._put_settings()
        self._put_start()
        self._put_mounts(self.plan.agent)
        self._put_trusted(self.plan.agent)
        self._put_room()

    def _put_settings(self) -> None:
        environ = self._table("loader").setdefault("env", {})
        if self.plan.roots is not None:
            self.values["cacerts"] = self.plan.roots
            self.paths.pop("cacerts", None)
        for name, text in self.values.items():
            if text is None or text == "":
                continue  # passed through, or not set
            if self.plan.external is not None and name in _EXTERNAL_NAMES:
                self.external[_EXTERNAL_NAMES[name]] = text
            else:
                environ[_VARIABLES[name]] = _with_slash(name, text)
                if name in self.paths:
                    self.moves["loader", "env", _VARIABLES[name]] = self.paths[name]
        environ.update(self.passed)
        if self.external:
            self.notes.append(f"{', '.join(self.external)}: in the external file, not measured")

    def _put_start(self) -> None:
        plan, start = self.plan, self.start
        options = [("--delivery", plan.delivery)]
        if plan.require:
            options.append(("--require", ",".join(plan.require)))
        options += [("--secret-to", place) for place in plan.secret_to]
        if plan.external is not None:
            options.append(("--external", EXTERNAL))
            options += [("--allow-argument", pattern) for pattern in plan.allow_arguments]
        options.append(("--library-path", LIBRARIES))
        preload = variable_text(self.document["loader"]["env"].pop(PRELOAD, None))
        if preload:
            options.append(("--preload", preload))
        assert all(name in OPTIONS for name, _ in options)
        argv = start.argv or (start.executable,)
        loader = self.document["loader"]
        if loader.pop("insecure__use_cmdline_argv", False):
            self.notes.append(
                "arguments from the host: only those that a measured pattern allows, by the external file"
            )
        self.document["libos"]["entrypoint"] = INTERPRETER
        loader["argv"] = [*START, *(word for pair in options for word in pair), "--", start.executable, *argv]
        self._move_arguments(len(loader["argv"]) - len(argv))
        environ = loader["env"]
        path = variable_text(environ.get(LIBRARY_PATH))
        _set_variable(environ, LIBRARY_PATH, f"{LIBRARIES}:{path}" if path else LIBRARIES)
        if path and not self.start.converted:
            self.moves["loader", "env", LIBRARY_PATH] = ("loader", "env", LIBRARY_PATH)

    def _move_arguments(self, first: int) -> None:
        """Where the application's file and arguments are now: the file before the first of these."""
        if self.start.converted:
            return
        self.moves["loader", "argv", first - 1] = ("libos", "entrypoint")
        if self.start.argv is None:
            self.moves["loader", "argv", first] = ("libos", "entrypoint")
        for index in range(len(self.start.argv or ())):
            self.moves["loader", "argv", first + index] = ("loader", "argv", index)

    def _put_mounts(self, agent: Mounted) -> None:
        mounts: list[dict[str, str]] = [
            {"type": "tmpfs", "path": AMBER_DIRECTORY},
            {"path": AGENT, "uri": agent.uri},
        ]
        if self.plan.external is not None:
            mounts.append({"path": EXTERNAL, "uri": self.plan.external})
        existing = self._table("fs").setdefault("mounts", [])
        existing += [mount for mount in mounts if mount not in existing]

    def _put_trusted(self, agent: Mounted) -> None:
        trusted = self._table("sgx").setdefault("trusted_files", [])
        trusted[:] = [each for each in trusted if not _below(each, [agent.uri])]
        trusted += agent.trusted()
        allowed = self._table("sgx").get("allowed_files", [])
        around = [each for each in allowed if _below(each, [agent.uri]) or _below(agent.uri, [str(each)])]
        if around:
            raise SettingsError(
                "the manifest lets the host change the agent's files",
                code="settings-manifest",
                seen=f"sgx.allowed_files has {around[0]}",
                wanted=f"nothing in or around {agent.uri}",
                hint="put the agent elsewhere by --agent-dir, or leave that file out",
            )
        if self.plan.external is not None:
            allowed = self._table("sgx").setdefault("allowed_files", [])
            if self.plan.external not in allowed:
                allowed.append(self.plan.external)

    def _put_room(self) -> None:
        sgx, delivery = self._table("sgx"), self.plan.delivery
        threads = sgx.get("max_threads", DEFAULT_THREADS)
        if threads < LEAST_THREADS[delivery]:
            sgx["max_threads"] = GOOD_THREADS[delivery]
            self.notes.append(f"sgx.max_threads: {GOOD_THREADS[delivery]} instead of {threads}, for the agent")
        size = parse_size(sgx.get("enclave_size")) or DEFAULT_ENCLAVE
        if size < LEAST_ENCLAVE:
            sgx["enclave_size"] = size_text(LEAST_ENCLAVE)
            self.notes.append(f"sgx.enclave_size: {size_text(LEAST_ENCLAVE)} instead of {size_text(size)}")
        system = self.document.setdefault("sys", {})
        if delivery == "shim" and system.get("disallow_subprocesses"):
            system["disallow_subprocesses"] = False
            self.notes.append("sys.disallow_subprocesses: false, for the agent")
        if self._names_hosts() and not system.get("enable_extra_runtime_domain_names_conf"):
            system["enable_extra_runtime_domain_names_conf"] = True
            self.notes.append("sys.enable_extra_runtime_domain_names_conf: true, since a service has no address")
        if not system:
            del self.document["sys"]

    def _names_hosts(self) -> bool:
        """Whether a service is to be found by its name; an external file may say an address, or not."""
        pairs = (("endpoint_url", "endpoint_ip"), ("kbs_url", "kbs_ip"))
        urls = ((parse_url(name, (self.values.get(name) or "").strip()), address) for name, address in pairs)
        named = [address for url, address in urls if url is not None and not is_address(url.host)]
        return any(self.plan.external is not None or not self.values.get(address) for address in named)

    def put_attestation(self) -> None:
        """DCAP."""
        sgx = self._table("sgx")
        if sgx.get("remote_attestation") != "dcap":
            before = sgx.get("remote_attestation", "nothing")
            sgx["remote_attestation"] = "dcap"
            self.notes.append(f"sgx.remote_attestation: dcap instead of {before}")

    def _table(self, name: str) -> dict[str, Any]:
        table: dict[str, Any] = self.document.setdefault(name, {})
        return table


def _set_variable(environ: dict[str, Any], name: str, value: str) -> None:
    """A variable in the form in which it is written; none where it would be empty."""
    if not value:
        environ.pop(name, None)
    elif isinstance(environ.get(name), dict):
        environ[name] = {"value": value}
    else:
        environ[name] = value


def _with_slash(name: str, text: str) -> str:
    return f"{text.strip()}/" if name.endswith("_url") and text and not text.strip().endswith("/") else text


def _below(entry: object, uris: list[str]) -> bool:
    """Whether a trusted or allowed file is, or is in, one of these."""
    uri = entry.get("uri") if isinstance(entry, dict) else entry
    return isinstance(uri, str) and any(uri == each or uri.startswith(f"{each.rstrip('/')}/") for each in uris)
