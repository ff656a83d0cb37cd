"""Migrations forwards, by Alembic: one file below `versions` for each step. There is no way back but a backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from sqlalchemy import Connection


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration: these files, and a connection whose transaction is the caller's."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the tables up to a revision, inside the connection's transaction: all of it or nothing."""
    command.upgrade(configuration(connection), to)
