"""Templates render as Gramine documents it, in a process that ends when they do not."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ambergate.core.errors import SettingsError, TooLarge
from ambergate.graminize import template
from ambergate.graminize.source import parse_manifest, read_manifest
from ambergate.graminize.template import Rendered, Surroundings, render

TEMPLATE = """\
{# for the tests #}
loader.entrypoint = "file:{{ gramine.libos }}"
libos.entrypoint = "{{ entrypoint }}"
{% set lib = "/lib" -%}
fs.mounts = [
  { path = "{{ lib }}", uri = "file:{{ gramine.runtimedir() }}" },
{%- for path in ("/usr", "/opt") %}
  { path = "{{ path }}", uri = "file:{{ path }}" },
{%- endfor %}
]
sgx.debug = {{ 'true' if env.get('DEBUG', '0') == '1' else 'false' }}
python = "{{ python.stdlib }}/x {{ python.implementation.name }} {{ python.ext_suffix }}"
"""


def text_of(source: str, **defines: str) -> str:
    return render(source, Surroundings(defines=defines)).text


def refused(source: str, **defines: str) -> str:
    with pytest.raises(SettingsError) as caught:
        render(source, Surroundings(defines=defines))
    assert caught.value.code == "settings-template"
    return str(caught.value.seen)


def test_what_gramine_offers() -> None:
    surroundings = Surroundings(defines={"entrypoint": "/app"}, environ={"DEBUG": "1"}, pkglibdir="/gramine")
    manifest = parse_manifest(TEMPLATE, "app.manifest.template", Path(), surroundings)
    assert manifest.template
    assert manifest.document["loader"]["entrypoint"] == "file:/gramine/libsysdb.so"
    assert manifest.document["fs"]["mounts"][0] == {"path": "/lib", "uri": "file:/gramine/runtime/glibc"}
    assert [mount["path"] for mount in manifest.document["fs"]["mounts"][1:]] == ["/usr", "/opt"]
    assert manifest.document["sgx"]["debug"] is True
    assert manifest.document["python"].endswith(".so")
    assert manifest.read == ("DEBUG",)


def test_lines_are_those_of_the_template() -> None:
    manifest = parse_manifest(TEMPLATE, "a.template", Path(), Surroundings(defines={"entrypoint": "/app"}))
    rows = TEMPLATE.splitlines()
    assert rows[(manifest.line_of("libos", "entrypoint") or 0) - 1].startswith("libos")
    assert "for path" not in rows[(manifest.line_of("fs", "mounts", 1, "uri") or 0) - 1]
    assert rows[(manifest.line_of("sgx", "debug") or 0) - 1].startswith("sgx.debug")
    assert manifest.line_of("sgx", "nothing") == manifest.line_of("sgx")
    assert manifest.line_of("nothing") is None


def test_a_plain_manifest_is_not_rendered(tmp_path: Path) -> None:
    path = tmp_path / "app.manifest"
    path.write_text('a = "%}"\n')
    manifest = read_manifest(path)
    assert (manifest.template, manifest.text, manifest.lines) == (False, 'a = "%}"\n', {("a",): 1})


def test_libraries_are_listed_and_nothing_is_run(tmp_path: Path) -> None:
    """Also of a file that says that it wants to be run by something else."""
    ran = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o755)
    assert "libc.so.6" in text_of("{% for each in ldd('/bin/sh', '/bin/ls') %}{{ each }}\n{% endfor %}")
    assert "ldd" in refused("{{ ldd('/no/such/file') }}")
    refused(f"{{{{ ldd('{trap}') }}}}")
    assert not ran.exists()


def test_an_interpreter_is_started_only_if_it_may_be(tmp_path: Path) -> None:
    trap = tmp_path / "python3"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    trap.chmod(0o755)
    source = "{% for path in python.get_sys_path(entrypoint) %}{{ path }}\n{% endfor %}"
    assert "/lib/python3" in text_of(source, entrypoint=sys.executable)
    kinds = (
        "{% for path in python.get_sys_path(entrypoint) %}{{ path }}{{ '/' if path.is_dir() else '' }}\n{% endfor %}"
    )
    listed = text_of(kinds, entrypoint=sys.executable).splitlines()
    assert any(path.endswith("/lib-dynload/") for path in listed)
    assert listed == [f"{path}/" if Path(path).is_dir() else path for path in (each.rstrip("/") for each in listed)]
    with pytest.raises(SettingsError, match="may not be started"):
        render(f"{{{{ python.get_sys_path('{trap}') }}}}", Surroundings())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", "memory"),
        ("{{ 'x' * 9999999999 }}", "memory"),
        (
            "{% set n = namespace(s='x' * 99999) %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "memory",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{% for i in range(9999999) %}x{% endfor %}", "Range too big"),
        ("{{ 'x' * 5000000 }}", "more than"),
    ],
)
def test_bombs(bomb: str, said: str) -> None:
    assert said in refused(bomb)


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends it, long before the deadline on the wall, which a busy machine needs."""
    monkeypatch.setattr(template, "CPU_SECONDS", 1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert "it was ended" in refused(LOOPS)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 10


def test_a_deadline_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one that waits without working."""
    monkeypatch.setattr(template, "WALL_SECONDS", 0.5)
    monkeypatch.setattr(template, "CPU_SECONDS", 600)
    assert "it was ended" in refused(LOOPS)


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ gramine.libos.__class__ }}",
        "{{ env.__init__.__globals__ }}",
        "{{ ldd.__globals__ }}",
        "{{ python.get_config_var.__self__ }}",
        "{{ self.__init__ }}",
        "{% include '/etc/passwd' %}",
        "{{ env.read.clear() }}",
        "{{ gramine.update({'a': 1}) }}",
    ],
)
def test_the_sandbox_holds(escape: str) -> None:
    refused(escape)


def test_private_variables_are_not_shown() -> None:
    environ = {"AMBER_APIKEY": "a key", "OTHER": "shown"}
    shown = render("{{ env.get('AMBER_APIKEY') }}{{ env['OTHER'] }}", Surroundings(environ=environ))
    assert shown.text == "Noneshown"
    refused("{{ env['MISSING'] }}")


def test_what_is_wrong_is_told_with_its_line() -> None:
    assert refused("a\n{{ missing }}\n").startswith("line 2: UndefinedError: 'missing' is undefined")
    assert refused("a\n\n{% if %}\n").startswith("line 3: ")
    with pytest.raises(SettingsError) as caught:
        parse_manifest("{# one #}\n{# two #}\na = 1\nb = {{ x }}\n", "t", Path(), Surroundings(defines={"x": "]"}))
    assert "from line 4 of the template" in str(caught.value.seen)


def test_too_long_a_template() -> None:
    with pytest.raises(TooLarge):
        render("x" * (template.MAX_TEMPLATE + 1), Surroundings())


def test_marks_are_used_only_where_they_change_nothing() -> None:
    """A template that measures itself renders as without them, and says no lines."""
    source = "a = {% filter length|string %}one\ntwo{% endfilter %}\n"
    assert render(source, Surroundings()) == Rendered(text="a = 7\n", lines=(), read=())


def test_the_worker_opens_nothing_any_more(tmp_path: Path) -> None:
    program = (
        "from ambergate.graminize import template_worker as w, template as t; import os\n"
        "w._give_up(t.MEMORY, t.CPU_SECONDS)\n"
        "for deed in (lambda: open('/etc/hostname'), lambda: os.pipe(), lambda: os.open('.', os.O_PATH)):\n"
        "    try:\n        deed()\n    except OSError:\n        continue\n    print('possible')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == ""


@pytest.mark.parametrize(
    "text", ["a = [", "= 1", "a = 1\na = 2", "[a]\n[a]", "a" * 5000, "a = " + "[" * 2000, "a = " + "1" * 5000]
)
def test_broken_toml_is_one_error(text: str) -> None:
    with pytest.raises(SettingsError, match="not TOML"):
        parse_manifest(text, "app.manifest", Path())


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "app.manifest"
    path.write_bytes(b'a = "\xff"')
    with pytest.raises(SettingsError, match="not TOML"):
        read_manifest(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_manifest(tmp_path / "none")
