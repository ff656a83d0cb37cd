"""A configuration that is not exactly understood does not load, and says all that is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec import Meta

from ambergate.core.errors import SettingsError, UnusableSettings
from ambergate.services.attestation import tables as attestation
from ambergate.services.keybroker import tables as keybroker
from ambergate.services.web.settings.effective import effective
from ambergate.services.web.settings.reading import Settings, read
from ambergate.services.web.settings.secret import MAX_VALUE, REDACTED, SecretText
from ambergate.services.web.settings.shape import Setting, settings
from ambergate.services.web.settings.sources import FILE_SUFFIX, MAX_FILE
from ambergate.services.web.settings.tables import Store, public_url
from ambergate.stores.engine import Server

if TYPE_CHECKING:
    from pathlib import Path


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    port: Annotated[int, Meta(ge=0, le=9, description="A port.")]
    words: Annotated[str | list[str], Meta(description="Words.")] = "none"
    secret: SecretText | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    secret: SecretText | None = None


class Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str = "untitled"
    inner: Inner
    rows: list[Row] = []
    ratio: float = 0.5
    on: bool = False


GOOD = "[inner]\nport = 1\n"


def loaded(folder: Path, text: str = GOOD, **environ: str) -> Settings[Tables]:
    file = folder / "a.toml"
    file.write_text(text)
    return read(file, {f"AMBER_TEST__{name}": value for name, value in environ.items()}, Tables, "test")


def refusals(folder: Path, text: str = GOOD, **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text, **environ)
    error = caught.value
    problems = error.problems if isinstance(error, UnusableSettings) else [error]
    return [f"{one.message} | {one.seen} | {one.hint}" for one in problems]


def test_a_good_file_loads(tmp_path: Path) -> None:
    assert loaded(tmp_path).tables == Tables(inner=Inner(port=1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "prot = 2", "inner.prot in"),
        (GOOD + "prot = 2", "did you mean inner.port?"),
        (GOOD + "[[rows]]\nname = 'a'\n[[rows]]\nnane = 'a'", "rows[1].nane in"),
        ("[inner]\nprot = 1", "inner.prot in"),
        (GOOD + "[[rows]]\n", "rows[0].name is missing"),
        ("inner = 1", "inner cannot be used"),
        ("rows = 1\n" + GOOD, "rows cannot be used"),
        ("", "inner is missing"),
        ("[inner]", "inner.port is missing"),
        (GOOD.replace("1", '"1"'), "inner.port cannot be used"),
        (GOOD.replace("1", "10"), "inner.port cannot be used"),
        (GOOD + "[", "not TOML"),
        ("x = " + "1" * 5000, "not TOML"),
        ("x = " + "[" * 5000, "not TOML"),
        ("#" * (MAX_FILE + 1), "too long"),
    ],
)
def test_anything_else_does_not(tmp_path: Path, text: str, told: str) -> None:
    (refusal,) = refusals(tmp_path, text)
    assert told in refusal


def test_a_missing_or_binary_file_does_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read(tmp_path / "none.toml", {}, Tables, "test")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not TOML"):
        read(tmp_path / "b.toml", {}, Tables, "test")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = "titel = 'a'\non = 1\n[inner]\nport = 70\n[[rows]]\n"
    assert len(refusals(tmp_path, text, RATIO="x", NOTHING="y")) == 6


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, GOOD, INNER__PORT="2", TITLE="[1]", RATIO="2.5", ON="true", INNER__WORDS='["a", "b"]')
    assert found.tables == Tables(title="[1]", inner=Inner(port=2, words=["a", "b"]), ratio=2.5, on=True)


def test_tables_and_lists_of_them_as_json_or_toml(tmp_path: Path) -> None:
    found = loaded(tmp_path, GOOD + "[[rows]]\nname = 'file'", INNER="{ port = 3 }", ROWS='[{"name": "a"}]')
    assert found.tables == Tables(inner=Inner(port=3), rows=[Row(name="a")])
    assert loaded(tmp_path, GOOD, INNER='{"port": 3}', INNER__PORT="4").tables.inner.port == 4, "one over all"


def test_a_value_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "title").write_text("from a file\r\n")
    assert loaded(tmp_path, TITLE_FILE="title").tables.title == "from a file"
    (tmp_path / "title").write_text("")
    assert "is empty" in refusals(tmp_path, TITLE_FILE="title")[0]
    (tmp_path / "title").write_text("x" * (MAX_VALUE + 1))
    assert "is too long" in refusals(tmp_path, TITLE_FILE="title")[0]
    (tmp_path / "title").write_bytes(b"\xff")
    assert "is not text" in refusals(tmp_path, TITLE_FILE="title")[0]
    assert "cannot be read" in refusals(tmp_path, TITLE_FILE="none")[0]
    assert "is given twice" in refusals(tmp_path, TITLE_FILE="title", TITLE="x")[0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("INNER__PROT", "AMBER_TEST__INNER__PORT"),
        ("TITEL", "AMBER_TEST__TITLE"),
        ("INNER__PORT__X", "AMBER_TEST__INNER__PORT"),
        ("INNER_PORT", "AMBER_TEST__INNER__PORT"),
    ],
)
def test_an_unknown_variable_names_the_nearest(tmp_path: Path, name: str, meant: str) -> None:
    (refusal,) = refusals(tmp_path, **{name: "1"})
    assert refusal == f"the environment has an unknown setting | AMBER_TEST__{name} | did you mean {meant}?"


@pytest.mark.parametrize("name", ["AMBER_TEST_INNER__PORT", "AMBER_TEST_TITLE"])
def test_one_underscore_too_few_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    with pytest.raises(SettingsError, match="almost a setting"):
        read(tmp_path / "a.toml", {name: "1"}, Tables, "test")


def test_what_kubernetes_and_others_put_there_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    others = ("AMBER_TEST_SERVICE_PORT", "AMBER_TEST_PORT_8443_TCP_ADDR", "AMBER_URL", "AMBER_OTHER__INNER__PORT")
    assert read(tmp_path / "a.toml", dict.fromkeys(others, "5"), Tables, "test").tables.inner.port == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1\n[a]",
        "1\nb = 2",
        "[" * 5000,
        "1" * 5000,
        "{ port = " + "1" * 5000 + " }",
        '{"port": 1, "port": 2}',
        "NaN",
    ],
)
def test_a_variable_that_is_no_value(tmp_path: Path, text: str) -> None:
    assert any("INNER__PORT" in one for one in refusals(tmp_path, INNER__PORT=text))


@examples(max_examples=30)
@given(text=st.text(max_size=40))
def test_whatever_a_variable_holds_only_our_errors_come_of_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("INNER", "INNER__PORT", "ROWS", "RATIO", "INNER__WORDS"):
        try:
            loaded(folder, **{name: text})
        except SettingsError:
            continue


def test_secrets_come_from_files_or_the_environment_and_show_nowhere(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("pa55word\n")
    (tmp_path / "s").chmod(0o640)
    rows = '[[rows]]\nname = "a"\nsecret = { file = "s" }\n'
    for found in (
        loaded(tmp_path, GOOD + 'secret = { file = "s" }\n' + rows),
        loaded(tmp_path, GOOD + rows, INNER__SECRET="pa55word"),
        loaded(tmp_path, GOOD + rows, INNER__SECRET_FILE="s"),
    ):
        assert found.tables.inner.secret == SecretText("pa55word")
        assert found.tables.rows[0].secret == SecretText("pa55word")
        shown = {one.name: one.value for one in effective(found)}
        assert (shown["inner.secret"], shown["rows[0].secret"]) == (REDACTED, REDACTED)
        assert "pa55word" not in f"{found.tables} {found.tables!r} {json.dumps(shown)}"


@pytest.mark.parametrize("value", ['"pa55word"', "{ file = 1 }", '{ file = "s", more = 1 }', '["pa55word"]', "1"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    told = refusals(tmp_path, f"{GOOD}secret = {value}")
    assert "stands in no configuration" in told[0]
    assert "pa55word" not in str(told)


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("pa55word")
    (tmp_path / "s").chmod(0o644)
    for told in (
        refusals(tmp_path, GOOD + 'secret = { file = "s" }\n'),
        refusals(tmp_path, GOOD, INNER__SECRET_FILE="s"),
    ):
        assert "is open to others" in told[0]
        assert "pa55word" not in str(told)


def test_the_settings_in_force_say_where_they_are_from(tmp_path: Path) -> None:
    found = effective(loaded(tmp_path, GOOD + '[[rows]]\nname = "https://u:pw@h"', RATIO="1.5"))
    assert [tuple(one) for one in found] == [
        ("title", "untitled", "default"),
        ("inner.port", 1, str(tmp_path / "a.toml")),
        ("inner.words", "none", "default"),
        ("inner.secret", None, "default"),
        ("rows[0].name", f"https://u:{REDACTED}@h", str(tmp_path / "a.toml")),
        ("rows[0].secret", None, "default"),
        ("ratio", 1.5, "AMBER_TEST__RATIO"),
        ("on", False, "default"),
    ]


@pytest.mark.parametrize("tables", [attestation.Tables, keybroker.Tables])
def test_every_setting_of_the_services_is_described_and_named_once(tables: type[msgspec.Struct]) -> None:
    every: list[Setting] = list(settings(tables))
    assert [setting.path for setting in every if not setting.description] == []
    names = {setting.path for setting in every}
    assert [path for path in names if (*path[:-1], path[-1] + FILE_SUFFIX.lower()) in names] == []


def store(database: str, password: SecretText | None = None) -> Store:
    return Store(key_encryption_key="k", database=database, password=password)


def test_a_database_is_a_file_beside_the_configuration_or_a_server(tmp_path: Path) -> None:
    assert store(database="a.sqlite").place(tmp_path) == tmp_path / "a.sqlite"
    assert str(store(database="/var/lib/a.sqlite").place(tmp_path)) == "/var/lib/a.sqlite"
    url = "postgresql://amber@/amber"
    assert store(database=url).place(tmp_path) == url
    assert store(database=url, password=SecretText("p")).place(tmp_path) == Server(url, "p")


@pytest.mark.parametrize("database", ["mysql://a@b/c", "postgresql://a:p4ss@b/c", "postgresql://a@b/c?options=x"])
def test_a_database_that_cannot_be_used(tmp_path: Path, database: str) -> None:
    with pytest.raises(SettingsError) as caught:
        store(database=database).place(tmp_path)
    assert "p4ss" not in str(caught.value.as_dict())
    with pytest.raises(SettingsError, match="for PostgreSQL"):
        store(database="a.sqlite", password=SecretText("p")).place(tmp_path)


def test_a_public_url_loses_its_trailing_slash() -> None:
    assert public_url("https://a.example:8443/x/", field="f") == "https://a.example:8443/x"
    assert public_url("https://[::1]:8443", field="f") == "https://[::1]:8443"


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://",
        "a",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://a:0",
        "https://a:x",
        'https://a/"',
        "https://a /",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        public_url(url, field="public_url")
