"""What Alembic runs around the steps: they use the connection that they are given, and its transaction."""

from __future__ import annotations

from alembic import context

if __name__ == "env_py":  # as Alembic calls it; imported by its own name, it does nothing
    # The transaction is the caller's on both engines: no step commits by itself.
    context.configure(connection=context.config.attributes["connection"])
    context.run_migrations()
