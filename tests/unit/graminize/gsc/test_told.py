"""What a build is told: names of images, config.yaml, and which distribution an image is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import SettingsError
from ambergate.graminize.gsc import distro, names
from ambergate.graminize.gsc.config import FORK_NOTE, GscConfig, read_config
from ambergate.graminize.gsc.recipe import compiled_recipe, files_recipe

if TYPE_CHECKING:
    from pathlib import Path

# As Project Amber's guide of 2022 has it, in our own words: a fork of Gramine, and the kernel's driver.
OF_2022 = """\
# a comment
Distro: "ubuntu:18.04"
Registry: ""
Gramine:
    Repository: "https://github.com/bigdata-memory/gramine.git"
    Branch:     "amber_pr"
SGXDriver:
    Repository: ""
    Branch:     ""
"""
DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n'
APT = {"/usr/bin/apt-get": True}


def config_of(text: str, folder: Path) -> GscConfig:
    path = folder / "config.yaml"
    path.write_text(text)
    return read_config(path)


@pytest.mark.parametrize(
    "name",
    ["app", "app:1", "localhost/app:1", "reg.example:5000/team/app_x:v1.2-3", "app@sha256:" + "0" * 64, "a__b/c--d"],
)
def test_names_of_images(name: str) -> None:
    assert names.checked(name) == name
    assert names.checked(names.unsigned(name)).startswith("gsc-")
    assert names.signed(name) + "-unsigned" == names.unsigned(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "-v", "--help", "app;id", "app$(id)", "app`id`", "a b", "app\n"),
        *("APP", "../app", "app|id", "app:", "a@b", "x" * 500),
    ],
)
def test_what_a_shell_would_take_for_its_own_is_no_name(name: str) -> None:
    with pytest.raises(SettingsError, match="name is not usable"):
        names.checked(name)


@given(st.text(max_size=40))
def test_whatever_is_a_name_is_plain(text: str) -> None:
    try:
        name = names.checked(text)
    except SettingsError:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@")
    assert name[0] not in "-./:@"


def test_the_configuration_of_2022_is_taken_as_it_is_printed(tmp_path: Path) -> None:
    config = config_of(OF_2022, tmp_path)
    assert (config.distro, config.branch) == ("ubuntu:18.04", "amber_pr")
    assert config.notes == (FORK_NOTE,)
    text = files_recipe("app:1", distro.of_name(config.distro), config)
    assert "git clone --depth 1 --branch 'amber_pr' -- 'https://github.com/bigdata-memory/gramine.git'" in text
    assert text.startswith("FROM ubuntu:18.04 AS gramine\n")
    assert "FROM app:1\n" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Distroo: x", "did you mean Distro"),
        ("Gramine:\n  Brnch: x", "did you mean Gramine.Branch"),
        ("Distro: 12", "is no text"),
        ("Gramine: [1]", "is no mapping"),
        ("- 1", "is no mapping"),
        ("Gramine:\n  Image: a\n  Branch: b", "says twice"),
        ("Gramine:\n  Repository: https://h/x", "named by half"),
        ('Gramine:\n  Repository: "https://h/x\'; id"\n  Branch: b', "Repository is not usable"),
        ('Gramine:\n  Repository: "http://h/x"\n  Branch: b', "Repository is not usable"),
        ('Gramine:\n  Repository: "https://h/x"\n  Branch: "b && id"', "Branch is not usable"),
        ('Gramine:\n  Repository: "https://h/x"\n  Branch: "a..b"', "Branch is not usable"),
        ('Gramine:\n  Repository: "https://h/x"\n  Branch: "--upload-pack=id"', "Branch is not usable"),
        ("Gramine:\n  Image: 'a b'", "Gramine.Image is not usable"),
        ("Distro: 'debian:12\n'", "not usable"),
        ('SGXDriver:\n  Branch: "DCAP_1.11 && cp -r driver/linux/* ."', "driver outside the kernel"),
        ("a: &x [*x]", "YAML"),
        ("Distro: x\nDistro: y", "twice"),
    ],
)
def test_a_configuration_that_is_wrong_says_where(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        config_of(text, tmp_path)
    assert says in f"{caught.value.message} {caught.value.hint} {caught.value.seen}"


def test_an_empty_configuration_means_packages(tmp_path: Path) -> None:
    config = config_of("Distro:\nGramine:\n", tmp_path)
    assert config == GscConfig()
    text = files_recipe("app:1", distro.of_release(DEBIAN, APT), config)
    assert "packages.gramineproject.io/ bookworm main" in text


@pytest.mark.parametrize(
    ("release", "has", "says"),
    [
        ("ID=alpine\nVERSION_ID=3.20", {}, "musl"),
        ("ID=wolfi", {"/lib/ld-musl-x86_64.so.1": True}, "musl"),
        ("", {}, "built from scratch"),
        (DEBIAN, {}, "no package manager"),
        ("ID=arch", {"/usr/bin/pacman": True}, "not one that is known"),
    ],
)
def test_where_gramine_cannot_run_the_answer_says_what_to_do(release: str, has: dict[str, bool], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        distro.of_release(release, has)
    assert says in f"{caught.value.message} {caught.value.seen}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "identity", "version", "family"),
    [
        ("ubuntu:24.04", "ubuntu", "24.04", "apt"),
        ("debian:12", "debian", "12", "apt"),
        ("quay.io/centos/centos:stream9", "centos", "9", "dnf"),
        ("redhat/ubi9", "rhel", "9", "dnf"),
        ("registry.access.redhat.com/ubi8:8.9", "rhel", "8", "dnf"),
        ("opensuse/leap:15.6", "opensuse-leap", "15.6", "zypper"),
    ],
)
def test_distributions_by_their_images_names(name: str, identity: str, version: str, family: str) -> None:
    found = distro.of_name(name)
    assert (found.id, found.version, found.family) == (identity, version, family)


@pytest.mark.parametrize("name", ["alpine:3.20", "scratch", "", "windows:11"])
def test_distributions_that_are_none(name: str) -> None:
    with pytest.raises(SettingsError, match="Distro is none"):
        distro.of_name(name)


def test_without_packages_compiling_is_what_is_left() -> None:
    leap = distro.of_name("opensuse/leap:15.6")
    with pytest.raises(SettingsError, match="no packages for this distribution"):
        files_recipe("app", leap, GscConfig())
    config = GscConfig(distro="opensuse/leap:15.6", repository="https://h.example/g.git", branch="v1.9")
    assert "zypper --non-interactive install" in files_recipe("app", leap, config)
    assert compiled_recipe(config, leap).startswith("FROM opensuse/leap:15.6\n")
