"""What a kubelet would do with a pod of the chart, in a directory: volumes, variables, user, command, probes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

USER: Final = 10001
_AMBER: Final = [sys.executable, "-c", "from ambergate.cli.main import main; main()"]
# Another user, who may still read whatever our code lies in; nothing else of root's is left.
_AS_USER: Final = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]
_READING: Final = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
_ROOTS: Final = ("/run/ambergate", "/var/lib/ambergate", "/etc/ambergate")


def can_change_user() -> bool:
    """Whether this is root, and can be somebody else."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    command = [*_AS_USER, *_READING, *_AMBER, "--version"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


@dataclass
class Pod:
    """One pod of the chart below `root`, which stands for the pod's own file system.

    Args:
        spec: of the pod.
        root: a directory that every user may enter.
        objects: contents of Secrets, ConfigMaps and claims: kind and name -> file -> text.
        user: whom it runs as, and the group of its volumes; 0: as this process, with files that are its own.
    """

    spec: dict[str, Any]
    root: Path
    objects: Mapping[tuple[str, str], Mapping[str, str]]
    user: int

    def rebased(self, text: str) -> str:
        for place in _ROOTS:
            text = text.replace(place, f"{self.root}{place}")
        return text

    def mount(self) -> None:
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.spec["containers"][0]["volumeMounts"]:
            if mount["mountPath"] == "/tmp":
                continue
            place = Path(self.rebased(mount["mountPath"]))
            place.mkdir(parents=True)
            self._fill(place, volumes[mount["name"]])
            if not mount.get("readOnly"):
                os.chown(place, -1, self.user or -1)
                place.chmod(0o2770)

    def _fill(self, place: Path, volume: dict[str, Any]) -> None:
        if "secret" in volume:
            kind, source, mode = "Secret", volume["secret"], volume["secret"]["defaultMode"]
            name = source["secretName"]
        elif "configMap" in volume:
            kind, source, mode = "ConfigMap", volume["configMap"], 0o644
            name = source["name"]
        else:
            return
        held = self.objects[kind, name]
        for item in source.get("items", [{"key": key, "path": key} for key in held]):
            file = place / item["path"]
            file.write_text(self.rebased(held[item["key"]]))
            if self.user:
                os.chown(file, 0, self.user)
                file.chmod(mode)
            else:  # root needs no group, and nobody else can make one for themselves
                file.chmod(mode & 0o700)

    def command(self, container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        [program, *arguments] = container["command"]
        assert program.endswith("/amber")
        user = [*_AS_USER, *_READING] if self.user else []
        words = [*user, *_AMBER, *(self.rebased(word) for word in arguments)]
        variables = {one["name"]: self.rebased(one["value"]) for one in container.get("env", ())}
        return words, {**os.environ, **variables}

    def init(self) -> None:
        """The init containers, each to its end."""
        for container in self.spec["initContainers"]:
            words, environ = self.command(container)
            done = subprocess.run(words, env=environ, cwd="/", capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def running(self) -> Iterator[None]:
        """The container, until the end of the block; then SIGTERM, and an end that is a good one."""
        [container] = self.spec["containers"]
        words, environ = self.command(container)
        with (
            self.stderr.open("wb") as log,
            subprocess.Popen(words, env=environ, cwd="/", stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            try:
                assert process.stdout is not None
                assert process.stdout.readline(), self.log()  # told once it accepts connections
                yield
            finally:
                process.terminate()
                code = process.wait(timeout=60)
        assert code == 0, self.log()

    @property
    def stderr(self) -> Path:
        """What the container writes there."""
        return self.root / "log"

    def log(self) -> str:
        return self.stderr.read_text()

    def probe(self, name: str, context: ssl.SSLContext) -> int:
        """The status that this probe gets; 0: nobody listens."""
        [container] = self.spec["containers"]
        asked = container[name]["httpGet"]
        [port] = [one["containerPort"] for one in container["ports"] if one["name"] == asked["port"]]
        try:
            with httpx.Client(verify=context, timeout=container[name]["timeoutSeconds"]) as client:
                return client.get(f"{asked['scheme'].lower()}://localhost:{port}{asked['path']}").status_code
        except httpx.TransportError:
            return 0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
