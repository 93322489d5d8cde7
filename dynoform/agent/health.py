"""How this host is: what placement and the operator go by."""

import os
from pathlib import Path

from dynoform.agent.ledger import Ledger, Report
from dynoform.agent.watcher import Watcher
from dynoform.domain import disk, runtime_metrics
from dynoform.errors import DynoformError
from dynoform.run.engine import Engine

_KIB = 1024


class Health:
    """This host's."""

    def __init__(self, engine: Engine, ledger: Ledger, watcher: Watcher) -> None:
        """Nothing is known yet."""
        self._engine, self._ledger, self._watcher = engine, ledger, watcher
        self._node_id = ""

    async def report(self) -> None:
        """Write it down, also that the engine does not answer; make room when the disk is nearly full.

        Raises ``UnavailableError`` when the store does not answer.
        """
        version, dynos = "", 0
        try:
            described = await self._engine.call("GET", "/info")
            version = str(described["ServerVersion"])
            self._node_id = str((described.get("Swarm") or {}).get("NodeID", ""))
            dynos = len(await self._watcher.residents("running"))
        except DynoformError:
            version = ""  # which is the news
        report = _report(self._node_id, version, dynos)
        await self._ledger.report(report, self._watcher.events_until)
        if disk.is_short(report.free_disk_bytes, report.disk_bytes):
            await self._watcher.stop_largest()


def _report(node_id: str, engine: str, dynos: int) -> Report:
    memory = runtime_metrics.flat(Path("/proc/meminfo").read_text().replace(":", "").replace(" kB", ""))
    # A container's root is on the disk that the engine keeps all of them on.
    space = os.statvfs("/")
    return Report(
        node_id=node_id,
        engine=engine,
        memory_bytes=memory["MemTotal"] * _KIB,
        free_memory_bytes=memory["MemAvailable"] * _KIB,
        disk_bytes=space.f_blocks * space.f_frsize,
        free_disk_bytes=space.f_bavail * space.f_frsize,
        load=os.getloadavg()[0],
        dynos=dynos,
    )
