"""Measures the dynos of this host, and says of each what Heroku says: samples to who asked for them, R14, R15."""

import time
import uuid

from dynoform.agent.cgroups import Cgroups
from dynoform.agent.ledger import Ledger
from dynoform.agent.watcher import Watcher
from dynoform.domain import runtime_metrics
from dynoform.domain.dyno_ends import Resident
from dynoform.domain.runtime_metrics import Load, Usage
from dynoform.errors import NotFoundError, UnavailableError
from dynoform.journal import Journal

FEATURE = "log-runtime-metrics"


class Sampler:
    """What was measured last, by container."""

    def __init__(self, watcher: Watcher, cgroups: Cgroups, ledger: Ledger, journal: Journal) -> None:
        """``watcher`` knows the dynos, speaks to their apps, and ends those that use too much."""
        self._watcher, self._cgroups, self._ledger, self._journal = watcher, cgroups, ledger, journal
        self._last: dict[str, tuple[float, float, Load]] = {}
        """When it was, the processor time until then, and the load."""
        self._measured: frozenset[uuid.UUID] = frozenset()

    async def sample(self) -> None:
        """Measure all dynos once. Raises ``UnavailableError`` when the engine does not answer."""
        residents = [resident for resident, _ in await self._watcher.residents("running")]
        self._last = {each.container: self._last[each.container] for each in residents if each.container in self._last}
        try:
            self._measured = await self._ledger.measured(FEATURE)
        except UnavailableError as error:  # R14 is logged all the same
            self._journal.warning("features not known", error=error)
        for resident in residents:
            await self._watcher.limit(resident)
            try:
                used = await self._cgroups.usage(resident.container)
            except NotFoundError:
                continue  # it has just ended
            await self._judge(resident, used)

    async def _judge(self, resident: Resident, used: Usage) -> None:
        load = self._load(resident.container, used)
        if resident.size is None:
            return
        if resident.app_id in self._measured:
            who = runtime_metrics.identity(resident.name, resident.app_id, resident.id)
            self._watcher.say(resident, *([runtime_metrics.load_line(who, load)] if load is not None else []))
            self._watcher.say(resident, runtime_metrics.memory_line(who, used, resident.size))
        if runtime_metrics.vastly_exceeds(used, resident.size):
            await self._watcher.stop_over(resident)
        elif runtime_metrics.exceeds(used, resident.size):
            self._watcher.say(resident, *runtime_metrics.exceeded_lines(used, resident.size))

    def _load(self, container: str, used: Usage) -> Load | None:
        """The load since the last sample; None at the first."""
        now, last = time.monotonic(), self._last.get(container)
        load = last[2].after(now - last[0], used.cpu_seconds - last[1]) if last else Load()
        self._last[container] = now, used.cpu_seconds, load
        return load if last else None
