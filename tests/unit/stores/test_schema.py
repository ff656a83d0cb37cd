"""A fresh database and one that was migrated are the same; one of a newer release is left alone."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, select, text

from ambergate.core.errors import NotAuthorised, SettingsError
from ambergate.stores.api_keys import ApiKeyStore
from ambergate.stores.engine import open_database, open_engine, reading, writing
from ambergate.stores.key_terms import Terms
from ambergate.stores.migrations import configuration, upgrade
from ambergate.stores.schema import HEAD, REVISIONS, prepare
from ambergate.stores.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

AT = datetime(2026, 3, 1, tzinfo=UTC)
# What the code before migrations made of an attestation service's database, as SQLite told it.
BEFORE = """\
CREATE TABLE schema_versions (component VARCHAR NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (component));
CREATE TABLE signing_material (name VARCHAR(64) NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (name));
CREATE TABLE api_keys (id VARCHAR(36) NOT NULL, label VARCHAR(200) NOT NULL, digest BLOB NOT NULL,
  created_at VARCHAR NOT NULL, revoked_at VARCHAR, PRIMARY KEY (id), UNIQUE (digest));
CREATE TABLE platforms_seen (id BLOB NOT NULL, anchor BLOB NOT NULL, tee VARCHAR(3) NOT NULL, fmspc BLOB NOT NULL,
  ca VARCHAR(9) NOT NULL, pce_id BLOB NOT NULL, components BLOB NOT NULL, pce_svn INTEGER NOT NULL,
  qe_isv_svn INTEGER NOT NULL, tee_tcb_svn BLOB, tee_tcb_svn2 BLOB, first_seen VARCHAR(27) NOT NULL,
  last_seen VARCHAR(27) NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_platforms_seen_last_seen ON platforms_seen (last_seen);
INSERT INTO schema_versions VALUES ('api keys', 1), ('signing material', 1), ('platforms seen', 1);
INSERT INTO api_keys VALUES ('017f22e2-79b0-7cc3-98c4-dc0c0c07398f', 'old', x'00', '2026-01-01T00:00:00+00:00', NULL);
"""


@pytest.fixture
def bare(place: Path | str) -> Iterator[Engine]:
    engine = open_engine(place)
    yield engine
    engine.dispose()


def differences(engine: Engine) -> list[object]:
    """Between what is there and `tables.METADATA`, in tables, columns, types, indexes and constraints."""
    with reading(engine) as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA))


def test_every_revision_is_known_and_in_one_line() -> None:
    script = ScriptDirectory.from_config(configuration())
    assert tuple(one.revision for one in script.walk_revisions())[::-1] == REVISIONS
    assert script.get_heads() == [HEAD]


def test_a_fresh_database_is_whole_without_alembic(bare: Engine) -> None:
    prepare(bare)
    assert differences(bare) == []
    with reading(bare) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD


def test_the_command_line_does_not_load_alembic_for_a_fresh_database(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ambergate.stores.engine import open_database\n"
        "for _ in range(2): open_database(Path(sys.argv[1])).dispose()\n"
        "sys.exit('alembic' in sys.modules or 'psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.sqlite")], check=False, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_older_schema_is_migrated_to_the_same(bare: Engine, revision: str) -> None:
    with writing(bare) as connection:
        upgrade(connection, revision)
    prepare(bare)
    assert differences(bare) == []


def test_a_database_from_before_migrations_keeps_what_it_holds(tmp_path: Path) -> None:
    before = open_engine(tmp_path / "a.sqlite")
    with writing(before) as connection:
        for statement in BEFORE.split(";\n"):
            connection.execute(text(statement or "SELECT 1"))
    before.dispose()
    engine = open_database(tmp_path / "a.sqlite")
    (old,) = ApiKeyStore(engine).since(0)[1].values()
    assert old.label == "old"
    assert old.terms == Terms(), "it attests, without an end, and sets nothing"
    assert not inspect(engine).has_table("schema_versions")
    assert differences(engine) == []
    engine.dispose()


@pytest.mark.parametrize("older", [True, False])
def test_nodes_that_start_together_make_the_tables_once(place: Path | str, *, older: bool) -> None:
    if older:
        first = open_engine(place)
        with writing(first) as connection:
            upgrade(connection, REVISIONS[0])
        first.dispose()
    engines = [open_engine(place) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare, engines))
    assert differences(engines[0]) == []
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_release_is_left_alone(place: Path | str, engine: Engine) -> None:
    key, _ = ApiKeyStore(engine).create("x", at=AT)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="newer release") as caught:
        open_database(place)
    assert (caught.value.seen, caught.value.wanted) == ("schema 9999", f"schema {HEAD} or older")
    assert ApiKeyStore(engine).all() == (key,)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """All steps are one transaction, on both engines; here the last statement of the first step fails."""
    engine = open_engine(tmp_path / "a.sqlite")
    with writing(engine) as connection:
        for statement in BEFORE.split(";\n"):
            connection.execute(text(statement or "SELECT 1"))

    @event.listens_for(engine, "before_cursor_execute")
    def fail(*arguments: object) -> None:
        if "DROP TABLE" in str(arguments[2]):
            raise NotAuthorised("no")

    with pytest.raises(NotAuthorised):
        prepare(engine)
    with reading(engine) as connection:
        names = set(connection.scalars(select(text("name FROM sqlite_master WHERE type = 'table'"))))
    assert names == {"schema_versions", "signing_material", "api_keys", "platforms_seen"}
    engine.dispose()
