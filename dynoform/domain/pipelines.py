"""Pipelines: their names, their stages, what may be promoted (https://devcenter.heroku.com/articles/pipelines)."""

import re
from collections.abc import Container

from dynoform.errors import InvalidInputError

STAGES = ("test", "review", "development", "staging", "production")
CONFIGURED_STAGES = ("test", "review")
"""The stages whose apps come and go by themselves, so that their config vars belong to the pipeline."""
MAXIMUM_TARGETS = 100
USER = "user"
"""Type of an owner that is an account."""
TEAM = "team"
OWNERS = (USER, TEAM)
_LONGEST = 30
_NAME = re.compile(r"[a-z][a-z0-9-]{2,29}")

PENDING = "pending"
COMPLETED = "completed"
SUCCEEDED = "succeeded"
FAILED = "failed"


def check_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` unless it is 3 to 30 of ``a-z0-9-``, a letter first."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "Name must be 3 to 30 characters, start with a letter and can only contain lowercase letters, digits, "
            "and dashes"
        )
    return name


def free_name(name: str, taken: Container[str]) -> str:
    """The name itself, or with the first number from 2 on that makes it one that is not ``taken``."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST - len(str(number)) - 1]}-{number}"
    return free


def check_owner(kind: str) -> str:
    """The type of owner itself, or ``InvalidInputError``."""
    if kind not in OWNERS:
        raise InvalidInputError(f"Owner type must be one of: {', '.join(OWNERS)}.")
    return kind


def check_stage(stage: str, allowed: tuple[str, ...] = STAGES) -> str:
    """The stage itself, or ``InvalidInputError`` naming those that are ``allowed``."""
    if stage not in allowed:
        raise InvalidInputError(f"Stage must be one of: {', '.join(allowed)}.")
    return stage


def target_status(error: str | None, release_status: str | None) -> str:
    """Status of a promotion to one app: that of the release it made there, failed when it could make none.

    A release that has since expired had succeeded.
    """
    if error is not None or release_status in (None, FAILED):
        return FAILED
    return PENDING if release_status == PENDING else SUCCEEDED


def release_failed(version: int) -> str:
    """What is said of a target whose release phase failed."""
    return f"The release phase of v{version} failed. Its output says why: heroku releases:output v{version}"
