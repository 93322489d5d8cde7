"""The output of builds, release commands and postdeploy scripts: pieces in order, told to those who follow it."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dynoform.store.session import BUILD_OUTPUT, notify
from dynoform.store.tables import AppSetupOutput, BuildOutput, ReleaseOutput

Table = type[BuildOutput] | type[ReleaseOutput] | type[AppSetupOutput]
_OWNERS: dict[Table, InstrumentedAttribute[uuid.UUID]] = {
    AppSetupOutput: AppSetupOutput.app_setup_id,
    BuildOutput: BuildOutput.build_id,
    ReleaseOutput: ReleaseOutput.release_id,
}


def owner(table: Table) -> InstrumentedAttribute[uuid.UUID]:
    """The column that says whose output it is."""
    return _OWNERS[table]


def append(session: Session, table: Table, subject_id: uuid.UUID, text: str) -> None:
    """Add to the output of a build, a release or an app setup, after what is there."""
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


def text(session: Session, table: Table, subject_id: uuid.UUID) -> str:
    """All of the output."""
    query = select(table.text).where(owner(table) == subject_id).order_by(table.sequence)
    return "".join(session.scalars(query))
