"""Which features were turned on or off."""

import uuid
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from dynoform.domain import features
from dynoform.store.tables import AccountFeature, AppFeature, now

Choice = TypeVar("Choice", AppFeature, AccountFeature)


def enabled(session: Session, app_id: uuid.UUID) -> set[str]:
    """Names of the features that are on for an app."""
    chosen = choices(session, AppFeature, app_id)
    on = {name: choice.enabled for name, choice in chosen.items()}
    return {feature.name for feature in features.APP if on.get(feature.name, feature.default)}


def enabled_for(session: Session, name: str) -> set[uuid.UUID]:
    """The apps that turned this feature on, which is off for who never chose."""
    return set(session.scalars(select(AppFeature.app_id).where(AppFeature.name == name, AppFeature.enabled)))


def choices(session: Session, table: type[Choice], owner_id: uuid.UUID) -> dict[str, Choice]:
    """What an app or an account chose, by the feature's name; fresh."""
    query = select(table).where(_owner(table) == owner_id).execution_options(populate_existing=True)
    return {choice.name: choice for choice in session.scalars(query)}


def turn(session: Session, table: type[Choice], owner_id: uuid.UUID, name: str, on: bool) -> None:
    """Turn a feature on or off."""
    owner, moment = _owner(table).key, now()
    made = insert(table).values(
        {"id": uuid.uuid4(), owner: owner_id, "name": name, "enabled": on, "created_at": moment, "updated_at": moment}
    )
    session.execute(
        made.on_conflict_do_update(index_elements=[owner, "name"], set_={"enabled": on, "updated_at": moment})
    )


def _owner(table: type[Choice]) -> InstrumentedAttribute[uuid.UUID]:
    return table.app_id if issubclass(table, AppFeature) else table.account_id
