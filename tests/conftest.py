"""Databases for every test that keeps something: SQLite, and a real PostgreSQL; and how long an example may take."""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from tests.postgres import postgres_wheel
from tests.softhsm import new_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine
    from tests.softhsm import Token

# No deadline by the clock on the wall: on a busy machine it fails good tests. Those that bound time count CPU.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


# Where policies in Rego are judged, or pages are followed that have some.
_REGO = (
    "tests/unit/rego/",
    "tests/unit/cli/test_policy.py",
    "tests/unit/attestation/test_named.py::test_the_engines_of_an_installation",
    "tests/integration/attestation/test_named.py",
    "tests/integration/attestation/test_policy_command.py",
    "tests/integration/attestation/test_management.py",
    "tests/integration/clients/test_policies.py",
    "tests/integration/keybroker/test_handshake.py",
    "tests/integration/keybroker/test_background.py::test_policy_ids_are_handed_on",
    "tests/integration/test_policies_page.py",
    "tests/integration/test_quick_starts.py",
    "tests/integration/test_guides.py",
    "tests/integration/test_openapi.py::test_every_answer",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the interpreter of Rego cannot be loaded, its tests are skipped by name."""
    try:
        importlib.import_module("regopy")
    except (ImportError, OSError) as exc:
        if "CI" in os.environ:  # there it has to be
            raise
        skip = pytest.mark.skip(reason=f"Rego's interpreter cannot be loaded: {exc} (scripts/system-packages)")
        for item in items:
            if item.nodeid.startswith(_REGO):
                item.add_marker(skip)


@dataclass
class Postgres:
    """A running PostgreSQL server. `run` sends one statement to the database of a URL."""

    uri: str
    run: Callable[[str, str], None]
    made: Iterator[int] = field(default_factory=itertools.count)
    shared: str | None = None

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{os.getpid()}_{next(self.made)}"
        self.run(self.uri, f"CREATE DATABASE {name}")
        return self.uri.replace("/postgres?", f"/{name}?")

    def emptied(self) -> str:
        """The URL of this worker's one database, emptied: that takes a tenth of the time of a new one."""
        if self.shared is None:
            self.shared = self.fresh()
        else:
            self.run(self.shared, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self.shared


@pytest.fixture(scope="session")
def postgres(testrun_uid: str) -> Iterator[Postgres]:
    """One server for all workers of a run; it goes with the last of them.

    It stands beside pytest's folders, not in them: as root it runs under another user, who may not enter those. No test
    cuts the power, so it need not wait for the disk.
    """
    pgserver = postgres_wheel()
    psycopg = importlib.import_module("psycopg")

    def run(uri: str, statement: str) -> None:
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(statement)

    folder = Path(tempfile.gettempdir()) / f"amber-pg-{testrun_uid[:12]}"
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        uri = server.get_uri().replace("postgres:@", "postgres@")
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            run(uri, statement)
        yield Postgres(uri, run)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """A PKCS#11 token of this process."""
    with pytest.MonkeyPatch.context() as patch:
        yield new_token(tmp_path_factory.mktemp("softhsm"), patch)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a fresh database can be, on each engine."""
    if request.param == "sqlite":
        return tmp_path / "database.sqlite"
    server = request.getfixturevalue("postgres")
    assert isinstance(server, Postgres)
    return server.emptied()


@pytest.fixture
def engine(place: Path | str) -> Iterator[Engine]:
    """A fresh database, opened."""
    from ambergate.stores.engine import open_database  # noqa: PLC0415  not for tests that keep nothing

    engine = open_database(place)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A fresh SQLite database, for what is true of files."""
    from ambergate.stores.engine import open_database  # noqa: PLC0415

    engine = open_database(tmp_path / "database.sqlite")
    yield engine
    engine.dispose()
