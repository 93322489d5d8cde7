"""Dynos' control groups: what the kernel counts of a container's processes, at the price of reading two files.

The engine's own ``stats`` cost a hundred times as much; they are asked where the engine keeps its groups elsewhere.
"""

from contextlib import suppress
from pathlib import Path

from dynoform.domain import runtime_metrics
from dynoform.domain.runtime_metrics import Usage
from dynoform.run.engine import Engine

_PLACES = ("docker/{}", "system.slice/docker-{}.scope")
"""Where the engine keeps a container's group, by its two drivers."""
_MEMORY, _CPU = "memory", "cpuacct"


class Cgroups:
    """The groups of this host's containers."""

    def __init__(self, root: Path, engine: Engine) -> None:
        """``root`` is where the host's ``/sys/fs/cgroup`` is seen, of version 1 or 2."""
        self._root, self._engine = root, engine
        self._unified = (root / "cgroup.controllers").exists()

    async def usage(self, container: str) -> Usage:
        """What a container's processes use now.

        Raises ``NotFoundError`` when it is gone, ``UnavailableError`` when the engine does not answer.
        """
        for place in _PLACES:
            with suppress(OSError):  # another place, or it has just ended
                return self._read(place.format(container))
        return await self._stats(container)

    def _read(self, group: str) -> Usage:
        return self._unified_usage(group) if self._unified else self._split_usage(group)

    def _split_usage(self, group: str) -> Usage:
        memory = runtime_metrics.flat((self._root / _MEMORY / group / "memory.stat").read_text())
        nanoseconds = int((self._root / _CPU / group / "cpuacct.usage").read_text())
        return runtime_metrics.usage(memory, 0, nanoseconds / 1e9)

    def _unified_usage(self, group: str) -> Usage:
        folder = self._root / group
        memory = runtime_metrics.flat((folder / "memory.stat").read_text())
        cpu = runtime_metrics.flat((folder / "cpu.stat").read_text())
        swap = folder / "memory.swap.current"  # not there on a kernel without swap
        return runtime_metrics.usage(memory, int(swap.read_text()) if swap.exists() else 0, cpu["usage_usec"] / 1e6)

    async def _stats(self, container: str) -> Usage:
        query = {"stream": "false", "one-shot": "true"}
        found = await self._engine.call("GET", f"/containers/{container}/stats", query=query)
        memory = (found.get("memory_stats") or {}).get("stats") or {}
        return runtime_metrics.usage(memory, 0, found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9)
