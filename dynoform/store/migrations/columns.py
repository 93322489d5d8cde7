"""How migrations say what a column is."""

from typing import Any

import sqlalchemy as sa
from alembic import op


def table(name: str, *parts: Any) -> None:
    """A table with an id and the two times that every resource has."""
    own = [sa.Column("id", sa.Uuid(), primary_key=True), column("created_at", time()), column("updated_at", time())]
    op.create_table(name, *own, *parts)


def column(name: str, kind: Any, *, unique: bool = False) -> sa.Column[Any]:
    """A column that is never null."""
    return sa.Column(name, kind, nullable=False, unique=unique)


def optional(name: str, kind: Any) -> sa.Column[Any]:
    """A column that may be null."""
    return sa.Column(name, kind, nullable=True)


def reference(name: str, table: str, on_delete: str | None = None, **options: Any) -> sa.Column[Any]:
    """A column with the id of a row of ``table``; ``options`` are ``sa.Column``'s."""
    options.setdefault("nullable", False)
    return sa.Column(name, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete=on_delete), **options)


def time() -> sa.DateTime:
    """A moment, with its zone."""
    return sa.DateTime(timezone=True)
