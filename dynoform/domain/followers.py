"""Followers: databases that are kept as another one is, to read from, until they are databases of their own. Pure.

Rules: https://devcenter.heroku.com/articles/heroku-postgres-follower-databases.
"""

import uuid
from collections.abc import Mapping

from dynoform.domain.data_services import DataPlan, size
from dynoform.errors import InvalidInputError

OPTION = "follow"
LEADER = "leader"
"""Of what the provider is told: the id of the database to follow."""
READ_ONLY = "It is a follower, which can be read alone: heroku pg:unfollow makes it a database of its own"
LEFT = "nothing is backed up while it follows a database that was destroyed: heroku pg:unfollow makes it one of its own"


def check(options: Mapping[str, str], plan: str, leader_plan: str) -> None:
    """Raise ``InvalidInputError`` unless a new database of ``plan`` can follow one of ``leader_plan``."""
    others = sorted(set(options) - {OPTION})
    if others:
        raise InvalidInputError(f"A follower is what its leader is: leave out --{others[0][:40]}")
    if _is_essential(leader_plan):
        raise InvalidInputError("Essential databases have no followers: make a copy with --fork")
    if not plan.startswith("standard-"):
        raise InvalidInputError("A follower is a single server that is as large as its leader: choose standard-0")


def leader(options: Mapping[str, str]) -> uuid.UUID | None:
    """Whom a database is to follow, of what its provider is told."""
    return uuid.UUID(options[LEADER]) if LEADER in options else None


def available(plan: DataPlan) -> bool:
    """Whether databases of this plan can be followed."""
    return not _is_essential(plan.name)


def behind(count: int | None) -> str:
    """What ``pg:info`` prints of the bytes that a follower has still to do."""
    return "Not known: its leader or itself does not answer" if count is None else size(max(count, 0))


def _is_essential(plan: str) -> bool:
    return plan.startswith("essential-")
