"""Removes volumes of this host that nobody wants any more: what a destroyed database's members had here.

Only what the store names is removed, and is forgotten there afterwards: a host that was away does it when it is back.
"""

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from dynoform.errors import ConflictError, NotFoundError
from dynoform.run.connection import Connection
from dynoform.run.engine import Engine

LOOK_SECONDS = 30.0
_MINE = "SELECT name FROM left_volumes WHERE host = %s ORDER BY name"
_FORGET = "DELETE FROM left_volumes WHERE host = %s AND name = %s"


class LeftVolumes:
    """Those of the connection's host."""

    def __init__(self, connection: Connection, engine: Engine, told: Callable[[str], None]) -> None:
        """``told`` is called with the name of each that was removed."""
        self._connection, self._engine, self._told = connection, engine, told

    async def look(self) -> None:
        """Remove what is not in use. Raises ``UnavailableError`` when the store or the engine does not answer."""
        host = self._connection.agent
        for (name,) in await self._connection.execute(_MINE, host):
            try:
                with suppress(NotFoundError):
                    await self._engine.call("DELETE", f"/volumes/{quote(name, safe='')}")
                    self._told(name)
            except ConflictError:
                continue  # its container is about to end
            await self._connection.execute(_FORGET, host, name)
