"""What Alembic runs around the steps: they use the connection that they are given, and its transaction."""

from __future__ import annotations

from alembic import context

# The transaction is the caller's on both engines: no step commits by itself. SQLite cannot alter most things in place:
# `render_as_batch` is for those who write steps, which copy a table there.
context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
