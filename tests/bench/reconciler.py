"""Measures passes: ``python -m tests.bench.reconciler DATABASE SECRETS ENGINE`` prints seconds and MiB as JSON."""

import json
import resource
import statistics
import sys
import time

from dynoform.configuration import Configuration
from dynoform.store.migrate import upgrade
from dynoform.store.session import Store
from tests.many_dynos import ManyDynos

DYNOS, CHANGED, PASSES = 1000, 10, 10


def main(database: str, secrets: str, engine: str) -> dict[str, float]:
    """Declare, let all come up, and measure: passes without a change, and one that starts ten dynos anew."""
    configuration = Configuration.from_environment(
        {
            "DYNOFORM_DATABASE": database,
            "DYNOFORM_SECRETS": secrets,
            "DYNOFORM_SOURCES": secrets,
            "DYNOFORM_REPOSITORIES": secrets,
            "DYNOFORM_PLATFORM_ADDRESS": "127.0.0.1",
            "DYNOFORM_EMAIL": "ann@example.com",
        }
    )
    store = Store(configuration, "bench", pool=2)
    upgrade(store)
    many = ManyDynos(store, configuration, engine)
    many.declare(DYNOS)
    all_up = _seconds(many.settle)
    unchanged = statistics.median(_seconds(many.reconciler.step) for _ in range(PASSES))
    swarm = many.executor.swarm
    for service in swarm.actual().services[:CHANGED]:
        swarm.remove(service.id)
    changed = _seconds(many.reconciler.step)
    many.settle()
    # The dynos' own programs, connections and all that a pass has read.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"unchanged": unchanged, "ten dynos started": changed, "all started": all_up, "memory": memory}


def _seconds(doing: object) -> float:
    began = time.perf_counter()
    doing()  # type: ignore[operator]
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:4])))
