"""Recipes by which an engine builds: how Gramine and the agent come into an image, and what is put over that.

Three builds make a graminized image, so that nothing is measured before it is there:

1. `files_recipe`: the image, Gramine, the agent in a layer of its own;
2. `unsigned_recipe`: over that, the manifest with the hash of every file of 1;
3. `signed_recipe`: over that, SIGSTRUCT and final manifest. The key is in none of them.

Source: Gramine's installation and building guides; the layout below /gramine is that of Gramine Shielded Containers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import SettingsError
from ambergate.graminize.application import AGENT
from ambergate.graminize.gsc.composition import APP_FILES

if TYPE_CHECKING:
    from ambergate.graminize.gsc.config import GscConfig
    from ambergate.graminize.gsc.distro import Distro

AGENT_CONTEXT: Final = "agent"  # directories of the build's context
APP_CONTEXT: Final = "app_files"
MANIFEST_TEMPLATE: Final = "entrypoint.manifest.template"
MANIFEST: Final = "entrypoint.manifest.sgx"
SIGSTRUCT: Final = "entrypoint.sig"
LOADER: Final = "apploader.sh"
# `gramine-sgx` looks for NAME.manifest.sgx and NAME.sig. GSC_PAL=Linux runs it without an enclave, to look for faults.
LOADER_SCRIPT: Final = f"""\
#!/bin/sh
set -eu
cd {APP_FILES}
if [ "${{GSC_PAL:-}}" = Linux ]; then
  exec gramine-direct entrypoint "$@"
fi
exec gramine-sgx entrypoint "$@"
"""
_STAGE: Final = "gramine"
_PREFIX: Final = "/gramine/install"
# Removed where packages are installed: logs and caches hold times, and would make every build another image.
_APT_CLEAN: Final = (
    "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log"
    " /var/log/alternatives.log"
)
_DNF_CLEAN: Final = "rm -rf /var/cache/dnf /var/cache/ldconfig/aux-cache /var/log/dnf* /var/log/hawkey.log"
_ZYPPER_CLEAN: Final = "rm -rf /var/cache/zypp /var/cache/ldconfig/aux-cache /var/log/zypp /var/log/zypper.log"
# An image that `amber gsc build-gramine` made has Gramine there already; one of its packages lists what is of them.
_PACKED: Final = (
    f"RUN test -d {_PREFIX} || {{ mkdir -p {_PREFIX} && dpkg -L gramine | grep -v '^/\\.$' | sed 's|^/||'"
    f" | tar -C / --no-recursion -cf - -T - | tar -C {_PREFIX} -xf -; }}"
)
_PACKAGES_OF: Final = "https://packages.gramineproject.io"
# What compiling takes (building guide), and what Gramine's tools take to run, by family.
_TO_COMPILE: Final = {
    "apt": "autoconf bison build-essential ca-certificates cmake gawk git libprotobuf-c-dev meson nasm ninja-build"
    " pkg-config protobuf-c-compiler protobuf-compiler python3 python3-click python3-cryptography python3-jinja2"
    " python3-pyelftools python3-tomli python3-tomli-w python3-voluptuous python3-protobuf wget",
    "dnf": "autoconf bison ca-certificates cmake gawk gcc gcc-c++ git make meson nasm ninja-build patch pkgconf"
    " protobuf-c-compiler protobuf-c-devel protobuf-compiler python3 python3-click python3-cryptography python3-jinja2"
    " python3-pyelftools python3-tomli python3-tomli-w python3-voluptuous python3-protobuf wget",
    "zypper": "autoconf bison ca-certificates cmake gawk gcc gcc-c++ git make meson nasm ninja patch pkg-config"
    " libprotobuf-c-devel protobuf-c python3 python3-click python3-cryptography python3-Jinja2 python3-pyelftools"
    " python3-tomli python3-tomli-w python3-voluptuous python3-protobuf wget",
}
_TO_RUN: Final = {
    "apt": "libprotobuf-c1 python3 python3-click python3-cryptography python3-jinja2 python3-pyelftools python3-tomli"
    " python3-tomli-w python3-voluptuous python3-protobuf",
    "dnf": "protobuf-c python3 python3-click python3-cryptography python3-jinja2 python3-pyelftools python3-tomli"
    " python3-tomli-w python3-voluptuous python3-protobuf",
    "zypper": "libprotobuf-c1 python3 python3-click python3-cryptography python3-Jinja2 python3-pyelftools"
    " python3-tomli python3-tomli-w python3-voluptuous python3-protobuf",
}


def files_recipe(image: str, distro: Distro | None, config: GscConfig) -> str:
    """The image with Gramine and the agent in it.

    Args:
        image: its name, checked.
        distro: its distribution; None: Gramine is in it already (`Gramine.Image` is the image itself).
        config: where Gramine comes from.

    Raises:
        SettingsError: Gramine has no packages for the distribution, and nothing else is said.
    """
    agent = [f"COPY {AGENT_CONTEXT}/ {AGENT}/"]
    if config.image is not None and config.image == image:
        return _lines(f"FROM {image}", "USER 0:0", *agent)
    if distro is None:
        raise SettingsError("the distribution is not known", hint="say Distro in config.yaml")
    if config.image is not None:
        return _lines(
            f"FROM {config.image} AS {_STAGE}",
            "USER 0:0",
            _PACKED,
            f"FROM {image}",
            "USER 0:0",
            _installing(distro, _TO_RUN[distro.family]),
            f"COPY --from={_STAGE} {_PREFIX}/ /",
            *agent,
        )
    if config.repository is not None and config.branch is not None:
        return _lines(
            compiled_recipe(config, distro, stage=True),
            f"FROM {image}",
            "USER 0:0",
            _installing(distro, _TO_RUN[distro.family]),
            f"COPY --from={_STAGE} {_PREFIX}/ /",
            *agent,
        )
    return _lines(f"FROM {image}", "USER 0:0", _packaged(distro), *agent)


def compiled_recipe(config: GscConfig, distro: Distro, *, stage: bool = False) -> str:
    """An image of the distribution in which Gramine is compiled, installed below `/gramine/install`."""
    from_image = config.distro_image if config.distro != "auto" else _image_of(distro)
    branch, repository = config.branch, config.repository
    return _lines(
        f"FROM {from_image}{f' AS {_STAGE}' if stage else ''}",
        "USER 0:0",
        _installing(distro, _TO_COMPILE[distro.family]),
        f"RUN git clone --depth 1 --branch '{branch}' -- '{repository}' /gramine/source",
        "RUN cd /gramine/source"
        " && meson setup build --prefix=/usr --buildtype=release -Ddirect=enabled -Dsgx=enabled"
        " && meson compile -C build"
        f" && DESTDIR={_PREFIX} meson install -C build --no-rebuild"
        " && rm -rf /gramine/source",
    )


def unsigned_recipe(files_image: str) -> str:
    """Over the image with all files: the manifest, and what starts Gramine. Gramine sets user and group itself."""
    return _lines(
        f"FROM {files_image}",
        f"COPY {APP_CONTEXT}/ {APP_FILES}/",
        "USER 0:0",
        f"WORKDIR {APP_FILES}",
        f"ENTRYPOINT {json.dumps(['/bin/sh', f'{APP_FILES}/{LOADER}'])}",
        "CMD []",
    )


def signed_recipe(unsigned_image: str) -> str:
    """Over the unsigned image: SIGSTRUCT and the manifest that it measures."""
    return _lines(f"FROM {unsigned_image}", f"COPY {APP_CONTEXT}/ {APP_FILES}/")


def _packaged(distro: Distro) -> str:
    if not distro.packaged:
        raise SettingsError(
            "Gramine has no packages for this distribution",
            seen=distro.name,
            wanted="Debian 11 or 12, Ubuntu 20.04, 22.04 or 24.04, CentOS Stream, RHEL, Rocky or Alma 8 or 9",
            hint="name Gramine.Repository and Gramine.Branch in config.yaml: a stage of the build then compiles it",
        )
    if distro.family == "apt":
        name = distro.codename
        key = f"/etc/apt/keyrings/gramine-keyring-{name}.gpg"
        line = f"deb [arch=amd64 signed-by={key}] {_PACKAGES_OF}/ {name} main"
        return (
            "RUN apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
            " ca-certificates curl && mkdir -p /etc/apt/keyrings"
            f" && curl --proto =https --tlsv1.2 -fsSLo {key} {_PACKAGES_OF}/gramine-keyring-{name}.gpg"
            f" && echo '{line}' > /etc/apt/sources.list.d/gramine.list"
            " && apt-get update"
            " && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gramine"
            f" && {_APT_CLEAN}"
        )
    return (
        f"RUN curl --proto =https --tlsv1.2 -fsSLo /etc/yum.repos.d/gramine.repo {_PACKAGES_OF}/rpm/gramine.repo"
        f" && {distro.tool} install -y gramine && {distro.tool} clean all && {_DNF_CLEAN}"
    )


def _installing(distro: Distro, packages: str) -> str:
    if distro.family == "apt":
        return (
            "RUN apt-get update && env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
            f" {packages} && {_APT_CLEAN}"
        )
    if distro.family == "dnf":
        return f"RUN {distro.tool} install -y {packages} && {distro.tool} clean all && {_DNF_CLEAN}"
    return f"RUN {distro.tool} --non-interactive install {packages} && {_ZYPPER_CLEAN}"


def _image_of(distro: Distro) -> str:
    """The distribution's own image, by its usual name."""
    names = {
        "rhel": f"registry.access.redhat.com/ubi{distro.version.partition('.')[0]}/ubi",
        "centos": f"quay.io/centos/centos:stream{distro.version}",
        "rocky": f"docker.io/rockylinux/rockylinux:{distro.version}",
        "opensuse-leap": f"docker.io/opensuse/leap:{distro.version}",
        "opensuse-tumbleweed": "docker.io/opensuse/tumbleweed:latest",
        "sles": f"registry.suse.com/suse/sle15:{distro.version}",
    }
    return names.get(distro.id, f"docker.io/library/{distro.id}:{distro.version}")


def _lines(*lines: str) -> str:
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"
