"""Alembic's entry point: migrates on the connection that ``parked.opsdb.migrate`` hands over, in its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from parked.opsdb.tables import Base, UtcDateTime


def render_item(kind: str, item: Any, _autogen_context: Any) -> str | Literal[False]:
    """A revision spells our UTC type as the plain SQL type it is, so that it never needs our code of another day."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=render_item,
    render_as_batch=True,  # SQLite cannot alter a column; batch mode copies the table
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
