"""When a dyno is replaced for its age: once a day, at a moment of its own (https://devcenter.heroku.com/articles/dyno-restarts).

A release, a restart and a cycle make a new dyno, so each of them starts the day again.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

AGE = timedelta(hours=24)
SPREAD = timedelta(minutes=216)
"""Each dyno lives for up to this much longer, so that those of one release do not go together."""
UPDATE_SHARE, UPDATE_LEAST = 16, 3
"""As ``SHARE``, while dynos change to a new stack image: that has an end, and is not to take all day. Few at a time all
the same: what boots and what serves meanwhile share the hosts' processors."""
SHARE = 20
"""Of this many dynos of the platform one may be on its way at a time, also when many are overdue."""


def due(dyno_id: UUID, created: datetime) -> datetime:
    """When the dyno is to be replaced: the same moment, whoever asks and however often."""
    share = int.from_bytes(sha256(dyno_id.bytes).digest()[:8]) / (1 << 64)
    return created + AGE + share * SPREAD


def room(dynos: int, moving: int) -> int:
    """How many of ``dynos`` may begin to be replaced while ``moving`` of them start or leave."""
    return max(0, max(1, dynos // SHARE) - moving)


def update_room(dynos: int, booting: int) -> int:
    """As ``room``, for dynos whose stack image has a successor, while ``booting`` of them have none yet that serves."""
    return max(0, max(UPDATE_LEAST, dynos // UPDATE_SHARE) - booting)
