"""One-off dynos in the store: what is asked for, and how far it is."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dynoform.domain import dyno_names, stacks
from dynoform.domain.placement import COMMON
from dynoform.run.connection import Connection

# What runs inside a dyno is for the agent of its host. If that one does not take it, any other says that it is gone.
# All else is for any host that takes dynos of the app's runtime, or has to as no other does; one that the reconciler
# does not know yet takes the common one's.
_CLAIM = """
    WITH asked AS (SELECT %s::text AS agent, %s::uuid[] AS inside), here AS (
        SELECT coalesce(max(runtime), %s) AS runtime, coalesce(bool_and(state = 'open'), true) AS open
        FROM hosts JOIN asked ON name = agent
    )
    UPDATE one_off_dynos d SET agent = asked.agent
    FROM asked, here, apps a
    WHERE d.agent IS NULL AND a.id = d.app_id AND CASE WHEN d.inside_id IS NULL
        THEN a.runtime = here.runtime
            AND (here.open OR NOT EXISTS (SELECT FROM hosts o WHERE o.state = 'open' AND o.runtime = a.runtime))
        ELSE d.inside_id = ANY(asked.inside) OR d.created_at < now() - interval '5 seconds'
    END
"""
_MINE = """
    SELECT d.id, d.app_id, a.name, r.version, d.type, d.number, d.size, d.command, d.variables, d.attach_digest, d.tty,
           d.over_ssh, d.state, d.inside_id, coalesce(s.images ->> d.type, s.image), coalesce(s.stack = %s, false),
           s.process_types, c.ciphertext,
           extract(epoch FROM now() - d.created_at)::float8, d.time_to_live
    FROM one_off_dynos d
    JOIN apps a ON a.id = d.app_id
    JOIN releases r ON r.id = d.release_id
    JOIN configs c ON c.id = r.config_id
    LEFT JOIN slugs s ON s.id = r.slug_id
    WHERE d.agent = %s
"""
_UP = """
    UPDATE one_off_dynos SET state = 'up', state_changed_at = now(), updated_at = now()
    WHERE id = %s AND state = 'starting'
"""
# Those of an agent whose host never came back.
_FORGET = """
    DELETE FROM one_off_dynos WHERE created_at + make_interval(secs => time_to_live + 600) < now() AND agent <> %s
"""


@dataclass(frozen=True)
class Run:
    """One one-off dyno, as its row was when it was read."""

    id: uuid.UUID
    app_id: uuid.UUID
    app_name: str
    version: int
    type: str
    number: int
    size: str
    command: str
    variables: bytes
    """Encrypted, as are ``config``'s; empty for one ``over_ssh``."""
    digest: str | None
    tty: bool
    over_ssh: bool
    state: str
    inside_id: uuid.UUID | None
    image: str | None
    own_image: bool
    """Whether the image is the user's own, of the stack ``container``."""
    process_types: Mapping[str, str] | None
    config: bytes
    age: float
    """Seconds since somebody asked for it."""
    time_to_live: int

    @property
    def name(self) -> str:
        """``run.1234``."""
        return dyno_names.name(self.type, self.number)


class Rows:
    """Those of this host. Calls raise what ``Connection``'s do."""

    def __init__(self, connection: Connection) -> None:
        """In the name of the connection's agent."""
        self._connection = connection

    async def mine(self, here: Collection[uuid.UUID]) -> list[Run]:
        """The one-off dynos that this agent has, those that nobody had yet and that it may have included.

        ``here`` are the formation dynos that run on this host.
        """
        agent = self._connection.agent
        await self._connection.execute(_CLAIM, agent, list(here), COMMON)
        await self._connection.execute(_FORGET, agent)
        return [Run(*row) for row in await self._connection.execute(_MINE, stacks.CONTAINER, agent)]

    async def mark_up(self, run_id: uuid.UUID) -> None:
        """Write down that its command begins now."""
        await self._connection.patiently(_UP, run_id)

    async def forget(self, run_id: uuid.UUID) -> None:
        """Write down that it is over."""
        await self._connection.patiently("DELETE FROM one_off_dynos WHERE id = %s", run_id)
