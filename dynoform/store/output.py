"""The output of builds and of release commands: pieces in order, told to those who follow it."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dynoform.store.session import BUILD_OUTPUT, notify
from dynoform.store.tables import BuildOutput, ReleaseOutput

Table = type[BuildOutput] | type[ReleaseOutput]


def owner(table: Table) -> InstrumentedAttribute[uuid.UUID]:
    """The column that says whose output it is."""
    return BuildOutput.build_id if table is BuildOutput else ReleaseOutput.release_id


def append(session: Session, table: Table, subject_id: uuid.UUID, text: str) -> None:
    """Add to the output of a build or a release, after what is there."""
    column = owner(table)
    last = session.scalar(select(func.max(table.sequence)).where(column == subject_id))
    session.add(table(**{column.key: subject_id, "sequence": 0 if last is None else last + 1, "text": text}))
    notify(session, BUILD_OUTPUT, subject_id)


def length(session: Session, table: Table, subject_id: uuid.UUID) -> int:
    """How many characters of output there are."""
    return (
        session.scalar(select(func.coalesce(func.sum(func.length(table.text)), 0)).where(owner(table) == subject_id))
        or 0
    )
